"""Seals segments a constant delay behind the head, for all renditions at once, and serves them as HLS."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.sender import captions, cleaning, publish, serving, sidecar, sights, whep
from services.sender.loudness import Loudness
from services.sender.publish import Publisher, Warm
from services.sender.sidecar import Sidecar
from services.sender.sights import Sights
from services.sender.timeline import Due, Timeline
from shared.audio import TICKS, VOICE, seconds
from shared.bus import Context, Limits, Service, State
from shared.context import Record, Row
from shared.links import Gate, Links, loopback
from shared.messages import (
    Clip,
    Dropped,
    End,
    Faces,
    Head,
    MediaSegment,
    Message,
    Progress,
    Sealed,
    Translation,
    Utterance,
    Warned,
)
from shared.store import open_store

log = logging.getLogger(__name__)

Out = Sealed | End | Warned


class Settings(BaseSettings):
    """Of the sender."""

    model_config = SettingsConfigDict(
        env_prefix="SENDER_", use_attribute_docstrings=True, populate_by_name=True, hide_input_in_errors=True
    )

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
    keep: float = 3600.0
    """Seconds for which the last minute of a stream stays playable after its end, where nobody records it."""
    listeners: int = 100
    """Listeners by WHEP that one process serves at the same time; see `listen` of a stream."""
    secret: str = Field(default="", validation_alias="PLAYBACK_SECRET", repr=False)
    """What signs playback links, 16 characters or more, the same for ingest; of several with commas the first."""
    require_link: bool | None = None
    """Whether playback needs a signed link; unset: only where the server is reached from other machines (see HOST)."""
    host: str = Field(default="127.0.0.1", validation_alias="HOST")
    """Address of the HTTP port."""

    @property
    def gate(self) -> Gate:
        """Who may play."""
        closed = not loopback(self.host) if self.require_link is None else self.require_link
        return Gate(Links.parse(self.secret), closed, time.time)


class SenderState(State):
    """What the sender remembers of a stream."""

    timeline: Timeline = Timeline()
    loudness: Loudness = Loudness()
    sights: Sights = Sights()
    sidecar: Sidecar = Sidecar()
    swept: int = 0
    """Ticks at which old objects were looked for."""
    stuck: bool = False
    """The store takes nothing; it has been told."""
    room: int = 0
    """What has been given up since the store last took something: 1 speech behind the seal, 2 the recording too."""
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
    gate = settings.gate
    if gate.closed and gate.links is None:
        log.warning("playback needs links and nothing signs them: set PLAYBACK_SECRET, or SENDER_REQUIRE_LINK=false")
    service.router = serving.router(
        lambda: service.bus, store, settings.window, here.parent / "web", hlsjs, settings.memory << 20, gate
    )
    door = whep.Door(lambda: service.bus, store, settings.listeners)
    service.router.include_router(whep.router(door, gate))
    service.on_stop(door.close)
    cleaner: list[asyncio.Task[None]] = []

    @service.on_start
    async def tidy() -> None:
        cleaner.append(asyncio.create_task(cleaning.keep_clean(store, settings.keep)))

    @service.on_stop
    async def rest() -> None:
        while cleaner:
            cleaner.pop().cancel()

    async def store_segment(due: Due, state: SenderState, stream: str, record: Record) -> Sealed:
        sealed = await publisher.publish(due, state.timeline, stream, record, state._warm)
        if record.faces:
            sealed = await sights.beside(state.sights, sealed, store)
        return await sidecar.beside(state.sidecar, sealed, store)

    async def make_room(state: SenderState, stream: str, context: Context) -> str:
        """Give up something for the sake of the stream; what, in words for the operator, or nothing."""
        record, seal = context.record, state.timeline.sealed or 0
        state.room += 1
        if state.room == 1:
            freed = await cleaning.sweep(store, stream, seal - round(settings.grace * TICKS), cleaning.SPEECH)
            return "the store is full: speech that is mixed already has been deleted" if freed else ""
        if state.room == 2 and record.record and record.live is not False:
            warning = "the store is full: the recording has stopped, the stream goes on"
            await context.amend(record=False, warnings=(*record.warnings, warning))
            await cleaning.sweep(store, stream, behind(seal))
            return warning
        return ""

    def behind(seal: int) -> int:
        return seal - round((settings.window + settings.grace) * TICKS)

    async def seal(message: Message, state: SenderState, context: Context) -> AsyncIterator[Out]:
        record = context.record
        timeline, stream, live = state.timeline, message.stream, record.live is not False
        if state.closed:
            return
        timeline.target = max(timeline.target, -(-round(record.segment * 1000) // 1000) * TICKS)
        limit = timeline.limit(live, publish.delay_of(record), record.languages)
        while due := timeline.due(limit, record.ads == "slate"):
            try:
                sealed = await store_segment(due, state, stream, record)
            except OSError as error:
                log.warning("nothing can be stored", extra={"stream": stream, "error": repr(error)})
                while state.room < 2:
                    if given_up := await make_room(state, stream, context):
                        yield Warned(stream=stream, until=seconds(due.start), warning=given_up)
                        break
                else:
                    if not state.stuck:
                        state.stuck = True
                        yield Warned(stream=stream, until=seconds(due.start), warning="storage refuses new segments")
                    # The message is done all the same: the next one seals what this one could not.
                    return
                record = context.record
                continue
            state.stuck, state.room = False, 0
            timeline.publish(due)
            state._rows = [*state._rows[-255:], sealed]
            yield sealed
        if timeline.finished(live, record.languages):
            if timeline.number:
                rows = _joined(await service.bus.log(stream), state._rows)
                try:
                    if not publish.kept(record):
                        await cleaning.note(store, stream, time.time())
                    await serving.finish(store, stream, record, rows, settings.window)
                except OSError as error:
                    log.warning("nothing can be stored", extra={"stream": stream, "error": repr(error)})
                    told = "the store is full: the stream cannot be played again"
                    yield Warned(stream=stream, until=seconds(timeline.sealed or 0), warning=told)
                state.closed = True
                yield End(stream=stream, until=seconds(timeline.sealed or 0))
        elif not publish.kept(record) and (timeline.sealed or 0) >= state.swept + cleaning.SWEEP:
            state.swept = timeline.sealed or 0
            await cleaning.sweep(store, stream, behind(state.swept))
            ends = ((row.number, row.body.start + row.body.duration) for row in await service.bus.log(stream))
            context.oldest = next((number for number, end in ends if end > behind(state.swept)), 0)

    @service.on(MediaSegment, state=SenderState)
    async def capture(message: MediaSegment, state: SenderState, context: Context) -> AsyncIterator[Out]:
        late = state.timeline.late
        state.timeline.capture(message)
        if state.timeline.late > late:
            log.warning("media came after its seal", extra={"stream": message.stream, "start": message.start})
        async for made in seal(message, state, context):
            yield made

    @service.on(Head, state=SenderState)
    async def move(message: Head, state: SenderState, context: Context) -> AsyncIterator[Out]:
        state.timeline.move(message.head, message.ended)
        async for made in seal(message, state, context):
            yield made

    @service.on(Clip, state=SenderState)
    async def place(message: Clip, state: SenderState, context: Context) -> AsyncIterator[Out]:
        timeline = state.timeline
        timeline.promise(message.language, message.until)
        if spoken := timeline.place(message, state.loudness.gain):
            state.sidecar.dub(message, spoken.start / VOICE, publish.delay_of(context.record))
        else:
            log.warning("clip came too late", extra={"stream": message.stream, "utterance": message.utterance})
        async for made in seal(message, state, context):
            yield made

    @service.on(Dropped, state=SenderState)
    @service.on(Progress, state=SenderState)
    async def promise(message: Dropped | Progress, state: SenderState, context: Context) -> AsyncIterator[Out]:
        state.timeline.promise(message.language, message.until)
        async for made in seal(message, state, context):
            yield made

    @service.on(Utterance, state=SenderState)
    async def hear(message: Utterance, state: SenderState, context: Context) -> AsyncIterator[Out]:
        timeline, record = state.timeline, context.record
        timeline.hear(message.utterance, message.start)
        name, colour = _speaker(record, message.speaker)
        state.sidecar.hear(message, name)
        own = f"captions-{publish.spoken(record)}"
        timeline.caption(own, message.start, message.end, message.text, name, colour)
        if publish.dubbed(record):
            start, end = round(message.start * VOICE), round(message.end * VOICE)
            await publisher.listen(state.loudness, timeline, start, end, state._warm)
        async for made in seal(message, state, context):
            yield made

    @service.on(Translation, state=SenderState)
    async def translate(message: Translation, state: SenderState, context: Context) -> AsyncIterator[Out]:
        record = context.record
        if message.wordings and message.language != publish.spoken(record):
            name, colour = _speaker(record, message.speaker)
            state.sidecar.translate(message)
            rendition, text = f"captions-{message.language}", message.wordings[0].text
            state.timeline.caption(rendition, message.start, message.end, text, name, colour)
        async for made in seal(message, state, context):
            yield made

    @service.on(Faces, state=SenderState)
    async def see(message: Faces, state: SenderState) -> AsyncIterator[Out]:
        # Faces move no seal: what follows from them is told with the next segment.
        state.sights.take(message)
        return
        yield

    @service.on(End, state=SenderState)
    async def end(message: End, state: SenderState, context: Context) -> AsyncIterator[Out]:
        state.timeline.close(message.language)
        async for made in seal(message, state, context):
            yield made

    return service


def _speaker(record: Record, speaker: int | None) -> tuple[str, str]:
    """Name and colour."""
    if speaker is None:
        return "", ""
    who = record.merged.get(str(speaker), str(speaker))
    casting = record.casting.get(who)
    name = casting.name if casting and casting.name else f"Speaker {int(who) + 1}"
    return name, captions.COLOURS[int(who) % len(captions.COLOURS)]


def _joined(rows: list[Row], newest: list[Sealed]) -> list[Row]:
    """The log with the rows of the running turn."""
    rows = list(rows)
    for sealed in newest:
        last = rows[-1] if rows else None
        if last is None or sealed.number > last.number:
            seams = (last.seams if last else 0) + sealed.discontinuity
            rows.append(Row(number=sealed.number, sealed=sealed.until, seams=seams, body=sealed))
    return rows
