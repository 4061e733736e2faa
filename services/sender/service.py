"""Seals segments a constant delay behind the head, for all renditions at once, and serves them as HLS."""

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import PrivateAttr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.sender import publish, serving
from services.sender.loudness import Loudness
from services.sender.publish import Publisher, Warm
from services.sender.timeline import Timeline
from shared.audio import TICKS, VOICE, seconds
from shared.bus import Context, Limits, Service, State
from shared.context import Record, Row
from shared.messages import (
    Clip,
    Dropped,
    End,
    Head,
    MediaSegment,
    Message,
    Progress,
    Sealed,
    Translation,
    Utterance,
    Warned,
)
from shared.store import Store, open_store

log = logging.getLogger(__name__)

Out = Sealed | End | Warned

SWEEP = 10 * TICKS
"""Ticks of media between two looks for old objects."""
TIMED = re.compile(r"(?!init|slate|card)[^/]*?-(\d{6,})(?:-[0-9a-f]+)?(?:\.\w+)?")
"""Names that carry their media time; whatever has none stays."""


class Settings(BaseSettings):
    """Of the sender."""

    model_config = SettingsConfigDict(env_prefix="SENDER_", use_attribute_docstrings=True)

    store: str = "memory://"
    """Where objects live: memory://, file:///folder, s3://bucket/prefix."""
    window: float = 60.0
    """Seconds that a viewer can go back in a live playlist."""
    grace: float = 60.0
    """Seconds for which objects outlive their place in the playlist."""
    clean: bool = True
    """Offer a clean dub (voice alone) beside each voice-over."""
    slots: int = 8
    """Streams that one process packages at the same time."""
    hlsjs: str = "node_modules/hls.js/dist/hls.min.js"
    """The player library of the watch page, from the project's folder; a copy in web/ is used where it is missing."""
    memory: int = 64
    """Megabytes of media that a process keeps in RAM for viewers."""


class SenderState(State):
    """What the sender remembers of a stream."""

    timeline: Timeline = Timeline()
    loudness: Loudness = Loudness()
    swept: int = 0
    """Ticks at which old objects were looked for."""
    stuck: bool = False
    """The store takes nothing; it has been told."""
    closed: bool = False
    """The final playlists are stored."""
    _warm: Warm = PrivateAttr(default_factory=Warm)
    _rows: list[Sealed] = PrivateAttr(default_factory=list)
    """The newest rows: those of the running turn are not in the log yet."""


