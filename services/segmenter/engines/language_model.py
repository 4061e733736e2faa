"""What a trigram model of English says of a sentence end: pocketsphinx's (BSD), which was fitted on whole sentences."""

from collections.abc import Sequence
from functools import lru_cache
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Config, LogMath, NGramModel, get_model_path

BASE = 1.0001
"""Of its logarithms."""
LEAST = -16.0
"""Natural logarithm of what is never seen."""
BEGIN, END = "<s>", "</s>"

Evidence = tuple[float, float, float, float]


class LanguageModel:
    """Stolcke and Shriberg 1996: an end between words is a hidden word whose chances the model gives."""

    def __init__(self) -> None:
        path = Path(get_model_path()) / "en-us" / "en-us.lm.bin"
        self._model = NGramModel(Config(), LogMath(BASE), str(path))
        # Places are judged again with each word that is added.
        self._kept = lru_cache(1 << 14)(self.evidence)

    def weigh(self, words: Sequence[str], places: NDArray[np.intp]) -> NDArray[np.float64]:
        """Evidence of places, a row each; a place is four words, as `evidence` takes them, by number, -1 for None."""
        known: list[str | None] = [*words, None]
        return np.array([self._kept(*(known[number] for number in place)) for place in places.tolist()])

    def evidence(self, before: str | None, last: str | None, first: str | None, second: str | None) -> Evidence:
        """Natural logarithms for an end behind `last`, and how much likelier what is said is with it than without.

        The end alone; the first word behind it; both; both with the second word too. NaN where a word is not known yet,
        0 where it is none of the model's; `before` is None where `last` is the first word of its sentence.
        """
        history = self._history(before, last)
        end = self._chance(*history, END)
        if first is None:
            return end, nan, nan, nan
        if not self._knows(first):
            return end, 0.0, 0.0, nan if second is None else 0.0
        begin = self._chance(BEGIN, first)
        opens, both = begin - self._chance(first), end + begin - self._chance(*history, first)
        if second is None:
            return end, opens, both, nan
        if not self._knows(second):
            return end, opens, both, both
        without = self._chance(*history[-1:], first, second)
        return end, opens, both, both + self._chance(BEGIN, first, second) - without

    def _history(self, before: str | None, last: str | None) -> tuple[str, ...]:
        if last is None or not self._knows(last):
            return ()
        if before is None:
            return BEGIN, last
        return (before, last) if self._knows(before) else (last,)

    def _knows(self, word: str) -> bool:
        return self._chance(word) > LEAST

    def _chance(self, *words: str) -> float:
        """Of the last word behind the others."""
        return max(LEAST, float(self._model.prob(words[::-1])) * (BASE - 1))
