"""A stage at work: begin, handle, commit."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, NamedTuple
from uuid import uuid4

from redis.exceptions import RedisError

from shared.bus.errors import EngineError, Fenced
from shared.bus.mesh import Letter, Mesh
from shared.bus.metrics import Metrics
from shared.bus.replica import Limits, Replica, log
from shared.bus.ring import listen
from shared.bus.scripts import Scripts
from shared.bus.turn import Inbox, Mail, State, Token, Turn
from shared.context import Pcm, Record
from shared.messages import End, Message, Sealed


@dataclass
class Context:
    """What a handler may know beside its message and state."""

    stream: str
    language: str
    """Empty at a stage whose lanes are streams."""
    record: Record
    scripts: Scripts
    name: str
    """Of the stage."""
    backlog: float = 0.0
    """Media seconds between the mail in hand and the newest that waits."""
    wanted: frozenset[str] = frozenset()
    """Languages whose sound or captions somebody has fetched in the last minutes."""
    inbox: Inbox = field(default_factory=Inbox)
    sealed: float = 0.0
    """Media time that is published, as a source knows it."""
    oldest: int = 0
    """Rows of the log before this number are dropped with this turn; a sender sets it."""

    async def listen(self, start: float, end: float) -> Pcm:
        """16 kHz mono sound of [start, end), silence where the ring has none."""
        return await listen(self.scripts.redis, f"{self.scripts.tag(self.stream)}:pcm:{self.stream}", start, end)

    async def amend(self, **changes: object) -> None:
        """Write what was learned into the record."""
        while found := await self.scripts.record(self.stream):
            version, record = found
            self.record = record.model_copy(update=changes)
            if await self.scripts.post(self.stream, self.name, version, uuid4().hex, self.record, []):
                return


class Warm(NamedTuple):
    """What a replica keeps of a lane between two turns, and the versions for which it is good."""

    version: str = ""
    state: State | None = None
    record_version: str = ""
    record: Record = Record()


Trace = Callable[[Turn, float, Sequence[Message]], None]
"""Told of each committed turn: when it began (epoch seconds), and what went in and out."""
Handler = Callable[[Any, Any, Context], AsyncGenerator[Any, None]]


async def pass_on(message: Message, state: State, context: Context) -> AsyncGenerator[Message, None]:
    """What a stage does with Progress and End when it has nothing to add."""
    yield message.model_copy(update={"language": context.language})


class Stage(Replica):
    def __init__(
        self,
        name: str,
        mesh: Mesh,
        handlers: Mapping[type[Message], Handler],
        state: type[State],
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        super().__init__(name, limits, metrics)
        self.mesh, self.handlers, self.state = mesh, handlers, state
        self.probe: Callable[[str], None] = lambda point: None
        self.trace: Trace = lambda turn, begun, messages: None
        self._warm: dict[str, Warm] = {}
        metrics.slots.labels(name).set(limits.slots)

    async def take(self, token: Token) -> None:
        warm, started = self._warm.pop(token.lane, Warm()), perf_counter()
        try:
            turn = await self.scripts.begin(token, self.replica, self.limits.batch, warm.version, warm.record_version)
            if turn is None:
                return
            self.held[token] = turn
            turn.spent["begin"] = perf_counter() - started
            self.probe("begun")
            await self.play(turn, self._recall(turn, warm), self._context(turn, warm))
        except Fenced:
            self.metrics.fenced.labels(self.name).inc()
            await self.scripts.again(token, self.replica)
        except RedisError as error:
            log.warning("turn left to the sweepers", extra={"stage": self.name, "error": repr(error)})
        finally:
            self.held.pop(token, None)
            self.metrics.busy.labels(self.name).inc(perf_counter() - started)

    async def play(self, turn: Turn, state: State, context: Context) -> None:
        """Handle the mail as far as it goes well, and commit that."""
        outputs: list[Message] = []
        heard: list[Message] = []
        saved, started, over, begun = b"", perf_counter(), False, time()
        for mail in turn.mail:
            try:
                message = self.check(turn, mail)
                context.backlog = self._backlog(turn, message)
                outputs += await self._handle(message, state, context)
                heard.append(message)
            except RedisError:
                raise
            except Exception as error:
                if saved:
                    await self.commit(turn, saved, outputs, context, over)
                else:
                    await self.fail(turn, mail, error)
                return
            turn.position, over = mail.position, isinstance(message, End)
            saved = dump(state)
            self.probe("handled")
        turn.spent["handle"] = perf_counter() - started
        version = await self.commit(turn, saved or dump(state), outputs, context, over)
        self.trace(turn, begun, [*heard, *outputs])
        if not over:
            self._remember(turn.token.lane, Warm(version, state, turn.record[0], context.record))

    async def _handle(self, message: Message, state: State, context: Context) -> list[Message]:
        return [output async for output in self.handlers.get(type(message), pass_on)(message, state, context)]

    async def commit(self, turn: Turn, saved: bytes, outputs: list[Message], context: Context, over: bool) -> str:
        self.held.pop(turn.token, None)
        self.probe("before commit")
        started, version = perf_counter(), uuid4().hex
        rows = [output for output in outputs if isinstance(output, Sealed)]
        letters = [self.address(output, context) for output in outputs]
        await self.scripts.commit(turn, self.replica, version, saved, rows, letters, over=over, oldest=context.oldest)
        turn.spent["commit"] = perf_counter() - started
        self.probe("after commit")
        self._measure(turn)
        return version

    async def fail(self, turn: Turn, mail: Mail, error: Exception) -> None:
        """Try again, later each time, or put the message aside."""
        facts = {"stage": self.name, "lane": turn.token.lane, "position": mail.position, "error": repr(error)}
        if getattr(error, "retryable", True) and turn.attempt < self.limits.attempts:
            self.metrics.retries.labels(self.name).inc()
            log.warning("message failed, again", extra=facts)
            await asyncio.sleep(min(0.05 * 2**turn.attempt, 1.0))
            await self.scripts.again(turn.token, self.replica)
        else:
            self.metrics.dead_letters.labels(self.name).inc()
            log.error("message put aside", extra=facts, exc_info=error)
            await self.scripts.dead(turn, mail.position, repr(error))

    def check(self, turn: Turn, mail: Mail) -> Message:
        """The message of this mail, unless it has ended the process too often."""
        if turn.attempt > self.limits.attempts:
            raise EngineError("ended the process too often", retryable=False)
        return self.mesh.kinds[mail.kind].model_validate_json(mail.body)

    def address(self, message: Message, context: Context) -> Letter:
        if message.stream != context.stream:
            raise ValueError(f"a turn of {context.stream} cannot speak for {message.stream}")
        return self.mesh.address(self.name, message, context.record)

    def _backlog(self, turn: Turn, message: Message) -> float:
        if turn.newest is None:
            return 0.0
        return max(0.0, Message.model_validate_json(turn.newest).until - message.until)

    def _recall(self, turn: Turn, warm: Warm) -> State:
        if turn.state is not None:
            return self.state.model_validate_json(turn.state)
        if warm.state is None:
            return self.state()
        self.metrics.warm_hits.labels(self.name).inc()
        return warm.state

    def _remember(self, lane: str, warm: Warm) -> None:
        self._warm[lane] = warm
        if len(self._warm) > self.limits.warm:
            self._warm.pop(next(iter(self._warm)))

    def _context(self, turn: Turn, warm: Warm) -> Context:
        stream, _, language = turn.token.lane.partition("~")
        record = new_record(turn, warm.record)
        return Context(stream, language, record, self.scripts, self.name, wanted=turn.wanted, inbox=turn.inbox)

    def _measure(self, turn: Turn) -> None:
        self.metrics.turns.labels(self.name).inc()
        self.metrics.messages.labels(self.name).inc(len(turn.mail))
        self.metrics.lag_seconds.labels(self.name).observe(turn.lag)
        for phase, spent in turn.spent.items():
            self.metrics.turn_seconds.labels(self.name, phase).observe(spent)


def new_record(turn: Turn, known: Record) -> Record:
    body = turn.record[1]
    return Record.model_validate_json(body) if body else known


def dump(state: State) -> bytes:
    return state.model_dump_json().encode()
