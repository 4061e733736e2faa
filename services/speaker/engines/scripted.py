"""Speakers by a table of media time: for tests and load tests, it listens to nothing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.speaker.engines import Options, Piece
from shared.audio import EAR, Pcm
from shared.messages import Gender

TABLE: tuple[Gender, ...] = ("f", "m")
TURN = 16.0
"""Seconds each speaker of the table has, in turn and for ever."""


class Scripted:
    """Speakers of a table who take turns."""

    same = 0.7
    different = 0.55

    def __init__(self, options: Options | None = None, *, table: Sequence[Gender] = TABLE, turn: float = TURN) -> None:
        self.table = table
        self.turn = turn

    def embed(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        """One axis a speaker, shape (pieces, speakers): each has the share of a piece that lies in their turns."""
        vectors = np.zeros((len(pieces), len(self.table)), np.float32)
        for vector, piece in zip(vectors, pieces, strict=True):
            end = piece.start + len(piece.pcm) / EAR
            for turn in range(int(piece.start // self.turn), int(end // self.turn) + 1):
                vector[turn % len(self.table)] += min(end, (turn + 1) * self.turn) - max(piece.start, turn * self.turn)
        unit: NDArray[np.float32] = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-9))
        return unit

    def gender(self, pcm: Pcm, vector: NDArray[np.float32]) -> float | None:
        """Certain."""
        return 6.0 if self.table[int(vector.argmax())] == "f" else -6.0
