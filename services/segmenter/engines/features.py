"""What a place between two words looks like: hashed features (Weinberger et al. 2009, arXiv 0902.2206)."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BITS = 20
"""Weights are 2^20."""
BEFORE, AFTER = 3, 3
"""Words that are looked at to the left and to the right of a place."""
FILLERS = frozenset({"uh", "um", "er", "ah", "uhm", "erm", "mm", "hmm"})
"""Sounds that are no words: the neighbours of a place are looked for beyond them."""
NOBODY = 0
"""Code of a word that is not there: before the sentence, or not yet heard."""
PAUSES = (0.04, 0.12, 0.25, 0.4, 0.6, 0.9, 1.2)
"""Bounds of what is one length of pause, seconds."""
CHANCES = tuple(range(-14, 14))
"""Bounds of what is one likelihood, natural logarithms."""
PLACES = (2, 3, 4, 6, 9, 13, 18, 26, 40)
"""Bounds of what is one distance from the first word of the sentence."""
STEM = 4
"""Letters of the longest word that is a class of its own; longer ones are classed by their last three."""
LETTERS = 3

# Columns of a window: the words before the place, those behind it, then the same as classes.
L2, L1, L0, R1, R2, R3 = range(6)
C2, C1, C0, D1, D2, D3 = range(6, 12)
WEIGHED = [L1, L0, R1, R2]
"""The words that the language model looks at."""
TEMPLATES = (
    (L0,),
    (L1,),
    (R1,),
    (R2,),
    (C0,),
    (D1,),
    (L1, L0),
    (R1, R2),
    (L0, R1),
    (L1, R1),
    (L0, R2),
    (C0, D1),
    (C1, C0, D1),
    (C0, D1, D2),
    (D1, D2),
    (L0, D1),
    (C0, R1),
    (L2,),
    (R3,),
    (L2, L1, L0),
    (L1, L0, R1),
    (L0, R1, R2),
    (R1, R2, R3),
    (L1, L0, R1, R2),
    (L0, R3),
    (R2, R3),
    (C2, C1, C0),
    (D1, D2, D3),
    (C1, C0, D1, D2),
    (C0, D1, D2, D3),
)

Codes = NDArray[np.uint64]


def code(word: str) -> int:
    """A word as a number, whatever its case and the marks around it."""
    return crc32(plain(word).encode())


def kind(word: str) -> int:
    """The class of a word: itself if short, else its ending; all numbers are one."""
    word = plain(word)
    if word.isdigit():
        return crc32(b"0")
    return crc32((word if len(word) <= STEM else "-" + word[-LETTERS:]).encode())


def plain(word: str) -> str:
    """Lower case, without marks at either end."""
    return word.lower().strip(".,;:?!\"'()[]").replace("\u2019", "'")


def windows(words: Sequence[str], places: NDArray[np.intp]) -> Codes:
    """One row a place behind each word, of its `neighbours`: codes, then classes, NOBODY where no word is."""
    codes = [np.array([NOBODY, *map(coded, words)], np.uint64)[places + 1] for coded in (code, kind)]
    return np.concatenate(codes, axis=1)


def neighbours(words: Sequence[str]) -> NDArray[np.intp]:
    """Where the words of each window stand, -1 where there is none; only the word before a place may be a filler."""
    spoken = np.flatnonzero([plain(word) not in FILLERS for word in words])
    every = np.arange(len(words))
    padded = np.concatenate([[-1] * (BEFORE - 1), spoken, [-1] * AFTER])
    # In `padded`, `before` is where the last word before this one stands, `behind` where the first one behind it does.
    before, behind = (np.searchsorted(spoken, every, side) + BEFORE - 1 for side in ("left", "right"))
    left = [padded[before - back] for back in range(BEFORE - 1, 0, -1)]
    right = [padded[behind + further] for further in range(AFTER)]
    return np.stack([*left, every, *right], axis=1).astype(np.intp)


def features(
    windows: Codes, evidence: NDArray[np.float64], pauses: NDArray[np.float64], places: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Numbers of the weights that count for each place, a row a place.

    `evidence` is the language model's, `pauses` are seconds behind each word, `places` counts words since the sentence
    began. Where the next word is not known, neither is the pause.
    """
    known = windows[:, R1] != NOBODY
    lengths = np.where(known, np.digitize(pauses, PAUSES) + 1, 0).astype(np.uint64)
    distances = np.digitize(places, PLACES).astype(np.uint64)
    context = known.astype(np.uint64) + (windows[:, R2] != NOBODY)
    last, following = windows[:, C0], windows[:, D1]
    end, begin, one, two = (_classes(chances, CHANCES) for chances in evidence.T)
    rough_end, rough_begin, rough_one, rough_two = (_classes(chances, CHANCES[::2]) for chances in evidence.T)
    columns = [windows[:, list(columns)] for columns in TEMPLATES]
    columns += [
        np.stack(parts, axis=1)
        for parts in (
            (lengths, context),
            (distances, context),
            (lengths, following),
            (distances, following),
            (lengths, last),
            (lengths, last, following),
            (lengths, windows[:, R1], windows[:, R2]),
            (lengths, distances),
            (end, context),
            (begin, context),
            (one, context),
            (two,),
            (one, lengths),
            (two, lengths),
            (rough_end, rough_begin),
            (rough_two, distances),
            (rough_two, last),
            (rough_two, following),
            (rough_one, lengths, distances),
            (rough_two, lengths, distances),
        )
    ]
    return np.stack([_mixed(number, parts) for number, parts in enumerate(columns, 1)], axis=1)


def _classes(chances: NDArray[np.float64], bounds: Sequence[int]) -> NDArray[np.uint64]:
    """In which class each is, 0 where it is not known."""
    return np.where(np.isnan(chances), 0, np.digitize(np.nan_to_num(chances), bounds) + 1).astype(np.uint64)


def _mixed(number: int, parts: Codes) -> NDArray[np.int32]:
    mixed = np.full(len(parts), number, np.uint64)
    for part in parts.T:
        # Steele et al. 2014, SplitMix: each word passes through a full mix, so order counts.
        mixed = (mixed + part) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
    return (mixed & np.uint64((1 << BITS) - 1)).astype(np.int32)
