"""Playlists as pure functions of the sealed log: one log, many views (RFC 8216 and its successor draft).

A playlist is never edited: it is made anew from the rows. The same rows give the sliding live window, the EVENT
playlist with the whole past, and the VOD playlist after the end, under the same URL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from services.sender.encode import FRAME, frames_of
from services.sender.languages import name
from shared.audio import TICKS, VOICE
from shared.context import Row
from shared.messages import Sealed

BESIDE = ("faces", "utterances")
"""Renditions that no player knows: they have playlists, and no place in the menu."""


class Kind(StrEnum):
    """What a media playlist promises."""

    LIVE = "LIVE"
    """A sliding window: old segments leave."""
    EVENT = "EVENT"
    """Nothing ever leaves; may become VOD."""
    VOD = "VOD"
    """Complete."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What EXT-X-STREAM-INF says of the picture and the costliest sound."""

    codecs: str
    bandwidth: int
    """Peak bits a second."""
    average: int
    width: int
    height: int
    rate: float
    """Frames a second."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """One EXT-X-MEDIA line."""

    rendition: str
    name: str
    """What the viewer reads in the menu; unique within the group."""
    language: str
    characteristics: str
    subtitles: bool = False
    default: bool = False
    autoselect: bool = False

    def line(self) -> str:
        """Attributes in the order in which RFC 8216 lists them."""
        kind, group = ("SUBTITLES", "text") if self.subtitles else ("AUDIO", "sound")
        return (
            f'#EXT-X-MEDIA:TYPE={kind},GROUP-ID="{group}",NAME="{self.name}",LANGUAGE="{self.language}",'
            f"DEFAULT={_yes(self.default)},AUTOSELECT={_yes(self.autoselect)},"
            + ("FORCED=NO," if self.subtitles else 'CHANNELS="2",')
            + f'CHARACTERISTICS="{self.characteristics}",URI="{self.rendition}.m3u8"'
        )


def window(rows: Sequence[Row], seconds: float) -> Sequence[Row]:
    """The last `seconds` of the log, at least three segments."""
    total, first = 0, len(rows)
    while first > 0 and (total < seconds * TICKS or len(rows) - first < 3):
        first -= 1
        total += rows[first].body.duration
    return rows[first:]


def target_of(rows: Sequence[Row], segment: float) -> int:
    """TARGETDURATION: the source's, rounded up, unless the source broke its own promise."""
    longest = max((row.body.duration for row in rows), default=0)
    return max(1, -(-round(segment * 1000) // 1000), -(-(longest - TICKS // 2) // TICKS))


def media_playlist(rows: Sequence[Row], rendition: str, target: int, kind: Kind = Kind.LIVE) -> str:
    """The media playlist of one rendition; rows that came before the rendition was declared are left out."""
    rows = [row for row in rows if rendition in row.body.objects]
    first = rows[0] if rows else None
    # A tag in front of the first segment is still in the text, so it is not counted.
    left = first.seams - first.body.discontinuity if first else 0
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{target}"]
    lines += [f"#EXT-X-MEDIA-SEQUENCE:{first.number if first else 0}", f"#EXT-X-DISCONTINUITY-SEQUENCE:{left}"]
    if kind is not Kind.LIVE:
        lines.append(f"#EXT-X-PLAYLIST-TYPE:{kind}")
    lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    init = ""
    for row in rows:
        lines += _entry(row.body, rendition, init)
        init = row.body.inits.get(rendition, "")
    if kind is Kind.VOD:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def menu(sealed: Sealed, spoken: str) -> list[Rendition]:
    """The renditions of a row: the original, per language voice-over, clean dub and subtitles.

    The original is the default and the only sound that a player may choose by itself: dubs that start because a player
    matched the system language are a loud complaint about dubbed video. Names say "AI".
    """
    machine = "public.machine-generated"
    spoken = "und" if spoken in ("", "auto") else spoken
    title = "Original" if spoken == "und" else f"{name(spoken)} (original)"
    found = [Rendition("original", title, spoken, "public.original-content", default=True, autoselect=True)]
    for rendition in sealed.objects:
        if rendition in ("video", "original", *BESIDE) or rendition.startswith("captions-"):
            continue
        language = rendition.removesuffix("-clean")
        how, what = ("voice only", "dubbed") if rendition != language else ("voice-over", "voice-over")
        characteristics = f"{machine},public.translation,public.translation.{what}"
        found.append(Rendition(rendition, f"{name(language)} (AI {how})", language, characteristics))
    for rendition in sealed.objects:
        if not rendition.startswith("captions-"):
            continue
        language = rendition.removeprefix("captions-")
        own = language == spoken
        what = "public.accessibility.transcribes-spoken-dialog" if own else "public.translation"
        title = "Original (captions)" if language == "und" else name(language)
        found.append(Rendition(rendition, title, language, f"{machine},{what}", subtitles=True, autoselect=True))
    return found


def multivariant(variant: Variant, renditions: Sequence[Rendition]) -> str:
    """The multivariant playlist."""
    captions = ',SUBTITLES="text"' if any(rendition.subtitles for rendition in renditions) else ""
    return "\n".join(
        [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            *(rendition.line() for rendition in renditions),
            f"#EXT-X-STREAM-INF:BANDWIDTH={variant.bandwidth},AVERAGE-BANDWIDTH={variant.average},"
            f'CODECS="{variant.codecs}",RESOLUTION={variant.width}x{variant.height},FRAME-RATE={variant.rate:.3f},'
            f'AUDIO="sound"{captions},CLOSED-CAPTIONS=NONE',
            "video.m3u8",
            "",
        ]
    )


def _entry(sealed: Sealed, rendition: str, init: str) -> list[str]:
    lines = ["#EXT-X-DISCONTINUITY"] if sealed.discontinuity else []
    here = sealed.inits.get(rendition, "")
    if here and (here != init or sealed.discontinuity):
        lines.append(f'#EXT-X-MAP:URI="{_file(here)}"')
    return [
        *lines,
        f"#EXT-X-PROGRAM-DATE-TIME:{stamp(_date(sealed, rendition))}",
        f"#EXTINF:{sealed.duration / TICKS:.5f},",
        _file(sealed.objects[rendition]),
    ]


def _date(sealed: Sealed, rendition: str) -> float:
    """Epoch seconds of the first frame: sound that we code starts on the frame grid, up to 21 ms after the picture."""
    ours = rendition in sealed.inits and not _file(sealed.objects[rendition]).startswith(("v", "o-"))
    if not ours:
        return sealed.date
    first = frames_of(sealed.start, sealed.start + sealed.duration).start * FRAME
    return sealed.date + first / VOICE - sealed.start / TICKS


def stamp(time: float) -> str:
    """Epoch seconds as ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _file(key: str) -> str:
    return key.partition("/")[2]


def _yes(value: bool) -> str:
    return "YES" if value else "NO"
