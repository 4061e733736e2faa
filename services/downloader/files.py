"""A local file, cut into segments at its key pictures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, TypeVar

import av
from av.container import InputContainer
from av.stream import Disposition

from services.downloader.cut import LENGTH, Shears
from services.downloader.demux import OPTIONS, TAKEN, Fragment, Head, Unusable, head_of, packet_of
from services.downloader.recode import Recoder
from services.downloader.source import Cursor, Found, Opened, place
from shared.audio import TICKS

T = TypeVar("T")

SCANNED = 600 * TICKS
"""Ticks of a file that are searched for its longest segment."""


async def finished(work: Callable[[], T], wake: Callable[[], None] = lambda: None) -> T:
    """What `work` returns in a thread; a cancellation waits for it, since nobody may close a container under it.

    `wake` ends what the thread may be waiting for.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        wake()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def opened(media: BinaryIO) -> InputContainer:
    """The file as libav sees it; raises Unusable."""
    try:
        return av.open(media, "r", options=OPTIONS)
    except (av.error.FFmpegError, ValueError) as error:
        raise Unusable("There is no media in it that can be read.") from error


def moving(container: InputContainer) -> list[av.VideoStream]:
    """At most one picture track; a cover picture is none."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic][:1]


class Cutter:
    """Reads packets and hands out segments in order; it blocks on the disk or the network."""

    def __init__(self, container: InputContainer, raw: int | None = None) -> None:
        self._container = container
        streams: list[av.VideoStream | av.AudioStream] = [*moving(container), *container.streams.audio[:1]]
        self._heads: dict[str, Head] = {stream.type: head_of(stream) for stream in streams}
        if "audio" not in self._heads:
            raise Unusable("The source has no sound.")
        head = self._heads["audio"]
        self._recoder = None if head.codec in TAKEN else Recoder(head.channels)
        self._shears = Shears(self._recoder.head if self._recoder else head, "video" in self._heads)
        self._raw = raw
        if raw is not None:
            container.seek(max(raw * 1_000_000 // TICKS, 0))
        self._packets = container.demux(streams)

    def close(self) -> None:
        self._container.close()

    def next(self) -> Fragment | None:
        """The next segment; None at the end of the file."""
        while (found := self._shears.next()) is None:
            packet = next(self._packets, None)
            if packet is None:
                return self.rest()
            row = packet_of(packet)
            if row is None or (self._raw is not None and row.pts < self._raw - 1):
                continue
            if packet.stream.type == "audio":
                self._shears.sound(self._recoder.recode(packet) if self._recoder else [row])
            else:
                self._shears.picture(self._heads["video"], row)
        return found

    def rest(self) -> Fragment | None:
        """What has been read and not handed out."""
        if self._recoder:
            self._shears.sound(self._recoder.rest())
            self._recoder = None
        return self._shears.rest()


def longest(media: BinaryIO) -> float:
    """Seconds of the longest segment that the first ten minutes will be cut into."""
    with opened(media) as container:
        pictures = moving(container)
        start = first = last = None
        length = LENGTH
        for packet in container.demux(pictures) if pictures else ():
            row = packet_of(packet)
            if row is None:
                continue
            first = row.pts if first is None else first
            start = row.pts if start is None else start
            last = row.pts + row.duration
            if row.key and row.pts - start >= LENGTH - TICKS // 50:
                length, start = max(length, row.pts - start), row.pts
            if row.pts - first > SCANNED:
                break
        if start is not None and last is not None:
            length = max(length, last - start)
    return length / TICKS


class File:
    """A file as a source; it has no wall clock."""

    def __init__(self, media: BinaryIO, cursor: Cursor, title: str = "") -> None:
        self._media, self._cursor, self._title = media, cursor, title

    async def events(self) -> AsyncIterator[tuple[Found, Cursor]]:
        """Opened, then pieces in order; raises Unusable."""
        target = await finished(lambda: longest(self._media))
        self._media.seek(0)
        cutter = await finished(lambda: Cutter(opened(self._media), self._cursor.raw))
        try:
            yield Opened(False, target, self._title), self._cursor.model_copy(deep=True)
            while (found := await finished(cutter.next)) is not None:
                self._cursor.raw = found.start + found.duration
                for event in place(found, self._cursor):
                    yield event, self._cursor.model_copy(deep=True)
        finally:
            cutter.close()
            self._media.close()
