"""What every kind of source delivers, and where it stands."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from services.downloader.demux import Coded, Fragment
from services.downloader.timeline import Timeline


class Cursor(BaseModel):
    """Where a source goes on after what it has delivered so far."""

    timeline: Timeline = Timeline()
    sequence: int | None = None
    """Media sequence number of the last segment taken or given up."""
    date: float | None = None
    """Its date by the source, epoch seconds."""
    length: float = 0.0
    """Its length by the playlist, seconds."""
    due: tuple[float, float] | None = None
    """Epoch seconds between which it was to appear, so that who takes over knows when the next one will."""
    raw: int | None = None
    """Where a file goes on, ticks in its own time."""
    lost: int = 0
    """Media time known to be missing before the next segment, ticks."""
    reason: str = ""
    """Why it is missing."""

    def until(self, date: float | None, guess: float) -> float:
        """Seconds of media between the last segment and one of this date; `guess` where dates tell nothing likely."""
        told = 0.0 if date is None or self.date is None else date - self.date - self.length
        return told if guess / 3 < told < guess * 3 else guess

    def next_due(self) -> tuple[float, float] | None:
        """Epoch seconds between which the next segment is to appear."""
        return (self.due[0] + self.length, self.due[1] + self.length) if self.due else None

    def lose(self, ticks: int, reason: str) -> None:
        """Note media time that will never come."""
        self.lost += ticks
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Opened:
    """The source is there."""

    live: bool
    target: float
    """Seconds of its longest segment."""
    title: str = ""
    language: str = ""
    """What the source says is spoken in it, BCP 47."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment of the source on the media clock, ticks."""

    start: int
    duration: int
    video: Coded | None
    audio: Coded | None
    rebased: bool = False
    advert: bool = False
    date: float | None = None
    """Epoch seconds at which it was captured, where the source tells it."""

    @property
    def end(self) -> int:
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Lost:
    """Media time that will never come, ticks."""

    start: int
    end: int
    reason: str


Found = Opened | Piece | Lost


class Source(Protocol):
    """Delivers a stream from a cursor on, each find with the cursor behind it; it ends when the source does."""

    def events(self) -> AsyncIterator[tuple[Found, Cursor]]:
        """Opened first, then pieces and losses in order; raises Unusable where the source cannot start."""
        ...


def place(
    found: Fragment, cursor: Cursor, *, tagged: bool = False, advert: bool = False, date: float | None = None
) -> list[Piece | Lost]:
    """The fragment on the media clock, behind the loss that the cursor remembers."""
    expected = cursor.timeline.next
    start, rebased = cursor.timeline.place(found.start, found.duration, tagged=tagged, lost=cursor.lost)
    move = start - found.start
    piece = Piece(
        start=start,
        duration=found.duration,
        video=found.video and found.video.moved(move),
        audio=found.audio and found.audio.moved(move),
        rebased=rebased,
        advert=advert,
        date=date,
    )
    lost = [Lost(expected, start, cursor.reason)] if cursor.lost and start > expected else []
    cursor.lost, cursor.reason = 0, ""
    return [*lost, piece]
