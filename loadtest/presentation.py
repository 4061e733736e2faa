"""A published HLS presentation, read as a whole: what a viewer would get, for measuring and for judging."""

import asyncio
import io
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import av
import m3u8
import numpy as np
from aiohttp import ClientError, ClientSession, ClientTimeout

from shared.audio import TICKS, VOICE, Pcm

TRIES = 5
"""Readings of all playlists until they agree: a live presentation may move on between two requests."""


class Span(NamedTuple):
    """Times of a fragmented segment, in ticks of its track."""

    decode: int
    """Decode time of the first sample."""
    present: int
    """Presentation time of the earliest sample; later than `decode` with B-frames."""
    duration: int
    samples: int


@dataclass(frozen=True, slots=True)
class Row:
    """One segment as its playlist lists it."""

    number: int
    """Media sequence number."""
    uri: str
    """Absolute."""
    duration: float
    """EXTINF, seconds."""
    date: float | None
    """EXT-X-PROGRAM-DATE-TIME, epoch seconds."""
    discontinuity: bool
    init: str
    """Absolute URI of the EXT-X-MAP in force; empty without."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """One media playlist."""

    name: str
    """`original`, `es-clean`: its file name without the suffix."""
    uri: str
    kind: str
    """video, audio or subtitles."""
    language: str
    label: str
    """NAME in the menu; empty for the video."""
    default: bool
    autoselect: bool
    target: float
    """TARGETDURATION, seconds."""
    first: int
    """EXT-X-MEDIA-SEQUENCE."""
    seams: int
    """EXT-X-DISCONTINUITY-SEQUENCE."""
    ended: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """EXT-X-STREAM-INF."""

    uri: str
    codecs: str
    bandwidth: int
    average_bandwidth: int
    resolution: tuple[int, int] | None
    frame_rate: float | None


class Timed(NamedTuple):
    """Where a segment lies on the media clock."""

    uri: str
    start: float
    """Media seconds of the earliest picture or sample."""
    duration: float


class Sound(NamedTuple):
    """Decoded sound of a rendition."""

    start: float
    """Media time of the first sample, seconds."""
    pcm: Pcm
    """48 kHz mono; silence in holes."""

    def between(self, start: float, end: float) -> Pcm:
        """Samples of [start, end) media seconds; fewer where the rendition does not reach."""
        low, high = (max(0, round((time - self.start) * VOICE)) for time in (start, end))
        return self.pcm[low:high]

    def level(self, start: float, end: float) -> float:
        """Loudness of [start, end) media seconds in dB of full scale, rms; -inf for nothing."""
        part = self.between(start, end).astype(np.float64)
        power = float(np.mean(part**2)) if part.size else 0.0
        return 10 * float(np.log10(power)) if power else float("-inf")


class Cue(NamedTuple):
    """One caption."""

    start: float
    """Media seconds."""
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Presentation:
    """Everything that a multivariant playlist leads to."""

    uri: str
    variants: tuple[Variant, ...]
    renditions: Mapping[str, Rendition]
    """By name; the video first."""
    objects: Mapping[str, bytes] = field(repr=False)
    """Bodies by absolute URI; what could not be fetched is absent."""

    def timed(self, name: str) -> list[Timed]:
        """Segments of a video or audio rendition on the media clock, by their fragments' own times."""
        return [self.timed_row(row) for row in self.renditions[name].rows]

    def epoch(self) -> float:
        """Date of media time 0, epoch seconds: what turns EXT-X-PROGRAM-DATE-TIME into media time."""
        for rendition in self.renditions.values():
            row = rendition.rows[0]
            if row.date is not None and row.init in self.objects and row.uri in self.objects:
                return row.date - self.timed_row(row).start
        raise ValueError("no segment with a date")

    def timed_row(self, row: Row) -> Timed:
        """One fragmented segment on the media clock."""
        scale = timescale(self.objects[row.init])
        times = span(self.objects[row.uri])
        return Timed(row.uri, times.present / scale, times.duration / scale)

    def sound(self, name: str) -> Sound:
        """A rendition's sound, decoded run by run and placed by its timestamps."""
        blocks: list[tuple[int, Pcm]] = []
        for run in runs(self.renditions[name].rows):
            data = self.objects[run[0].init] + b"".join(self.objects[row.uri] for row in run if row.uri in self.objects)
            blocks += _decoded(data)
        if not blocks:
            return Sound(0.0, np.zeros(0, np.float32))
        first, end = min(at for at, _ in blocks), max(at + pcm.size for at, pcm in blocks)
        whole = np.zeros(end - first, np.float32)
        for at, pcm in blocks:
            whole[at - first : at - first + pcm.size] = pcm
        return Sound(first / VOICE, whole)

    def cues(self, name: str) -> list[Cue]:
        """A subtitle rendition's cues in order, each once however many segments repeat it."""
        found: set[Cue] = set()
        for row in self.renditions[name].rows:
            if row.uri in self.objects:
                found.update(parse_webvtt(self.objects[row.uri].decode()))
        return sorted(found)


