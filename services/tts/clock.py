"""Which media time is sealed and which is sealed next, from the head and the segment boundaries."""

from bisect import bisect_right
from math import inf

from pydantic import BaseModel, ConfigDict

SLACK = 1e-6
"""Seconds within which two edges are one."""
STEP = 2.0
"""Seconds between edges where the source tells nothing."""


class Clock(BaseModel):
    """What a stage knows of media time: the newest head and the segment edges from the floor on."""

    model_config = ConfigDict(frozen=True)

    head: float = 0.0
    ended: bool = False
    edges: tuple[float, ...] = ()
    longest: float = 0.0
    """Seconds of the longest segment seen."""
    floor: float = 0.0
    """The sender has sealed up to here; it never goes back."""

    def moved(self, head: float, *, ended: bool = False) -> "Clock":
        """The clock after a Head."""
        return self.model_copy(update={"head": max(self.head, head), "ended": self.ended or ended})

    def grown(self, start: float, end: float, segment: float) -> "Clock":
        """The clock after a segment; a hole before it has an edge every `segment` seconds."""
        edges, step = list(self.edges), segment or STEP
        if not edges:
            edges.append(start)
        while edges[-1] + step < start - SLACK:
            edges.append(edges[-1] + step)
        edges += [edge for edge in (start, end) if edge > edges[-1] + SLACK]
        return self.model_copy(update={"edges": tuple(edges), "longest": max(self.longest, end - start)})

    def sealed(self, delay: float, segment: float, head: float = inf) -> "Clock":
        """The clock with its floor where the sender is: the last edge that the head left `delay` behind.

        `head` bounds the head where something else than the source holds the seal back.
        """
        floor = max(self.floor, self._edge(min(self.head, head) - delay, segment or STEP))
        kept = bisect_right(self.edges, floor + SLACK) - 1
        return self.model_copy(update={"floor": floor, "edges": self.edges[max(0, kept) :]})

    def horizon(self, delay: float, segment: float, head: float = inf) -> float:
        """Where the sender will be at its next head, which is one segment further at most."""
        stride = max(segment or STEP, self.longest)
        return max(self.floor, self._edge(min(self.head, head) + stride - delay, segment or STEP))

    def _edge(self, at: float, step: float) -> float:
        if not self.edges or at < 0:
            return 0.0
        k = bisect_right(self.edges, at + SLACK)
        if k == 0:
            return max(0.0, self.edges[0] - step * -((at + SLACK - self.edges[0]) // step))
        if k == len(self.edges):
            return self.edges[-1] + step * max(0.0, (at + SLACK - self.edges[-1]) // step)
        return self.edges[k - 1]
