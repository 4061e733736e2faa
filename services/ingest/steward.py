"""What has to be done for streams when nobody asks: ends noted, minutes kept, delays changed in a pause of speech, what
was said written down.

Every replica of ingest does all of it; a record changes only from the version that was read, so all is done once.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from services.ingest import pause, streams
from services.ingest.chronicle import Chronicler
from services.ingest.door import Bus, Door
from services.ingest.usage import Usage
from shared.context import Event, Record

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks at all streams."""
OFTEN = 0.4
"""Seconds between two looks at a stream whose delay waits for a pause."""
LOOK = 60.0
"""Seconds of events that tell who speaks."""


class Steward:
    """Looks after the records of all tenants."""

    def __init__(
        self, door: Door, bus: Callable[[], Bus], usage: Usage, clock: Callable[[], float], chronicler: Chronicler
    ) -> None:
        self._door, self._bus, self._usage, self._clock = door, bus, usage, clock
        self._chronicler = chronicler
        self._since: dict[str, float] = {}
        """Streams whose delay waits for a pause, with the epoch seconds from which on it does."""

    async def run(self) -> None:
        """Works until it is cancelled; what fails is tried again."""
        waited = EVERY
        while True:
            try:
                if waited >= EVERY:
                    await self.look()
                    waited = 0.0
                elif self._since:
                    await self.change()
            except Exception as error:
                log.warning("streams are not looked after", extra={"error": repr(error)})
            await asyncio.sleep(OFTEN)
            waited += OFTEN

    async def look(self) -> None:
        """Looks at every stream once."""
        records, now = await self._bus().records(), self._clock()
        tenants: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            tenants[record.tenant].append(record)
            if streams.over(record) and not record.ended_at:
                await self._note_end(record, now)
        for tenant, owned in tenants.items():
            running = [record for record in owned if streams.running(record)]
            self._usage.holds(
                tenant,
                streams=len(running),
                languages=sum(len(record.languages) for record in running),
                minutes=sum(streams.minutes(record, now) for record in owned),
            )
            if self._door.quota.spent(owned, now):
                await asyncio.gather(*(self._stop(record) for record in running))
        waiting = {record.stream for record in records if record.next_delay is not None and streams.running(record)}
        self._since = {stream: self._since.get(stream, now) for stream in waiting}
        for record in records:
            await self._chronicler.note(record.stream, streams.over(record))
        await self._chronicler.forget({record.stream for record in records})

    async def change(self) -> None:
        """Lets delays come into force where there is a pause in speech now."""
        for stream, since in list(self._since.items()):
            found, now = await self._bus().record(stream), self._clock()
            if found is None or found[1].next_delay is None:
                del self._since[stream]
                continue
            version, record = found
            wanted = streams.whole(record.next_delay or record.delay, record.segment)
            if pause.suits(record, wanted, await self._events(stream, now - LOOK), now - since):
                longest = streams.longest(wanted)
                changed = record.model_copy(update={"delay": wanted, "longest": longest, "next_delay": None})
                if await self._bus().post(changed, version):
                    log.info("Delay changed", extra={"stream": stream, "delay": wanted})

    async def _note_end(self, record: Record, now: float) -> None:
        events = await self._events(record.stream, now - streams.DAY)
        ended_at = min(now, max((event.at for event in events), default=now))
        if found := await self._bus().record(record.stream):
            version, known = found
            if not known.ended_at:
                await self._bus().post(known.model_copy(update={"ended_at": ended_at}), version)

    async def _stop(self, record: Record) -> None:
        if found := await self._bus().record(record.stream):
            await self._door.end(*found, streams.SPENT)

    async def _events(self, stream: str, since: float) -> Sequence[Event]:
        """What was said from `since` on, epoch seconds: ids of events are the milliseconds of the bus's clock."""
        found: list[Event] = []
        after = f"{max(0, round(since * 1000))}-0"
        while events := await self._bus().events(stream, found[-1].id if found else after):
            found += events
        return found


class Work:
    """The steward's task in this process."""

    def __init__(self, steward: Steward) -> None:
        self._steward = steward
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._steward.run())

    async def stop(self) -> None:
        """Ends."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
