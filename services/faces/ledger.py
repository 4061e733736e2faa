"""Which face speaks: mouths that move while a voice is heard, and whose mouth moved with this voice before."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel

KEPT = 60.0
"""Seconds of looks that are remembered: a file is read 40 s ahead of its words."""
SPEAKING = 0.03
"""Movement at which a mouth counts as speaking."""
ENOUGH = 0.35
"""Evidence below which nobody on the picture speaks."""
NOW, BEFORE = 0.6, 0.4
"""Weight of what is seen during the utterance, and of the history."""


class Look(NamedTuple):
    """Who was on the picture at one time, with how much each mouth moved; None where that is not known."""

    time: float
    moved: dict[int, float | None]


class Ledger(BaseModel):
    """Speakers and faces of one stream: seconds in which each voice spoke, each mouth moved, and both did."""

    looks: list[Look] = []
    said: dict[int, float] = {}
    moved: dict[int, float] = {}
    both: dict[int, dict[int, float]] = {}
    """Speaker to person to seconds."""

    def look(self, look: Look) -> None:
        """Remember who was on the picture."""
        self.looks = [*(each for each in self.looks if each.time > look.time - KEPT), look]

    def speaks(self, speaker: int | None, start: float, end: float) -> int | None:
        """The person who speaks in [start, end) seconds, None when that is nobody on the picture; and learn from it."""
        seen = [look.moved for look in self.looks if start - 0.1 <= look.time <= end + 0.1]
        if not seen:
            return None
        present = {who: sum(who in look for look in seen) / len(seen) for look in seen for who in look}
        share = shares(seen, present)
        score = {
            who: NOW * share[who] + BEFORE * self.together(speaker, who) * present[who] * (1 if share[who] else 0.5)
            for who in present
        }
        self._learn(speaker, share, end - start)
        best = max(score, key=lambda who: (score[who], -who), default=None)
        return best if best is not None and score[best] >= ENOUGH else None

    def together(self, speaker: int | None, person: int) -> float:
        """Jaccard index of a voice's time and of a mouth's: 1 where they always go together."""
        if speaker is None:
            return 0.0
        common = self.both.get(speaker, {}).get(person, 0.0)
        either = self.said.get(speaker, 0.0) + self.moved.get(person, 0.0) - common
        return common / either if either > 0 else 0.0

    def _learn(self, speaker: int | None, share: dict[int, float], duration: float) -> None:
        if speaker is None:
            return
        self.said[speaker] = self.said.get(speaker, 0.0) + duration
        ours = self.both.setdefault(speaker, {})
        for who, part in share.items():
            ours[who] = ours.get(who, 0.0) + part * duration
            self.moved[who] = self.moved.get(who, 0.0) + part * duration


def shares(seen: Sequence[dict[int, float | None]], present: dict[int, float]) -> dict[int, float]:
    """How much of the talking each face does, 0 to 1: by its mouth, or evenly where no mouth can be seen."""
    moved: dict[int, list[float]] = {who: [] for who in present}
    for look in seen:
        for who, much in look.items():
            if much is not None:
                moved[who].append(much)
    if not any(moved.values()):
        return {who: present[who] / len(present) for who in present}
    # The median of the livelier half: mouths rest between words, and one glitch is no speech.
    talk = {who: _lively(values) * present[who] for who, values in moved.items()}
    total = sum(talk.values())
    return {who: much / total if much >= SPEAKING * present[who] else 0.0 for who, much in talk.items()}


def _lively(values: Sequence[float]) -> float:
    upper = sorted(values)[len(values) // 2 :]
    return upper[len(upper) // 2] if upper else 0.0
