"""A source's URL in, its sound and pictures on one media clock out."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Literal

from pydantic import PrivateAttr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.downloader import package
from services.downloader.demux import Unusable
from services.downloader.ear import Ear, samples
from services.downloader.head import Clock
from services.downloader.push import Push
from services.downloader.resolve import Ways, resolve
from services.downloader.sites import KNOWN, Sites
from services.downloader.source import Cursor, Found, Lost, Opened, Piece, Source
from shared import guard
from shared.audio import BASE, seconds
from shared.bus import Context, Limits, Service, State
from shared.context import Pcm
from shared.messages import AudioChunk, End, Gap, Head, MediaSegment, StreamStarted, StreamStopped
from shared.store import Store, open_store

log = logging.getLogger(__name__)

Emission = list[Pcm | AudioChunk | MediaSegment | Gap | Head | End]
Reason = Literal["ended", "stopped", "failed"]

GLANCE = 0.2
"""Seconds between two looks at the inbox and at what is sealed."""
AFTER = 0.002
"""Seconds by which a look follows a seal, so that clocks agree that it has come."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="DOWNLOADER_", use_attribute_docstrings=True)

    store: str = "memory://"
    """URL of the object store."""
    files: str = ""
    """Folder of the files that `file:NAME` may name; none where it is empty."""
    allow: str = ""
    """Inner addresses that may be fetched all the same: exact `host:port` pairs with commas between them."""
    resolvers: str = ",".join(KNOWN)
    """Who is asked about pages of video sites, in this order; nobody where it is empty."""
    generic: bool = False
    """Whether yt-dlp may guess at pages of sites that it does not know."""
    cookies: str = ""
    """Folder with a file of cookies (Netscape's format) for each tenant: `<tenant>.txt`."""
    resolving: float = 30.0
    """Seconds that the resolvers may take."""
    height: int = 720
    """Lines of the largest picture that is taken from a multivariant playlist."""
    patience: float = 60.0
    """Seconds without a new segment after which a source has ended."""
    start: float = 12.0
    """Seconds in which a source must deliver its first segment."""
    rtmp: str = ""
    """`host:port` at which an encoder publishes the stream `rtmp:NAME` as rtmp://host:port/live/NAME; nowhere where it
    is empty. The name is no secret: keep the port inside, or put a media server with keys in front."""
    srt: str = ""
    """`host:port` at which the stream `srt:NAME` is published by SRT; it needs ffmpeg."""
    whip: str = ""
    """`NAME=KEY` pairs with commas between them: who may publish the stream `whip:NAME` by WHIP (WebRTC) at /whip/NAME
    of the HTTP port, with its key as bearer token; nobody where it is empty. It needs UDP, and one replica alone."""
    publisher: float = 600.0
    """Seconds that a first publisher is waited for."""
    timeout: float = 10.0
    """Seconds that one request may take."""
    chunk: float = 0.5
    """Seconds of an AudioChunk, more or less; none is longer than 1."""
    ahead: float = 40.0
    """Seconds that a file may be read ahead of what is sealed."""
    slots: int = 16
    """Streams that one replica follows at once."""


class DownloaderState(State):
    """Where the stream stands; another replica goes on from here."""

    cursor: Cursor = Cursor()
    clock: Clock = Clock()
    captured: int = BASE
    """End of the newest media, ticks."""
    ear: int = samples(BASE)
    """Where the next chunk starts, samples at 16 kHz."""
    live: bool | None = None
    """None until the source is open."""
    over: Reason | None = None
    """Why the source is over, once it is."""
    _ear: Ear = PrivateAttr(default_factory=Ear)

    @property
    def until(self) -> float:
        return package.until(self.captured, self.ear)


