"""What was said in a stream, kept in the store for as long as its presentation: Redis keeps its last events only.

Parts follow each other: each is named by the event behind which it begins and says with which it ends. Every replica of
ingest writes them; the first part of a name counts, so all of them tell the same, whoever comes and goes.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from shared.context import Event
from shared.messages import AudioChunk, Clip, Translation, Utterance
from shared.store import Store

log = logging.getLogger(__name__)

KEPT = 4000
"""Events of a stream that the bus keeps at least."""
PART = KEPT // 4
"""Events that one part covers: several looks fit into what the bus keeps."""
FOLDER = "transcript"
BEGINNING = "0"
NAME = re.compile(r"[^/]+/transcript/(\d+)(?:-(\d+))?\.json")


class Source(Protocol):
    """What is read of the bus."""

    async def events(self, stream: str, after: str = BEGINNING) -> list[Event]: ...


class Said(BaseModel):
    """What was said, how it was translated, and how that is heard."""

    model_config = ConfigDict(frozen=True)

    utterances: tuple[Utterance, ...] = ()
    """Without their words."""
    translations: tuple[Translation, ...] = ()
    clips: tuple[Clip, ...] = ()
    since: float = 0.0
    """Media time, seconds, from which on nothing is missing; 0: nothing is."""
    until: str = BEGINNING
    """Id of the last event that it has."""

    def joined(self, later: "Said") -> "Said":
        """Returns this and what was said later."""
        return Said(
            utterances=self.utterances + later.utterances,
            translations=self.translations + later.translations,
            clips=self.clips + later.clips,
            since=max(self.since, later.since),
            until=later.until,
        )


def said(events: Sequence[Event], after: str = BEGINNING, whole: bool = True) -> Said:
    """Returns what events say that come behind the one with id `after`, with none between them if `whole`."""
    messages = [(event.stage, event.message) for event in events]
    starts = [message.start for _, message in messages if isinstance(message, AudioChunk)]
    # Without a chunk all that is known is how far others had come.
    since = starts[0] if starts else max((message.until for _, message in messages), default=0.0)
    return Said(
        utterances=tuple(
            message.model_copy(update={"words": ()})
            for stage, message in messages
            if isinstance(message, Utterance) and stage == "speaker"
        ),
        translations=tuple(m for _, m in messages if isinstance(m, Translation) and m.wordings),
        clips=tuple(m for _, m in messages if isinstance(m, Clip)),
        since=0.0 if whole else since,
        until=events[-1].id if events else after,
    )


@dataclass(slots=True)
class Pending:
    """What a process has read of a stream and not stored yet."""

    after: str
    """Id of the event behind which it begins."""
    said: Said
    events: int = 0


@dataclass(slots=True)
class Chronicler:
    """Writes down what is said in streams while they run, and reads all of it back."""

    bus: Callable[[], Source]
    store: Store
    _pending: dict[str, Pending] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    async def read(self, stream: str) -> Said:
        """Returns everything that was said in a stream, as far as it is known by now."""
        found = await self._parts(stream)
        events, whole = await self._behind(stream, found.until)
        return found.joined(said(events, found.until, whole))

    async def note(self, stream: str, over: bool = False) -> None:
        """Writes down what was said since the last part; the rest as well once a stream is `over` and silent."""
        self._seen.add(stream)
        pending = self._pending.get(stream)
        if pending is None:
            if over:
                return
            parts = await self._parts(stream)
            events, whole = await self._behind(stream, parts.until)
            pending = Pending(parts.until, said(events, parts.until, whole))
            self._pending[stream] = pending
        else:
            events = await self._events(stream, pending.said.until)
            pending.said = pending.said.joined(said(events, pending.said.until))
        pending.events += len(events)
        silent = over and not events
        if pending.events >= PART or (silent and pending.events):
            pending = await self._stored(stream, pending)
        if silent and not pending.events:
            del self._pending[stream]
        else:
            self._pending[stream] = pending

    async def forget(self, known: Collection[str]) -> None:
        """Deletes what was written of streams that are not known any more."""
        for stream in self._seen - set(known):
            await self.store.delete(key for key in await self.store.names(stream) if NAME.fullmatch(key))
            self._seen.discard(stream)
            self._pending.pop(stream, None)

    async def _stored(self, stream: str, pending: Pending) -> Pending:
        key = f"{stream}/{FOLDER}/{pending.after}.json"
        try:
            await self.store.put(key, pending.said.model_dump_json().encode())
            part = Said.model_validate_json(await self.store.get(key))
        except OSError as error:
            log.warning("a transcript cannot be stored", extra={"stream": stream, "error": repr(error)})
            return pending
        # Another replica may have been first, and have known less or more.
        return Pending(part.until, Said(until=part.until))

    async def _parts(self, stream: str) -> Said:
        named = [match for key in await self.store.names(stream) if (match := NAME.fullmatch(key))]
        keys = sorted(named, key=lambda match: (int(match[1]), int(match[2] or 0)))
        found = Said()
        for body in await asyncio.gather(*(self.store.get(match[0]) for match in keys)):
            found = found.joined(Said.model_validate_json(body))
        return found

    async def _behind(self, stream: str, after: str) -> tuple[list[Event], bool]:
        """Events behind `after`, and whether none is missing between."""
        if after == BEGINNING:
            events = await self._events(stream, after)
            return events, len(events) < KEPT
        events = await self._events(stream, before(after))
        known = [event for event in events if event.id == after]
        return [event for event in events if event.id != after], bool(known) or not events

    async def _events(self, stream: str, after: str) -> list[Event]:
        found: list[Event] = []
        while events := await self.bus().events(stream, found[-1].id if found else after):
            found += events
        return found


def before(name: str) -> str:
    """Returns the id of an event behind which the one with this id is the next."""
    millisecond, _, number = name.partition("-")
    return f"{millisecond}-{int(number) - 1}" if int(number or 0) else f"{int(millisecond) - 1}-{2**64 - 1}"
