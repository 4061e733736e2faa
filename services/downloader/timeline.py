"""One monotone media clock under whatever the source's timestamps do."""

from typing import NamedTuple

from pydantic import BaseModel

from shared.audio import BASE, TICKS

TOLERANCE = TICKS // 2
"""Ticks by which a segment may miss its expected place before its timestamps count as a jump."""


class Placed(NamedTuple):
    start: int
    """Ticks on the media clock."""
    rebased: bool


class Timeline(BaseModel):
    """Maps the source's timestamps to the media clock; it is stored with the stream's state."""

    next: int = BASE
    """Where the next segment is expected, ticks."""
    offset: int | None = None
    """Added to a source timestamp, ticks."""

    def place(self, raw: int, duration: int, *, tagged: bool = False, lost: int = 0) -> Placed:
        """Put a segment that starts at source time `raw` (ticks) on the media clock and move on by its duration.

        The offset stays while it puts the segment near the expected time; it changes at the first segment, at a
        discontinuity tag, and at a jump that nobody tagged. `lost` is media time known to be missing, ticks.
        """
        expected = self.next + lost
        near = self.offset is not None and abs(raw + self.offset - expected) < TOLERANCE
        rebased = self.offset is not None and (tagged or not near)
        if tagged or not near:
            self.offset = expected - raw
        start = max(raw + (self.offset or 0), self.next)
        self.next = start + duration
        return Placed(start, rebased)
