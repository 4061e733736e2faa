"""Where the live source is, or would be by now while it is silent."""

from pydantic import BaseModel

from shared.audio import BASE, TICKS


class Clock(BaseModel):
    """Carries the media clock on through silence: `lag` is the least distance of arrival and media time seen so far."""

    lag: float | None = None
    """Epoch seconds at media time 0, as the fastest segment tells it."""
    head: float = BASE / TICKS
    """Seconds; it never goes back."""

    def arrived(self, end: float, now: float) -> float:
        """The head once media up to `end` has arrived at epoch second `now`."""
        self.lag = min(now - end, now - end if self.lag is None else self.lag)
        return self.silent(now)

    def silent(self, now: float) -> float:
        """The head at epoch second `now` while nothing arrives."""
        if self.lag is not None:
            self.head = max(self.head, now - self.lag)
        return self.head

    def captured(self, end: float) -> float:
        """The head of a source without a wall clock: its newest media."""
        self.head = max(self.head, end)
        return self.head
