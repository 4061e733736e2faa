"""Sentence ends from pauses and a lexical prior, written by hand for English; elsewhere from pauses alone."""

from collections.abc import Sequence
from math import exp
from pathlib import Path

from pydantic import BaseModel

PRIOR = -2.6
"""Log-odds of an end after a word of which nothing is known: one word in fourteen."""
NEWEST = -2.0
"""Of the last word nothing is known behind it."""
PAUSED, LONGER = 1.4, 2.0
"""Log-odds gained by a pause, and by each second of it."""
UNPAUSED = -1.2
PUNCTUATED = 6.0
STOPS = (".", "?", "!")


class Lexicon(BaseModel):
    """What words say of sentence ends, in log-odds, and of questions and capitals."""

    seldom: dict[str, float]
    """Words with which a sentence seldom ends."""
    starters: dict[str, float]
    """What a word says of an end before it."""
    questions: frozenset[str]
    """First words of questions, where a person or an auxiliary follows."""
    persons: frozenset[str]
    openers: frozenset[str]
    """Words before a question's first word."""
    names: frozenset[str]
    """Words with a capital."""


class Embedded:
    """A sum of log-odds; text that brings its own punctuation is believed."""

    def __init__(self) -> None:
        self._lexicon = Lexicon.model_validate_json(Path(__file__).with_name("english.json").read_bytes())

    def ends(self, words: Sequence[str], pauses: Sequence[float]) -> list[float]:
        """Probability of an end after each word; pauses are the seconds behind each, 0 where nothing is known."""
        behind = [*(self._lexicon.starters.get(word.lower(), 0.0) for word in words[1:]), NEWEST]
        return [
            1 / (1 + exp(-(PRIOR + self._left(word) + after + _paused(pause))))
            for word, after, pause in zip(words, behind, pauses, strict=True)
        ]

    def restore(self, words: Sequence[str]) -> str:
        """The sentence with capitals and its last mark, unless the recogniser has set them."""
        text = " ".join(words)
        if not words or text != text.lower() or any(mark in text for mark in (*STOPS, ",")):
            return text
        text = " ".join(self._cased(word) for word in words)
        return text[0].upper() + text[1:] + ("?" if self._asks(words) else ".")

    def _left(self, word: str) -> float:
        return PUNCTUATED if word.endswith(STOPS) else self._lexicon.seldom.get(word.lower(), 0.0)

    def _cased(self, word: str) -> str:
        return word.capitalize() if word in self._lexicon.names or word.partition("'")[0] == "i" else word

    def _asks(self, words: Sequence[str]) -> bool:
        if len(words) > 3 and words[0] in self._lexicon.openers:
            return self._asks(words[1:])
        known = self._lexicon
        return len(words) > 2 and words[0] in known.questions and words[1] in known.persons | known.questions


def _paused(pause: float) -> float:
    return PAUSED + LONGER * min(pause, 1.0) if pause > 0.05 else UNPAUSED