class Feed:
    """Runs a source in the background, so that the head can move while it is silent."""

    def __init__(self, source: Source) -> None:
        self._found: asyncio.Queue[tuple[Found, Cursor, float] | None] = asyncio.Queue(16)
        self._task = asyncio.create_task(self._pump(source))

    async def _pump(self, source: Source) -> None:
        try:
            async for found, cursor in source.events():
                await self._found.put((found, cursor, time.time()))
        finally:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                await self._found.put(None)

    async def next(self, timeout: float) -> tuple[Found, Cursor, float] | None:
        """The next find with its time of arrival, None at the end; raises TimeoutError and Unusable."""
        async with asyncio.timeout(timeout):
            found = await self._found.get()
        if found is None:
            await self._task
        return found

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, Unusable):
            await self._task


class Downloader:
    """Follows one stream in one turn."""

    def __init__(self, settings: Settings, store: Store, state: DownloaderState, context: Context) -> None:
        self._settings, self._store, self._state, self._context = settings, store, state, context
        self._stream = context.record.stream
        self._told = 0.0
        self._seals: deque[float] = deque()
        """Heads at which the sender will seal something, seconds; one that is told late makes that delay uneven."""

    async def run(self, source: Source) -> AsyncGenerator[Emission, None]:
        """Emissions up to the end of the source, or to a stop; raises Unusable."""
        feed, state = Feed(source), self._state
        deadline = time.time() + (source.wait if isinstance(source, Push) else self._settings.start) + 2
        try:
            while not await self._stopped():
                if self._full():
                    await asyncio.sleep(GLANCE)
                    yield []
                    continue
                try:
                    item = await feed.next(self._glance())
                except TimeoutError:
                    if state.captured == BASE and time.time() > deadline:
                        raise Unusable("The source did not answer in time.") from None
                    yield self._silence()
                    continue
                if item is None:
                    state.over = "ended"
                    return
                found, state.cursor, arrived = item
                yield await self._emission(found, arrived)
        finally:
            await feed.close()

    async def close(self) -> AsyncGenerator[Emission, None]:
        """What follows the last sample: a live source gets its delay, then the head ends, then the stream."""
        state, record = self._state, self._context.record
        last = seconds(state.captured) + (record.delay if state.live else 0.0)
        while state.over == "ended" and state.live and state.clock.silent(time.time()) < last:
            if await self._stopped():
                break
            yield self._silence()
            await asyncio.sleep(self._glance())
        head = state.clock.captured(last) if state.captured > BASE else state.clock.head
        reason = state.over or "ended"
        if reason != "failed":
            await self._context.amend(state="ended")
        yield [
            Head(stream=self._stream, until=head, head=head, ended=True),
            End(stream=self._stream, until=head, reason=reason),
        ]

    async def _stopped(self) -> bool:
        while not self._context.inbox.empty():
            if isinstance(await self._context.inbox.get(), StreamStopped):
                self._state.over = "stopped"
        return self._state.over == "stopped"

    def _full(self) -> bool:
        """Whether a source without a wall clock is too far ahead of what is sealed."""
        ahead = self._state.clock.head - max(self._context.sealed, 0.0)
        return self._state.live is False and ahead > self._settings.ahead

    def _glance(self) -> float:
        """Seconds to the next look around: it is not later than the next seal."""
        clock = self._state.clock
        while self._seals and self._seals[0] <= clock.head:
            self._seals.popleft()
        if not self._seals or clock.lag is None:
            return GLANCE
        return min(max(self._seals[0] + clock.lag - time.time() + AFTER, AFTER), GLANCE)

    def _silence(self) -> Emission:
        now, lag = time.time(), self._state.clock.lag
        if not self._state.live or lag is None:
            return []
        due = bool(self._seals) and now - lag > self._seals[0]
        if now - self._told < 1.0 and not due:
            return []
        self._told = now
        head = self._state.clock.silent(now)
        return [Head(stream=self._stream, until=self._state.until, head=head)]

    async def _emission(self, found: Found, arrived: float) -> Emission:
        match found:
            case Opened():
                return await self._open(found)
            case Lost():
                return self._lose(found)
            case Piece():
                return await self._hand_on(found, arrived)

    async def _open(self, found: Opened) -> Emission:
        """Write what is known now into the record; the delay becomes a whole number of segments."""
        self._state.live = found.live
        record = self._context.record
        whole = math.ceil(record.delay / found.target - 1e-6) * found.target
        await self._context.amend(
            live=found.live,
            segment=found.target,
            title=record.title or found.title,
            told_language=found.language,
            delay=round(whole, 3),
            state="running",
        )
        return []

    def _lose(self, found: Lost) -> Emission:
        state, start, end = self._state, seconds(found.start), seconds(found.end)
        state.ear, state.captured = max(state.ear, samples(found.end)), max(state.captured, found.end)
        self._seals.append(end + self._context.record.delay)
        log.warning("media lost", extra={"stream": self._stream, "seconds": end - start, "reason": found.reason})
        return [Gap(stream=self._stream, until=end, start=start, end=end, reason=found.reason)]

    async def _hand_on(self, piece: Piece, arrived: float) -> Emission:
        state, settings = self._state, self._settings
        heard = await asyncio.to_thread(state._ear.hear, piece.audio, state.ear, samples(piece.end))
        state.ear, state.captured = heard.end, piece.end
        end = seconds(piece.end)
        self._seals.append(end + self._context.record.delay)
        if state.live:
            head = state.clock.arrived(end, arrived)
        else:
            state.clock.lag = arrived - end if state.clock.lag is None else state.clock.lag
            head = state.clock.captured(end)
        date = (state.clock.lag or 0.0) + seconds(piece.start)
        self._told = time.time()
        segment = await package.segment(self._store, self._stream, piece, until=state.until, date=date, arrived=arrived)
        sound = package.chunks(self._stream, heard, length=settings.chunk, advert=piece.advert, arrived=arrived)
        return [*sound, segment, Head(stream=self._stream, until=state.until, head=head)]