def create(settings: Settings | None = None) -> Service:
    settings = settings or Settings()
    service = Service("sender", Limits(slots=settings.slots))
    store = open_store(settings.store)
    publisher = Publisher(store, clean=settings.clean)
    here = Path(__file__)
    hlsjs = here.parents[2] / settings.hlsjs
    service.router = serving.router(
        lambda: service.bus, store, settings.window, here.parent / "web", hlsjs, settings.memory << 20
    )

    async def seal(message: Message, state: SenderState, record: Record) -> AsyncIterator[Out]:
        timeline, stream, live = state.timeline, message.stream, record.live is not False
        if state.closed:
            return
        timeline.target = max(timeline.target, -(-round(record.segment * 1000) // 1000) * TICKS)
        limit = timeline.limit(live, publish.delay_of(record), record.languages)
        while due := timeline.due(limit, record.ads == "slate"):
            try:
                sealed = await publisher.publish(due, timeline, stream, record, state._warm)
            except OSError as error:
                # The message is done all the same: the next one seals what this one could not.
                log.warning("nothing can be stored", extra={"stream": stream, "error": repr(error)})
                if not state.stuck:
                    state.stuck = True
                    yield Warned(stream=stream, until=seconds(due.start), warning="storage refuses new segments")
                return
            state.stuck = False
            timeline.publish(due)
            state._rows = [*state._rows[-255:], sealed]
            yield sealed
        if timeline.finished(live, record.languages):
            if timeline.number:
                rows = _joined(await service.bus.log(stream), state._rows)
                await serving.finish(store, stream, record, rows, settings.window)
                state.closed = True
                yield End(stream=stream, until=seconds(timeline.sealed or 0))
        elif not publish.kept(record) and (timeline.sealed or 0) >= state.swept + SWEEP:
            state.swept = timeline.sealed or 0
            await _sweep(store, stream, state.swept - round((settings.window + settings.grace) * TICKS))

    @service.on(MediaSegment, state=SenderState)
    async def capture(message: MediaSegment, state: SenderState, context: Context) -> AsyncIterator[Out]:
        late = state.timeline.late
        state.timeline.capture(message)
        if state.timeline.late > late:
            log.warning("media came after its seal", extra={"stream": message.stream, "start": message.start})
        async for made in seal(message, state, context.record):
            yield made

    @service.on(Head, state=SenderState)
    async def move(message: Head, state: SenderState, context: Context) -> AsyncIterator[Out]:
        state.timeline.move(message.head, message.ended)
        async for made in seal(message, state, context.record):
            yield made

    @service.on(Clip, state=SenderState)
    async def place(message: Clip, state: SenderState, context: Context) -> AsyncIterator[Out]:
        timeline = state.timeline
        timeline.promise(message.language, message.until)
        if not timeline.place(message, state.loudness.gain):
            log.warning("clip came too late", extra={"stream": message.stream, "utterance": message.utterance})
        async for made in seal(message, state, context.record):
            yield made

    @service.on(Dropped, state=SenderState)
    @service.on(Progress, state=SenderState)
    async def promise(message: Dropped | Progress, state: SenderState, context: Context) -> AsyncIterator[Out]:
        state.timeline.promise(message.language, message.until)
        async for made in seal(message, state, context.record):
            yield made

    @service.on(Utterance, state=SenderState)
    async def hear(message: Utterance, state: SenderState, context: Context) -> AsyncIterator[Out]:
        timeline, record = state.timeline, context.record
        timeline.hear(message.utterance, message.start)
        speaker = _speaker(record, message.speaker)
        timeline.caption(f"captions-{publish.spoken(record)}", message.start, message.end, message.text, speaker)
        if publish.dubbed(record):
            start, end = round(message.start * VOICE), round(message.end * VOICE)
            await publisher.listen(state.loudness, timeline, start, end, state._warm)
        async for made in seal(message, state, record):
            yield made

    @service.on(Translation, state=SenderState)
    async def translate(message: Translation, state: SenderState, context: Context) -> AsyncIterator[Out]:
        record = context.record
        if message.wordings and message.language != publish.spoken(record):
            text, speaker = message.wordings[0].text, _speaker(record, message.speaker)
            state.timeline.caption(f"captions-{message.language}", message.start, message.end, text, speaker)
        async for made in seal(message, state, record):
            yield made

    @service.on(End, state=SenderState)
    async def end(message: End, state: SenderState, context: Context) -> AsyncIterator[Out]:
        state.timeline.close(message.language)
        async for made in seal(message, state, context.record):
            yield made

    return service


def _speaker(record: Record, speaker: int | None) -> str:
    if speaker is None:
        return ""
    who = record.merged.get(str(speaker), str(speaker))
    casting = record.casting.get(who)
    return casting.name if casting and casting.name else f"Speaker {int(who) + 1}"


def _joined(rows: list[Row], newest: list[Sealed]) -> list[Row]:
    """The log with the rows of the running turn."""
    rows = list(rows)
    for sealed in newest:
        last = rows[-1] if rows else None
        if last is None or sealed.number > last.number:
            seams = (last.seams if last else 0) + sealed.discontinuity
            rows.append(Row(number=sealed.number, sealed=sealed.until, seams=seams, body=sealed))
    return rows


async def _sweep(store: Store, stream: str, before: int) -> None:
    """Delete what no playlist names any more."""
    if before <= 0:
        return
    names = {key: TIMED.fullmatch(key.partition("/")[2]) for key in await store.names(stream)}
    await store.delete(key for key, found in names.items() if found and int(found[1]) < before)
