"""Sentence ends by logistic regression on words, a language model and pauses, for English; marks are believed."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from services.segmenter.engines import Options
from services.segmenter.engines.features import WEIGHED, features, neighbours, plain, windows
from services.segmenter.engines.language_model import LanguageModel

WEIGHTS = Path(__file__).with_name("english.npz")
"""2^20 weights in steps of one eight-bit number; fitted, and their origin told, by loadtest/fit_sentence_ends.py."""
PUNCTUATED = 6.0
"""Log-odds of an end that a recogniser's own punctuation adds."""
NEWEST = -3.0
"""Log-odds of the last word: what comes behind it is worth the wait."""
STOPS = (".", "?", "!")


class Lexicon(BaseModel):
    """What words say of questions and capitals."""

    questions: frozenset[str]
    """First words of questions, where a person or an auxiliary follows."""
    persons: frozenset[str]
    openers: frozenset[str]
    """Words before a question's first word."""
    names: frozenset[str]
    """Words with a capital."""


class Weights(NamedTuple):
    """Log-odds of an end."""

    steps: NDArray[np.int8]
    scale: float
    constant: float


class Embedded:
    """A sum of log-odds of hashed features."""

    def __init__(self, options: Options | None = None) -> None:
        self._lexicon = Lexicon.model_validate_json(Path(__file__).with_name("english.json").read_bytes())

    def load(self) -> None:
        """Read the weights and the language model."""
        _ = self._weights, self._language

    def ends(self, words: Sequence[str], pauses: Sequence[float]) -> list[float]:
        """Probability of an end after each word; pauses are the seconds behind each, 0 where nothing is known."""
        if not words:
            return []
        places = neighbours(words)
        evidence = self._language.weigh([plain(word) for word in words], places[:, WEIGHED])
        numbers = features(windows(words, places), evidence, np.asarray(pauses), np.arange(1, len(words) + 1))
        known = self._weights
        odds = known.steps[numbers].sum(1, dtype=np.int32) * known.scale + known.constant
        odds += [PUNCTUATED * word.endswith(STOPS) for word in words]
        odds[-1] += NEWEST
        return [float(chance) for chance in 1 / (1 + np.exp(-odds))]

    def restore(self, words: Sequence[str]) -> str:
        """The sentence with capitals and its last mark, unless the recogniser has set them."""
        text = " ".join(words)
        if not words or text != text.lower() or any(mark in text for mark in (*STOPS, ",")):
            return text
        text = " ".join(self._cased(word) for word in words)
        return text[0].upper() + text[1:] + ("?" if self._asks(words) else ".")

    @cached_property
    def _weights(self) -> Weights:
        with np.load(WEIGHTS) as kept:
            return Weights(kept["steps"], float(kept["scale"]), float(kept["constant"]))

    @cached_property
    def _language(self) -> LanguageModel:
        return LanguageModel()

    def _cased(self, word: str) -> str:
        return word.capitalize() if word in self._lexicon.names or word.partition("'")[0] == "i" else word

    def _asks(self, words: Sequence[str]) -> bool:
        if len(words) > 3 and words[0] in self._lexicon.openers:
            return self._asks(words[1:])
        known = self._lexicon
        return len(words) > 2 and words[0] in known.questions and words[1] in known.persons | known.questions
