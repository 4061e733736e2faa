"""A source: a stage whose turn lasts as long as its stream."""

from collections.abc import Sequence
from contextlib import aclosing
from uuid import uuid4

from redis.exceptions import RedisError

from shared.bus.errors import Fenced
from shared.bus.stage import Context, Stage, dump, new_record
from shared.bus.turn import State, Turn
from shared.context import Pcm
from shared.messages import Message


class Source(Stage):
    """Its handler yields lists; one list is committed at once, with the state as it is at that moment.

    The message that began it is done only when the handler returns. So when a replica dies, the next one gets the same
    message with the last state, and goes on from there.
    """

    async def play(self, turn: Turn, state: State, context: Context) -> None:
        if not turn.mail:
            await self.commit(turn, dump(state), [], context, over=False)
            return
        first, *later = turn.mail
        try:
            message = self.check(turn, first)
            for mail in later:
                turn.inbox.put(mail.position, self.check(turn, mail))
            if handler := self.handlers.get(type(message)):
                async with aclosing(handler(message, state, context)) as emissions:
                    async for emission in emissions:
                        await self._emit(turn, state, context, emission)
        except (Fenced, RedisError):
            raise
        except Exception as error:
            await self.fail(turn, first, error)
            return
        turn.position = max(first.position, turn.inbox.taken)
        await self.commit(turn, dump(state), [], context, over=True)

    async def _emit(self, turn: Turn, state: State, context: Context, emission: Sequence[Message | Pcm]) -> None:
        sound = [item for item in emission if isinstance(item, Pcm)]
        letters = [self.address(item, context) for item in emission if isinstance(item, Message)]
        self.probe("before emit")
        newest = await self.scripts.emit(turn, uuid4().hex, dump(state), sound, letters)
        self.probe("after emit")
        self.metrics.emissions.labels(self.name).inc()
        turn.attempt = 0
        context.record, context.sealed = new_record(turn, context.record), turn.sealed
        if newest > turn.seen:
            await self.notice(turn)

    async def notice(self, turn: Turn) -> None:
        for mail in await self.scripts.unseen(turn):
            if mail.position > turn.seen:
                turn.seen = mail.position
                turn.inbox.put(mail.position, self.check(turn, mail))
