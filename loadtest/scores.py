"""Scores of recognised speech, by one normaliser for reference and hypothesis."""

import re
from collections.abc import Collection, Sequence

NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SPELLED = {str(number): name for number, name in enumerate(NAMES, 1)}
SPELLED |= {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}


def normal(text: str) -> list[str]:
    """Words in lower case, without punctuation, with titles and small numbers spelled out."""
    text = re.sub(r"[’`]", "'", text.lower())
    words = (word.strip("'") for word in re.sub(r"[^\w']|_", " ", text).split())
    return [SPELLED.get(word, word) for word in words if word]


def errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Least count of words to replace, insert or delete (Levenshtein)."""
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


def wer(reference: str, hypothesis: str) -> float:
    """Word error rate; may exceed 1."""
    spoken = normal(reference)
    return errors(spoken, normal(hypothesis)) / max(1, len(spoken))


def f1(found: Collection[int], true: Collection[int]) -> float:
    """Harmonic mean of precision and recall of two sets of places."""
    return 2 * len(set(found) & set(true)) / max(1, len(found) + len(true))
