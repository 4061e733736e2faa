"""Which words will not change any more: pure commit policies.

Close at pause decodes each phrase once, when it is over. For engines that hear a sliding window there are right context
(`look_ahead`) and LocalAgreement-2 with a deadline (Macháček et al. 2023, arXiv 2307.14743, for the agreement).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import ceil

from pydantic import BaseModel

from services.asr.engines import Word

CommitPolicy = Callable[[Sequence[Word], Sequence[Word], float, float], list[Word]]
"""From the hypothesis before, the hypothesis, the end of the sound and of the committed words: what will not change."""
STEP = 512 / 16_000
"""Seconds of one window of the speech detector."""
OPENS = 0.5
STAYS = 0.35
SURE = 0.7
"""Chance from which on a window is speech for sure: music and machines stay below it."""
CLICK = 5
"""Windows; less speech than this is no word."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A stretch between two pauses, in windows."""

    start: int
    marks: str
    """A letter a window: 1 where there is speech, 2 where that is sure."""

    @property
    def end(self) -> int:
        """One past its last window."""
        return self.start + len(self.marks)

    @property
    def spoken(self) -> bool:
        """Whether there is enough speech to decode: some that is sure, or at least little else in between."""
        core = self.marks.strip("0")
        voiced, sure = len(core) - core.count("0"), core.count("2")
        return voiced >= CLICK and (sure >= 3 or voiced >= 0.45 * len(core))


class Pauses(BaseModel):
    """Where the detector stands: what close-at-pause carries from chunk to chunk."""

    seen: int = 0
    """Windows so far."""
    opened: int | None = None
    closed: int = 0
    """Window behind the last phrase."""
    quiet: int = 0
    marks: str = ""


@dataclass(frozen=True, slots=True)
class CloseAtPause:
    """A phrase opens at speech and closes at a pause; the longer it is, the shorter a pause will do."""

    pause: float = 0.3
    longest: float = 4.0
    before: float = 0.3
    """Seconds kept before the first speech."""

    def push(self, state: Pauses, speech: Sequence[float]) -> list[Phrase]:
        """Take the speech probabilities of the next windows; return the phrases that have closed."""
        return [phrase for chance in speech if (phrase := self._window(state, chance)) is not None]

    def flush(self, state: Pauses) -> list[Phrase]:
        """Close what is open."""
        return [] if state.opened is None else [self._close(state)]

    def settled(self, state: Pauses) -> int:
        """The window before which no later phrase starts."""
        if state.opened is not None:
            return state.opened
        return max(state.closed, state.seen - int(self.before / STEP))

    def _window(self, state: Pauses, chance: float) -> Phrase | None:
        if state.opened is None:
            if chance > OPENS:
                state.opened = self.settled(state)
                state.marks = "0" * (state.seen - state.opened) + _mark(chance)
                state.quiet = 0
            state.seen += 1
            return None
        state.seen += 1
        state.marks += _mark(chance)
        state.quiet = 0 if chance > STAYS else state.quiet + 1
        return self._close(state) if state.quiet >= self._patience(len(state.marks) * STEP) else None

    def _patience(self, length: float) -> int:
        if length < self.longest:
            return ceil(self.pause / STEP)
        return ceil(0.1 / STEP) if length < 1.5 * self.longest else 0

    def _close(self, state: Pauses) -> Phrase:
        assert state.opened is not None
        phrase = Phrase(state.opened, state.marks)
        state.opened, state.closed, state.marks, state.quiet = None, state.seen, "", 0
        return phrase


def _mark(chance: float) -> str:
    return "2" if chance > SURE else "1" if chance > OPENS else "0"


def after(words: Sequence[Word], committed: float, slack: float = 0.1) -> list[Word]:
    """What of a new hypothesis lies behind the committed words."""
    return [word for word in words if word.end > committed and word.start >= committed - slack]


def look_ahead(words: Sequence[Word], head: float, committed: float, context: float = 1.0) -> list[Word]:
    """Commit words with `context` seconds of sound behind them; `head` is the end of the sound."""
    return list(takewhile(lambda word: head - word.end >= context, after(words, committed)))


def agreement(
    before: Sequence[Word], words: Sequence[Word], head: float, committed: float, deadline: float = 3.0
) -> list[Word]:
    """Commit what two hypotheses in a row agree on (LocalAgreement-2), and what is older than `deadline`."""
    new, old = after(words, committed), after(before, committed)
    agreed = sum(1 for _ in takewhile(lambda pair: pair[0].text == pair[1].text, zip(new, old, strict=False)))
    overdue = sum(1 for _ in takewhile(lambda word: head - word.end >= deadline, new))
    return new[: max(agreed, overdue)]


def without_seam(words: Sequence[Word], tail: Sequence[Word], longest: int = 5) -> list[Word]:
    """Drop a repeated 1-5-gram where a new window overlaps what is committed."""
    for n in range(min(longest, len(words), len(tail)), 0, -1):
        same = [word.text for word in words[:n]] == [word.text for word in tail[-n:]]
        if same and words[0].start < tail[-1].end + 0.1:
            return list(words[n:])
    return list(words)