async def read(uri: str, timeout: float = 10.0) -> Presentation:
    """The presentation behind a multivariant playlist, an http(s) URL, a file or a folder with `master.m3u8` in it.

    Segments that cannot be had are absent from `objects`; OSError when a playlist cannot be had.
    """
    if not uri.startswith("http") and not uri.endswith(".m3u8"):
        uri = str(Path(uri) / "master.m3u8")
    async with ClientSession(timeout=ClientTimeout(total=timeout)) as session:
        fetch = _Fetch(session)
        master = m3u8.loads((await fetch(uri)).decode(), uri=uri)
        listed: list[tuple[str, m3u8.Media | None]] = [(urljoin(uri, entry.uri), None) for entry in master.playlists]
        listed += [(urljoin(uri, entry.uri), entry) for entry in master.media if entry.uri]
        for _ in range(TRIES):
            texts = await asyncio.gather(*(fetch(address) for address, _ in listed))
            renditions = [_rendition(*entry, text.decode()) for entry, text in zip(listed, texts, strict=True)]
            if len({(entry.first, len(entry.rows)) for entry in renditions}) == 1:
                break
        wanted = {row.uri for entry in renditions for row in entry.rows}
        wanted |= {row.init for entry in renditions for row in entry.rows if row.init}
        bodies = await asyncio.gather(*(fetch(address) for address in sorted(wanted)), return_exceptions=True)
        objects = {
            address: body for address, body in zip(sorted(wanted), bodies, strict=True) if isinstance(body, bytes)
        }
    variants = tuple(_variant(uri, entry) for entry in master.playlists)
    return Presentation(uri, variants, {entry.name: entry for entry in renditions}, objects)


def runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Fragmented segments between two discontinuities or changes of init; text segments are left out."""
    found: list[list[Row]] = []
    for row in rows:
        if not row.init:
            continue
        if not found or row.discontinuity or row.init != found[-1][-1].init:
            found.append([])
        found[-1].append(row)
    return found


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each box's payload in data[start:end] (ISO/IEC 14496-12, 4.2); ValueError when cut."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,), header = struct.unpack_from(">Q", data, start + 8), 16
        if size < header or start + size > end:
            raise ValueError(f"box {kind!r} of {size} bytes where {end - start} are left")
        yield kind, start + header, start + size
        start += size


def find(data: bytes, path: str) -> list[tuple[int, int]]:
    """Payload ranges of all boxes at a path such as `moof/traf/trun`."""
    ranges = [(0, len(data))]
    for name in path.encode().split(b"/"):
        ranges = [(low, high) for a, b in ranges for kind, low, high in boxes(data, a, b) if kind == name]
    return ranges


def timescale(init: bytes) -> int:
    """Ticks a second of the only track of an init segment; ValueError when there is not exactly one."""
    headers = find(init, "moov/trak/mdia/mdhd")
    if len(headers) != 1:
        raise ValueError(f"{len(headers)} tracks in the init segment")
    at = headers[0][0]
    begin = at + (20 if init[at] else 12)
    return int.from_bytes(init[begin : begin + 4])


def span(segment: bytes) -> Span:
    """Times of a media segment, whose fragments must join; ValueError for anything else."""
    decode = present = end = None
    samples = 0
    for fragment, high in find(segment, "moof"):
        (time_at, _), *_ = _only(segment, fragment, high, b"tfdt")
        (time,) = struct.unpack_from(">Q" if segment[time_at] else ">I", segment, time_at + 4)
        if end is not None and time != end:
            raise ValueError(f"fragments {time - end} ticks apart")
        (header, _), *_ = _only(segment, fragment, high, b"tfhd")
        usual = _default_duration(segment, header)
        end = time
        decode = time if decode is None else decode
        for run, _ in _only(segment, fragment, high, b"trun"):
            for duration, offset in _samples(segment, run, usual):
                present = end + offset if present is None else min(present, end + offset)
                end += duration
                samples += 1
    if decode is None or present is None or end is None:
        raise ValueError("no samples")
    return Span(decode, present, end - decode, samples)


def _only(data: bytes, low: int, high: int, name: bytes) -> list[tuple[int, int]]:
    """Ranges of the boxes `name` in the only track of a fragment."""
    tracks = [(a, b) for kind, a, b in boxes(data, low, high) if kind == b"traf"]
    if len(tracks) != 1:
        raise ValueError(f"{len(tracks)} tracks in a fragment")
    found = [(a, b) for kind, a, b in boxes(data, *tracks[0]) if kind == name]
    if not found:
        raise ValueError(f"a fragment without {name.decode()}")
    return found


def _default_duration(data: bytes, header: int) -> int | None:
    """default_sample_duration of a tfhd, if it has one."""
    flags = int.from_bytes(data[header + 1 : header + 4])
    if not flags & 8:
        return None
    at = header + 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    return int.from_bytes(data[at : at + 4])


def _samples(data: bytes, run: int, usual: int | None) -> Iterator[tuple[int, int]]:
    """(duration, composition offset) of each sample of a trun."""
    flags, count = struct.unpack_from(">II", data, run)
    flags &= 0xFFFFFF
    if not flags & 0x100 and usual is None:
        raise ValueError("no sample durations")
    row = run + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
    stride = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
    for at in range(row, row + count * stride, stride) if stride else [row] * count:
        duration = int.from_bytes(data[at : at + 4]) if flags & 0x100 else usual or 0
        offset = struct.unpack_from(">i", data, at + stride - 4)[0] if flags & 0x800 else 0
        yield duration, offset


_TIME = r"(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_MAP = re.compile(rf"^X-TIMESTAMP-MAP=(?:LOCAL:{_TIME},MPEGTS:(\d+)|MPEGTS:(\d+),LOCAL:{_TIME})$", re.M)
_CUE = re.compile(rf"^{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?$")


def parse_webvtt(text: str) -> list[Cue]:
    """Cues of a WebVTT segment in media time (RFC 8216, 3.5); ValueError says what is not WebVTT."""
    header, *blocks = re.split(r"\n{2,}", text.removeprefix("\ufeff").replace("\r\n", "\n").strip("\n"))
    if not re.match(r"WEBVTT(?:[ \t\n]|$)", header):
        raise ValueError("not WebVTT")
    found = _MAP.search(header)
    if not found:
        raise ValueError("no X-TIMESTAMP-MAP")
    groups = found.groups()
    local, ticks = (_clock(groups[:4]), groups[4]) if groups[4] else (_clock(groups[6:]), groups[5])
    shift = int(ticks) / TICKS - local
    cues: list[Cue] = []
    for block in blocks:
        lines = block.split("\n")
        if lines[0].split(" ")[0] in ("NOTE", "STYLE", "REGION"):
            continue
        at = next((index for index, line in enumerate(lines[:2]) if "-->" in line), None)
        match = _CUE.match(lines[at]) if at is not None else None
        if at is None or not match:
            raise ValueError(f"a block that is no cue: {lines[0][:40]!r}")
        times = match.groups()
        start, end = _clock(times[:4]) + shift, _clock(times[4:]) + shift
        body = "\n".join(lines[at + 1 :])
        if "-->" in body:
            raise ValueError("an arrow in a cue's text")
        cues.append(Cue(round(start, 3), round(end, 3), unescape(re.sub(r"<[^>]*>", "", body))))
    return cues


def _clock(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, millis = (int(part or 0) for part in parts)
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def _decoded(data: bytes) -> list[tuple[int, Pcm]]:
    """(first 48 kHz sample, mono PCM) of each frame of one run."""
    blocks: list[tuple[int, Pcm]] = []
    resampler: av.AudioResampler | None = None
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(audio=0):
            at = round(float(frame.time or 0.0) * VOICE)
            if frame.sample_rate == VOICE:
                blocks.append((at, _mono(frame)))
                continue
            resampler = resampler or av.AudioResampler("fltp", frame.layout.name, VOICE)
            for out in resampler.resample(frame):
                blocks.append((round(float(out.time or 0.0) * VOICE), _mono(out)))
    return blocks


def _mono(frame: av.AudioFrame) -> Pcm:
    return np.asarray(frame.to_ndarray().mean(axis=0), np.float32)


class _Fetch:
    """Bytes of a file or URL."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._gate = asyncio.Semaphore(8)

    async def __call__(self, uri: str) -> bytes:
        """OSError when they cannot be had."""
        if not uri.startswith("http"):
            return await asyncio.to_thread(Path(uri).read_bytes)
        try:
            async with self._gate, self._session.get(uri) as response:
                if response.status != 200:
                    raise OSError(f"HTTP status {response.status}")
                return await response.read()
        except (ClientError, TimeoutError) as error:
            raise OSError(f"{type(error).__name__}: {error}") from error


def _rendition(uri: str, media: "m3u8.Media | None", text: str) -> Rendition:
    playlist = m3u8.loads(text)
    first = playlist.media_sequence or 0
    rows = tuple(
        Row(
            number=first + index,
            uri=urljoin(uri, entry.uri),
            duration=float(entry.duration),
            date=entry.program_date_time.timestamp() if entry.program_date_time else None,
            discontinuity=bool(entry.discontinuity),
            init=urljoin(uri, entry.init_section.uri) if entry.init_section else "",
        )
        for index, entry in enumerate(playlist.segments)
    )
    return Rendition(
        name=Path(urlsplit(uri).path).stem,
        uri=uri,
        kind=media.type.lower() if media else "video",
        language=(media.language or "") if media else "",
        label=(media.name or "") if media else "",
        default=bool(media and media.default == "YES"),
        autoselect=bool(media and media.autoselect == "YES"),
        target=float(playlist.target_duration or 0),
        first=first,
        seams=playlist.discontinuity_sequence or 0,
        ended=bool(playlist.is_endlist),
        rows=rows,
    )


def _variant(uri: str, entry: "m3u8.Playlist") -> Variant:
    info = entry.stream_info
    return Variant(
        uri=urljoin(uri, entry.uri),
        codecs=info.codecs or "",
        bandwidth=info.bandwidth or 0,
        average_bandwidth=info.average_bandwidth or 0,
        resolution=info.resolution,
        frame_rate=info.frame_rate,
    )
