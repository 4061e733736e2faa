"""When a live playlist is asked for again."""

from collections.abc import Sequence

FINE = 0.07
"""Of a segment: how exactly the moment is sought at which segments appear."""


class Reloads:
    """Asks once a segment, soon after it appears.

    A request tells only that a segment has appeared since the one before. The range of moments in which that can have
    been is halved by asking in its middle, where there may be nothing yet, until it is narrow. After a request in vain
    the next one waits for half a segment (RFC 8216, 6.3.4).
    """

    def __init__(self, due: tuple[float, float] | None = None) -> None:
        self._at = 0.0
        """Seconds at which the last request was made."""
        self.due = due
        """Seconds between which the next segment is to appear, where that is known."""
        self._margin = FINE
        """Of a segment: how long after that it is asked for; it grows with a source that is late."""
        self._vain = False

    def next(self, asked: float, fresh: Sequence[float], target: float) -> float:
        """The second of the next request; the one at second `asked` brought segments of `fresh` seconds, in order."""
        last, self._at = self._at, asked
        if not fresh:
            return self._in_vain(target)
        self._vain = False
        self._margin = max(FINE, self._margin * 0.98)
        early, late = asked - target, asked
        if self.due:
            first, second = (edge + sum(fresh[:-1]) for edge in self.due)
            if first < asked and second > last:
                early, late = first, second
        # It appeared after the request before and not after this one.
        early, late = max(early, last) + fresh[-1], min(late, asked) + fresh[-1]
        self.due = early, late
        return self._sought(early, late, target)

    def _sought(self, early: float, late: float, target: float) -> float:
        return (early + late) / 2 if late - early > FINE * target else late + self._margin * target

    def _in_vain(self, target: float) -> float:
        again = self._at + target / 2
        if self.due and self.due[0] > self._at:
            # Asked before anything could be there, by a replica that has just taken over.
            return max(again, self._sought(*self.due, target))
        if self.due and self.due[1] <= self._at:
            if not self._vain:
                self._margin = min(0.5, 2 * self._margin)
            self.due = self._at, again
        elif self.due:
            self.due = self._at, self.due[1]
        self._vain = True
        return again
