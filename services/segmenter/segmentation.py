"""Wait or cut: a sentence ends where the evidence beats a threshold that falls with age.

Optimal stopping: an open sentence costs more the older it is. The outcome depends on the words and
on how long nothing was said, never on how they were cut into messages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import BaseModel

from services.segmenter.engines import SentenceEnds
from shared.messages import Word

PATIENT = 12.0
"""Seconds of a longest sentence from which on the rule has time to spare."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When the evidence is enough. Seconds, and probabilities of a sentence end."""

    longest: float = 8.0
    shortest: float = 1.2
    """Nothing younger is cut but by silence."""
    careful: float = 0.9
    """Threshold while the sentence is young."""
    eager: float = 0.25
    """Threshold at `longest`."""
    young: float = 0.3
    """Share of `longest` during which nothing falls."""
    pause: float = 0.6
    """A silence that ends a sentence by itself."""
    behind: int = 0
    """Words that are waited for behind a place before evidence alone cuts there."""

    def threshold(self, age: float) -> float:
        """Probability from which on a sentence of this age is cut; above 1: not at all."""
        if age < self.shortest:
            return 1.01
        waited = max(0.0, age / self.longest - self.young) / (1 - self.young)
        return max(self.eager, self.careful - (self.careful - self.eager) * waited)


def rule(longest: float, pause: float = 0.6) -> Rule:
    """The rule for a stream's longest sentence: a patient profile cuts later and at surer places."""
    if longest < PATIENT:
        return Rule(longest, pause=pause)
    return Rule(longest, eager=0.5, pause=1.5 * pause)


class Open(BaseModel):
    """The words of a sentence whose end is not decided."""

    words: tuple[Word, ...] = ()
    spoken: str = ""


class Segmenter:
    """Cuts words into sentences."""

    def __init__(self, engine: SentenceEnds) -> None:
        self._engine = engine

    def push(self, state: Open, words: Sequence[Word], spoken: str, rule: Rule) -> Iterator[tuple[Word, ...]]:
        """Take words in order; yield the sentences that they end. Words of two languages are never in one."""
        if spoken != state.spoken:
            yield from self.flush(state)
            state.spoken = spoken
        for word in words:
            yield from self.silence(state, word.start, rule)
            state.words += (word,)
            while (count := self._due(state.words, rule)) is not None:
                yield _cut(state, count)

    def silence(self, state: Open, until: float, rule: Rule) -> Iterator[tuple[Word, ...]]:
        """Nothing was said between the last word and `until`."""
        if state.words and until - state.words[-1].end >= rule.pause:
            yield from self.flush(state)

    def flush(self, state: Open) -> Iterator[tuple[Word, ...]]:
        """End the open sentence."""
        if state.words:
            yield _cut(state, len(state.words))

    def _due(self, words: Sequence[Word], rule: Rule) -> int | None:
        """How many words are a sentence by now."""
        if not words:
            return None
        pauses = [max(0.0, later.start - word.end) for word, later in pairwise(words)]
        chances = self._engine.ends([word.text for word in words], [*pauses, 0.0])
        age = _span(words, len(words))
        if age >= rule.longest:
            return _forced(words, chances, rule.longest)
        threshold, ripe = rule.threshold(age), chances[: max(0, len(words) - rule.behind)]
        return next((count for count, chance in enumerate(ripe, 1) if chance >= threshold), None)


def _forced(words: Sequence[Word], chances: Sequence[float], longest: float) -> int:
    fitting = [count for count in range(1, len(words) + 1) if _span(words, count) <= longest]
    return max(fitting or [1], key=lambda count: chances[count - 1] * (0.2 if _span(words, count) < 1.5 else 1.0))


def _span(words: Sequence[Word], count: int) -> float:
    return words[count - 1].end - words[0].start


def _cut(state: Open, count: int) -> tuple[Word, ...]:
    sentence, state.words = state.words[:count], state.words[count:]
    return sentence
