"""Source playlists as values: which variant to follow, and what each of its segments is (RFC 8216)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urljoin

import m3u8


class Protected(ValueError):
    """The stream is under DRM."""


@dataclass(frozen=True, slots=True)
class Range:
    """A byte range of a resource."""

    start: int
    size: int

    @property
    def header(self) -> str:
        return f"bytes={self.start}-{self.start + self.size - 1}"


@dataclass(frozen=True, slots=True)
class Part:
    """Something to fetch: a URL, or a byte range of it."""

    url: str
    range: Range | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment of a media playlist."""

    sequence: int
    media: Part
    duration: float
    """Seconds."""
    init: Part | None = None
    key: str = ""
    """URL of the AES-128 key; empty where the segment is clear."""
    vector: bytes = b""
    run: int = 0
    """Discontinuity sequence number."""
    tagged: bool = False
    """A discontinuity tag stands before it."""
    date: float | None = None
    """Epoch seconds (EXT-X-PROGRAM-DATE-TIME), carried on over entries without one."""
    advert: bool = False
    missing: bool = False
    """The source itself says that it has no media here (EXT-X-GAP)."""


@dataclass(frozen=True, slots=True)
class Playlist:
    """A media playlist as it was at one moment."""

    entries: tuple[Entry, ...]
    target: float
    """TARGETDURATION, seconds."""
    complete: bool
    """Nothing will be added (EXT-X-ENDLIST)."""
    first: int


@dataclass(frozen=True, slots=True)
class Variant:
    """The media playlists to follow; `sound` is empty where the picture's playlist carries it."""

    url: str
    sound: str = ""
    language: str = ""
    """What is spoken in it, BCP 47, where the list says so."""


def variant(text: str, url: str, height: int) -> Variant | None:
    """The best variant of at most `height` lines (else the lowest); None where `text` is a media playlist."""
    playlist = _loads(text, url)
    if not playlist.is_variant:
        return None
    candidates = [entry for entry in playlist.playlists if _playable(entry)] or list(playlist.playlists)
    fitting = [entry for entry in candidates if _height(entry) <= height]
    chosen = max(fitting, key=_bandwidth) if fitting else min(candidates, key=lambda e: (_height(e), _bandwidth(e)))
    group = chosen.stream_info.audio
    sounds = [entry for entry in playlist.media if entry.type == "AUDIO" and entry.group_id == group]
    sounds.sort(key=lambda entry: (entry.default != "YES", entry.autoselect != "YES"))
    sound = next((entry.uri for entry in sounds if entry.uri), "")
    return Variant(
        urljoin(url, chosen.uri), urljoin(url, sound) if sound else "", (sounds[0].language or "") if sounds else ""
    )


def media(text: str, url: str) -> Playlist:
    """A media playlist with its URLs made absolute; raises ValueError, and Protected under DRM."""
    playlist = _loads(text, url)
    first = playlist.media_sequence or 0
    return Playlist(
        entries=tuple(_entries(playlist, first)),
        target=float(playlist.target_duration or 2),
        complete=bool(playlist.is_endlist),
        first=first,
    )


def _loads(text: str, url: str) -> m3u8.M3U8:
    if not text.lstrip("\ufeff \r\n").startswith("#EXTM3U"):
        raise ValueError("this is no playlist")
    try:
        return m3u8.loads(text, uri=url)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("the playlist is malformed") from error


def _playable(entry: m3u8.Playlist) -> bool:
    codecs = entry.stream_info.codecs or ""
    return not any(name in codecs for name in ("hvc1", "hev1", "vp09", "av01", "dvh"))


def _height(entry: m3u8.Playlist) -> int:
    resolution = entry.stream_info.resolution
    return int(resolution[1]) if resolution else 0


def _bandwidth(entry: m3u8.Playlist) -> int:
    return int(entry.stream_info.bandwidth or 0)


def _entries(playlist: m3u8.M3U8, first: int) -> Iterator[Entry]:
    run = playlist.discontinuity_sequence or 0
    breaks = [span for segment in playlist.segments for span in map(_break, segment.dateranges) if span]
    after: dict[str, int] = {}
    for sequence, segment in enumerate(playlist.segments, first):
        run += bool(segment.discontinuity)
        key = segment.key if segment.key and segment.key.method not in (None, "NONE") else None
        if key and (key.method != "AES-128" or key.keyformat not in (None, "identity")):
            raise Protected("The stream is protected (DRM) and cannot be dubbed.")
        when = segment.current_program_date_time
        date = when.timestamp() if when else None
        init = segment.init_section
        yield Entry(
            sequence=sequence,
            media=_part(segment.absolute_uri, segment.byterange, after),
            duration=float(segment.duration or 0),
            init=_part(init.absolute_uri, init.byterange, {}) if init else None,
            key=key.absolute_uri if key else "",
            vector=_vector(key.iv, sequence) if key else b"",
            run=run,
            tagged=bool(segment.discontinuity),
            date=date,
            advert=bool(segment.cue_out) or (date is not None and any(a - 0.1 <= date < b - 0.1 for a, b in breaks)),
            missing=bool(segment.gap_tag),
        )


def _part(url: str, text: str | None, after: dict[str, int]) -> Part:
    """A range such as `10@5`; without an offset it goes on where the last range of the same resource ended."""
    if not text:
        return Part(url)
    size, _, start = text.partition("@")
    place = Range(int(start) if start else after.get(url, 0), int(size))
    after[url] = place.start + place.size
    return Part(url, place)


def _vector(text: str | None, sequence: int) -> bytes:
    return int(text, 16).to_bytes(16) if text else sequence.to_bytes(16)


def _break(span: m3u8.DateRange) -> tuple[float, float] | None:
    """Start and end of an advertisement, epoch seconds."""
    kind = (span.class_ or "").lower()
    if not (span.scte35_out or "interstitial" in kind or kind.split("-")[-1] == "ad" or "stitched-ad" in kind):
        return None
    if not span.start_date:
        return None
    start = datetime.fromisoformat(span.start_date).timestamp()
    if span.end_date:
        return start, datetime.fromisoformat(span.end_date).timestamp()
    length = span.duration or span.planned_duration
    return (start, start + float(length)) if length else None
