"""When an operator must be told: a delay that does not fit, a lane that loses phrases, an engine that gives nothing."""

from pydantic import BaseModel

BIN = 0.5
"""Seconds."""
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
        place = max(0, int(needed / BIN))
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
    """Which phrases of the last minute stayed without a voice."""

    phrases: list[tuple[float, bool]] = []
    """Source start, and whether it was lost."""
    bad: bool = False
    """So many that it was told."""

    def add(self, start: float, *, lost: bool) -> None:
        """Note how a phrase ended."""
        kept = [(at, gone) for at, gone in self.phrases if at > start - MINUTE]
        self.phrases = [*kept, (round(start, 2), lost)]

    def warning(self) -> str:
        """That too many are lost, once until it is better; "" otherwise."""
        lost = sum(gone for _, gone in self.phrases)
        bad = len(self.phrases) >= FEW and lost > BEARABLE * len(self.phrases)
        news, self.bad = bad and not self.bad, bad
        return f"{lost} of the last {len(self.phrases)} phrases have no voice, but original sound" if news else ""


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
