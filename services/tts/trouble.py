"""When an operator must be told: a delay that does not fit, a lane that loses phrases, an engine that gives nothing."""

from typing import Literal

from pydantic import BaseModel

Loss = Literal["late", "failed"]

BIN = 0.5
"""Seconds."""
FURTHEST = 240
"""Bin of the longest delay there is, 120 s: what needs more is not told apart, so that the state has a bound."""
FORGET = 0.995
"""What a phrase counts for, for each phrase after it."""
MOST = 0.97
"""Share of the phrases that must be in time."""
ENOUGH = 20
"""Phrases from which the need is known."""
MINUTE = 60.0
BEARABLE = 0.2
"""Share of a minute's phrases that may stay without a voice."""
FEW = 5
"""Phrases of a minute from which a share says something."""
RECOVERED = 3
"""Phrases in a row that could be spoken, after which a silent lane speaks again."""
FAILURES = 4
"""Phrases in a row that an engine may fail."""
REST = 30.0
"""Media seconds for which an engine that fails is not asked."""


class Need(BaseModel):
    """What delay the phrases would have needed: a histogram that forgets."""

    counts: list[float] = []
    phrases: int = 0
    told: float = 0.0
    """The need that was told last."""

    def add(self, needed: float) -> None:
        """Note the delay, in seconds, at which a phrase would have been in time."""
        place = min(max(0, int(needed / BIN)), FURTHEST)
        counts = [round(FORGET * count, 4) for count in self.counts] + [0.0] * (place + 1 - len(self.counts))
        counts[place] += 1.0
        self.counts, self.phrases = counts, self.phrases + 1

    @property
    def delay(self) -> float:
        """The delay at which 97 % of the phrases are in time, in half seconds; 0 before anything is known."""
        left = (1 - MOST) * sum(self.counts)
        for place in range(len(self.counts) - 1, -1, -1):
            left -= self.counts[place]
            if left < 0:
                return BIN * (place + 1)
        return 0.0

    def warning(self, delay: float, longest: float) -> str:
        """What to do about a delay that is too short; "" where it fits, or where it has been said."""
        need = self.delay
        if self.phrases < ENOUGH or need <= max(delay + BIN, self.told + BIN):
            return ""
        self.told = need
        return (
            f"a delay of {delay:g} s is too short: one phrase in {round(1 / (1 - MOST))} needs {need:g} s; take "
            f"utterances of at most {max(2.0, longest - 1):g} s, a translator with shorter wordings, or a longer delay"
        )


class Losses(BaseModel):
    """Which phrases of the last minute stayed without a voice, and whether a lane is left to the original for that."""

    phrases: list[tuple[float, bool]] = []
    """Source start, and whether it was lost."""
    silent: bool = False
    """So many were lost that holes would be worse than no voice: original sound and subtitles, until it is better."""
    reason: Loss = "late"
    """Why the last one was lost."""
    good: int = 0
    """Phrases in a row that could have been spoken."""

    def add(self, start: float, lost: Loss | None) -> str:
        """Note why a phrase could not be spoken (None: it could); what to tell when the lane falls silent or speaks."""
        kept = [(at, gone) for at, gone in self.phrases if at > start - MINUTE]
        self.phrases = [*kept, (round(start, 2), bool(lost))]
        self.reason, self.good = (lost, 0) if lost else (self.reason, self.good + 1)
        if self.silent and self.good >= RECOVERED:
            self.silent, self.phrases = False, []
            return "phrases can be spoken again: the voice is back"
        gone = sum(gone for _, gone in self.phrases)
        if self.silent or len(self.phrases) < FEW or gone <= BEARABLE * len(self.phrases):
            return ""
        self.silent = True
        return (
            f"{gone} of the last {len(self.phrases)} phrases have no voice: original sound and subtitles until "
            f"{RECOVERED} in a row can be spoken"
        )


class Breaker(BaseModel):
    """Keeps an engine that gives nothing from holding up a lane."""

    failures: int = 0
    rest: float = 0.0
    """Media time before which it is not asked."""

    def allows(self, at: float) -> bool:
        """Whether the engine may be asked at a media time."""
        return at >= self.rest

    def add(self, at: float, *, failed: bool) -> bool:
        """Note an answer; True where the engine is left alone from now on."""
        self.failures = self.failures + 1 if failed else 0
        if self.failures < FAILURES:
            return False
        self.failures, self.rest = FAILURES - 1, at + REST
        return True
