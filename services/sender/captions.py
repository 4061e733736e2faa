"""Speech as cues, cues as WebVTT segments."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

COLOURS = ("", "yellow", "cyan", "lime", "magenta")
"""Of speakers in turn, as broadcasters have them: players know these names, and the first stays white."""
COLUMNS = 42
LINES = 2
LINGER = 0.5
"""Seconds that a cue may outlast its speech, so that short ones can be read."""


class Cue(BaseModel):
    """Timed text in one caption rendition."""

    model_config = ConfigDict(frozen=True)

    rendition: str
    start: float
    end: float
    text: str
    """Lines, not yet escaped."""
    speaker: str = ""
    colour: str = ""
    """One of the classes of WebVTT, 8.1; none: as the player likes."""


def cues(rendition: str, start: float, end: float, text: str, speaker: str = "", colour: str = "") -> list[Cue]:
    """Speech in [start, end) seconds as cues of at most two lines of 42 characters, which share the time by length."""
    blocks = blocks_of(text)
    total = sum(len(block) for block in blocks)
    made: list[Cue] = []
    at, said = start, 0
    for block in blocks:
        said += len(block)
        until = start + (end - start) * said / total
        made.append(Cue(rendition=rendition, start=at, end=until, text=block, speaker=speaker, colour=colour))
        at = until
    return [*made[:-1], made[-1].model_copy(update={"end": end + LINGER})] if made else []


def blocks_of(text: str) -> list[str]:
    """Text wrapped into blocks of lines; no word is lost and none is broken."""
    words = text.split()
    if not words:
        return []
    whole = len(" ".join(words))
    count = -(-whole // (COLUMNS * LINES))
    # Blocks of about the same length: a last cue of one word flashes by.
    blocks = _wrapped(words, min(COLUMNS * LINES, -(-whole // count) + 8))
    return ["\n".join(line) for block in blocks for line in _pairs(_lines(block))]


def webvtt(cues: Iterable[Cue], start: float, end: float) -> str:
    """A caption segment: every cue that overlaps [start, end) seconds, with its whole times on the media clock.

    LOCAL 1 s = MPEGTS 1 s makes cue times media times. Other times on both sides would say the same, but hls.js takes a
    difference of 0 to the first fragment for "no map", and takes a fragment whose time it has not learned yet to be at
    0: either way it shifts cues after a discontinuity. Nothing is ever published at 1 s (see shared.audio.BASE).
    """
    lines = ["WEBVTT", "X-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:90000", ""]
    for cue in sorted(cues, key=lambda cue: (cue.start, cue.end, cue.text)):
        if cue.start < end and cue.end > start:
            said = f"<c.{cue.colour}>{_escaped(cue.text)}</c>" if cue.colour else _escaped(cue.text)
            said = f"<v {_escaped(cue.speaker)}>{said}" if cue.speaker else said
            lines += [f"{_clock(cue.start)} --> {_clock(cue.end)}", said, ""]
    return "\n".join(lines)


def _wrapped(words: list[str], width: int) -> list[list[str]]:
    rows: list[list[str]] = [[]]
    for word in words:
        if rows[-1] and len(" ".join([*rows[-1], word])) > width:
            rows.append([])
        rows[-1].append(word)
    return rows


def _lines(words: list[str]) -> list[str]:
    whole = len(" ".join(words))
    if whole <= COLUMNS:
        return [" ".join(words)]
    even = _wrapped(words, min(COLUMNS, whole // 2 + 6))
    rows = even if len(even) <= LINES else _wrapped(words, COLUMNS)
    return [" ".join(row) for row in rows]


def _pairs(lines: list[str]) -> list[list[str]]:
    return [lines[at : at + LINES] for at in range(0, len(lines), LINES)]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float) -> str:
    whole, millis = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{millis:03d}"