def sites(settings: Settings, policy: guard.Policy, tenant: str) -> Sites:
    """The resolvers for one tenant, with its cookies where it has some."""
    path = Path(settings.cookies) / f"{tenant}.txt"
    known = settings.cookies and tenant and Path(tenant).name == tenant and path.is_file()
    return Sites(
        policy,
        resolvers=[name for name in settings.resolvers.split(",") if name in KNOWN],
        cookies=str(path.resolve()) if known else "",
        height=settings.height,
        generic=settings.generic,
        limit=settings.resolving,
    )


def create(settings: Settings | None = None) -> Service:
    """Build the service; raises ValueError for an exception of the guard that is not host:port."""
    settings = settings or Settings()
    service = Service("downloader", Limits(slots=settings.slots))
    policy = guard.Policy.parse(settings.allow)
    store = open_store(settings.store)
    doors = None
    if settings.whip:
        from services.downloader import whip

        doors = whip.Doors.parse(settings.whip)
        service.router = whip.router(doors)

    @service.source(StreamStarted, state=DownloaderState)
    async def download(
        started: StreamStarted, state: DownloaderState, context: Context
    ) -> AsyncGenerator[Emission, None]:
        downloader = Downloader(settings, store, state, context)
        if state.over is None:
            try:
                async with guard.session(policy, settings.timeout) as client:
                    ways = Ways(
                        client,
                        policy,
                        sites(settings, policy, context.record.tenant),
                        settings.files,
                        settings.patience,
                        settings.start,
                        settings.publisher,
                        {"rtmp": settings.rtmp, "srt": settings.srt},
                        doors.door if doors else None,
                    )
                    source = await resolve(context.record.url, ways, state.cursor)
                    async with aclosing(downloader.run(source)) as emissions:
                        async for emission in emissions:
                            yield emission
            except Unusable as error:
                state.over = "failed"
                await context.amend(state="failed", reason=str(error))
        async with aclosing(downloader.close()) as emissions:
            async for emission in emissions:
                yield emission

    return service
