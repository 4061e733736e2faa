"""Which of a model's hypotheses is offered as a shorter wording."""

import re
from collections import Counter
from collections.abc import Iterable

from shared.messages import Wording

HYPOTHESES = 4
FEWER = 0.88
"""A shorter wording has at most this share of the characters: less would not be heard."""
MARGIN = 0.5
"""Log-probability a token by which a shorter hypothesis may be less likely than the best."""

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=\w )[^\W\d_a-z]\w+")


def wordings(hypotheses: Iterable[tuple[str, float]]) -> list[Wording]:
    """The best of (text, score a token), and the shortest likely one that keeps every number and name."""
    ranked = sorted(((text.strip(), score) for text, score in hypotheses), key=lambda each: -each[1])
    if not ranked:
        return []
    best, likely = ranked[0]
    offered = [Wording(text=best, score=likely)]
    shorter = [
        (text, score)
        for text, score in ranked[1:]
        if text and len(text) <= FEWER * len(best) and score >= likely - MARGIN and keeps(best, text)
    ]
    if shorter:
        text, score = min(shorter, key=lambda each: len(each[0]))
        offered.append(Wording(text=text, shorter=True, score=score))
    return offered


def keeps(full: str, shorter: str) -> bool:
    """Whether the numbers are the same, and no name is gone."""
    same = Counter(_NUMBER.findall(full)) == Counter(_NUMBER.findall(shorter))
    words = set(re.findall(r"\w+", shorter))
    return same and all(name in words for name in _NAME.findall(full))
