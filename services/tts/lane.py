"""What `place` remembers of one lane, and how it decides what goes out now."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from math import inf
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.tts.clock import Clock
from services.tts.placement import Phrase, Placed, Track
from services.tts.priors import FULL, SHORTER
from shared.messages import Speech, Take

LOOK_AHEAD = 12.0
"""Seconds between head and seal where nobody waits for the picture: files."""
OVERRUN = 2.0
"""Seconds that speech may go on behind the programme's end."""
PAST = 300
"""Phrases that the value of a lag is learned from."""
ENOUGH = 100
"""Phrases from which the lane's own past says more than the prior."""
REFRESH = 600.0
"""Media seconds between two lessons."""


class Waiting(BaseModel):
    """Speech without a place."""

    model_config = ConfigDict(frozen=True)

    utterance: str
    start: float
    end: float
    voice: str
    takes: tuple[Take, ...]

    @property
    def phrase(self) -> Phrase:
        """As the planner sees it."""
        return Phrase(self.start, self.end, tuple(take.duration for take in self.takes))


class Lane(BaseModel):
    """Clock, track and plan of one language of one stream."""

    clock: Clock = Clock()
    track: Track = Track()
    waiting: list[Waiting] = []
    until: float = 0.0
    """Nothing that starts before it is still to come."""
    told: float = 0.0
    """The last progress that was reported."""
    ending: Literal["", "ended", "stopped", "failed"] = ""
    """Why the voice ended, once it has."""
    over: bool = False
    tail: list[float] = []
    """Terminal value of a lag, learned here; empty: the prior's."""
    past: str = ""
    """Onset after the one before, full and shorter duration of the last phrases, in 10 ms: u16, base64."""
    last: float = 0.0
    """Start of the last phrase."""
    learned: float = 0.0

    def take_in(self, speech: Speech) -> None:
        """Let a phrase wait for its place, in order of its start."""
        waiting = Waiting(
            utterance=speech.utterance, start=speech.start, end=speech.end, voice=speech.voice, takes=speech.takes
        )
        later = sum(other.start > speech.start for other in self.waiting)
        self.waiting.insert(len(self.waiting) - later, waiting)
        self._note(speech)

    def span(self, delay: float, segment: float, *, live: bool) -> tuple[float, float]:
        """(first start that is still possible, horizon) now; moves the clock's floor.

        Of a live stream the sender has sealed up to the floor. A file has no delay to keep: its seal follows what was
        told, and that follows the voice, so that no phrase is late. Behind the end there is no horizon, as nothing
        that is still to come could change the plan.
        """
        if live:
            self.clock = self.clock.sealed(delay, segment)
            return self.clock.floor, inf if self.clock.ended or self.finished else self.clock.horizon(delay, segment)
        self.clock = self.clock.sealed(LOOK_AHEAD, segment, self.until)
        return self.told, inf if self.ending else self.clock.horizon(LOOK_AHEAD, segment, self.until)

    @property
    def finished(self) -> bool:
        """Whether voice and source have both ended; a source that failed may never say so."""
        return bool(self.ending) and (self.clock.ended or self.ending != "ended")

    def beyond(self, placed: Placed) -> bool:
        """Whether a clip would go on too long after the programme."""
        if not self.clock.ended or not self.clock.edges:
            return False
        return placed.start + placed.length > self.clock.edges[-1] + OVERRUN

    def prior(self) -> Sequence[float]:
        """What a lag costs by this lane's own past, or else by a typical hour with as many wordings."""
        if self.tail:
            return self.tail
        return SHORTER if any(len(waiting.takes) > 1 for waiting in self.waiting) else FULL

    def lesson(self) -> tuple[list[float], list[list[float]]] | None:
        """(onsets, wordings) of the past when it is time to learn from them again."""
        if self.clock.floor < self.learned + REFRESH:
            return None
        rows = _decoded(self.past)
        if len(rows) < ENOUGH:
            return None
        self.learned = self.clock.floor
        return rows[1:, 0].tolist(), rows[:-1, 1:].tolist()

    def _note(self, speech: Speech) -> None:
        """A missing second wording is written as long as the first: it is then never worth its price."""
        rows = _decoded(self.past)
        row = [max(0.0, speech.start - self.last), speech.takes[0].duration, speech.takes[-1].duration]
        hundredths = np.clip(np.round(100 * np.vstack([rows, row])[-PAST:]), 0, 0xFFFF)
        self.past, self.last = b64encode(hundredths.astype("<u2").tobytes()).decode(), max(self.last, speech.start)


def _decoded(past: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.frombuffer(b64decode(past), "<u2").reshape(-1, 3) / 100
