"""Who speaks, and which gender, with history: a stream's speakers as running means of their embeddings."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from math import exp, log

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from shared.messages import Gender

Vector = NDArray[np.float32]
"""Unit length."""

FOUNDING = 1.0
"""Seconds of voiced sound below which a piece neither founds nor changes a speaker."""
HEARD = 0.4
"""Seconds of voiced sound below which a piece belongs to whoever spoke before."""
MOST = 20
WRONG = 0.15
"""How often a piece is at the wrong speaker: what the history is tempered by."""
LIMIT = 15.0
UNSURE = log(3.0)
"""A posterior below 3:1 changes no voice."""


class Known(BaseModel):
    """A speaker: the duration-weighted mean of the embeddings (base64 of float16), and the gender so far."""

    mean: str
    seconds: float
    log_odds: float = 0.0
    """Of female, natural, summed."""
    gender: Gender | None = None

    @property
    def vector(self) -> Vector:
        """The mean, not of unit length."""
        return np.frombuffer(b64decode(self.mean), np.float16).astype(np.float32)


class Ledger(BaseModel):
    """The speakers of one stream: speaker n is entry n - 1."""

    known: list[Known] = []
    last: int | None = None

    def who(self, vector: Vector | None, seconds: float, same: float) -> int | None:
        """The speaker of a piece with so many voiced seconds: the nearest, or a new one where none is within `same`.

        None only while nobody has been heard for a whole second.
        """
        if vector is None or seconds < HEARD:
            return self.last
        near = [_cosine(known.vector, vector) for known in self.known]
        best = max(range(len(near)), key=near.__getitem__, default=-1)
        if seconds >= FOUNDING:
            if best < 0 or (near[best] < same and len(near) < MOST):
                self.known.append(Known(mean=_pack(vector), seconds=seconds))
                best = len(self.known) - 1
            else:
                self._take(self.known[best], vector, seconds)
        if best >= 0:
            self.last = best + 1
        return self.last

    def gender(self, speaker: int | None, log_odds: float | None, seconds: float) -> Gender | None:
        """Gender of a piece by its own log-odds and the speaker's history, as far as that can be the same person's."""
        known = self.known[speaker - 1] if speaker is not None and speaker <= len(self.known) else None
        if log_odds is None or seconds < HEARD:
            return known.gender if known else None
        if known is None:
            return "f" if log_odds > 0 else "m"
        posterior = log_odds + _tempered(known.log_odds)
        gender: Gender = "f" if posterior > 0 else "m"
        if known.gender and abs(posterior) < UNSURE:
            gender = known.gender
        if seconds >= FOUNDING:
            known.log_odds = max(-LIMIT, min(LIMIT, known.log_odds + log_odds))
            known.gender = gender
        return gender

    @staticmethod
    def _take(known: Known, vector: Vector, seconds: float) -> None:
        total = known.seconds + seconds
        mean = (known.vector * known.seconds + vector * seconds) / total
        known.mean = _pack(mean.astype(np.float32))
        known.seconds = total


def merged(speaker: int | None, merges: Mapping[str, str]) -> int | None:
    """The speaker that a speaker is after merges by hand; a circle of merges ends where it closes."""
    seen: set[str] = set()
    name = str(speaker)
    while name in merges and name not in seen:
        seen.add(name)
        name = merges[name]
    return int(name) if name.isdecimal() else speaker


def _tempered(history: float) -> float:
    belief = (1 - WRONG) / (1 + exp(-history)) + WRONG / 2
    return log(belief / (1 - belief))


def _cosine(mean: Vector, vector: Vector) -> float:
    return float(mean @ vector / (np.linalg.norm(mean) + 1e-9))


def _pack(vector: Vector) -> str:
    return b64encode(vector.astype(np.float16).tobytes()).decode()
