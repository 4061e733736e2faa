"""A local file, cut into segments at its key pictures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, TypeVar

import av
from av.container import InputContainer
from av.stream import Disposition

from services.downloader.demux import (
    OPTIONS,
    Fragment,
    Head,
    Packet,
    Tracks,
    Unusable,
    fragment,
    head_of,
    packet_of,
)
from services.downloader.recode import TAKEN, Recoder
from services.downloader.source import Cursor, Found, Opened, place
from shared.audio import TICKS

T = TypeVar("T")

LENGTH = 2 * TICKS
"""Ticks after which the next key picture starts a new segment."""
SCANNED = 600 * TICKS
"""Ticks of a file that are searched for its longest segment."""


async def finished(work: Callable[[], T]) -> T:
    """What `work` returns in a thread; a cancellation waits for it, since nobody may close a container under it."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
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
        self._streams: list[av.VideoStream | av.AudioStream] = [*moving(container), *container.streams.audio[:1]]
        self._heads: dict[str, Head] = {stream.type: head_of(stream) for stream in self._streams}
        if "audio" not in self._heads:
            raise Unusable("The source has no sound.")
        sound = container.streams.audio[0]
        self._recoder = None if sound.codec_context.name in TAKEN else Recoder(sound)
        if self._recoder:
            self._heads["audio"] = self._recoder.head
        self._raw = raw
        self._pictures: list[Packet] = []
        self._sounds: list[Packet] = []
        if raw is not None:
            container.seek(max(raw * 1_000_000 // TICKS, 0))
        self._packets = container.demux(self._streams)

    def close(self) -> None:
        self._container.close()

    def next(self) -> Fragment | None:
        """The next segment; None at the end of the file."""
        cut = self._cut()
        while cut is None:
            packet = next(self._packets, None)
            if packet is None:
                return self.rest()
            row = packet_of(packet)
            if row is None or (self._raw is not None and row.pts < self._raw - 1):
                continue
            if packet.stream.type == "audio":
                self._sounds += self._recoder.recode(packet) if self._recoder else [row]
            elif self._pictures or row.key:
                self._pictures.append(row)
            cut = self._cut()
        return self._take(cut)

    def _cut(self) -> int | None:
        """Index of the picture (or, without one, the sound) that starts the next segment, once its sound is there."""
        rows = self._pictures if "video" in self._heads else self._sounds
        for index, row in enumerate(rows):
            if index and row.key and row.pts - rows[0].pts >= LENGTH - TICKS // 50:
                late = rows[-1].pts - row.pts > 5 * TICKS
                return index if late or (self._sounds and self._sounds[-1].pts >= row.pts) else None
        return None

    def _take(self, cut: int) -> Fragment:
        if "video" not in self._heads:
            sounds, self._sounds = self._sounds[:cut], self._sounds[cut:]
            return fragment(Tracks(audio=self._heads["audio"], sounds=tuple(sounds)))
        after, pictures = self._pictures[cut], self._pictures[:cut]
        sounds = [row for row in self._sounds if row.pts < after.pts]
        self._pictures, self._sounds = self._pictures[cut:], [row for row in self._sounds if row.pts >= after.pts]
        tracks = Tracks(self._heads["video"], tuple(pictures), self._heads["audio"], tuple(sounds))
        return fragment(tracks, after.dts - pictures[0].dts)

    def rest(self) -> Fragment | None:
        """What has been read and not handed out."""
        if self._recoder:
            self._sounds += self._recoder.rest()
            self._recoder = None
        if not (self._pictures if "video" in self._heads else self._sounds):
            return None
        tracks = Tracks(self._heads.get("video"), tuple(self._pictures), self._heads["audio"], tuple(self._sounds))
        self._pictures, self._sounds = [], []
        return fragment(tracks)


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
