"""What neural embedders share: a folder that is there and fits, sound as tensors, gender by a line or by pitch."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.speaker.engines import Options, Piece, Unavailable
from services.speaker.engines.gender import by_pitch, read_line
from shared.audio import Pcm
from shared.memory import refusal

Array = NDArray[np.float32]
LINE = "gender_line.json"
"""A line that loadtest/fit_gender.py has fitted in the model's own space, where there is one."""


class Neural:
    """A network that turns sound into a vector; subclasses load it and run it."""

    same: float
    different: float

    def __init__(self, options: Options, name: str, weights: str) -> None:
        self.folder, self.device = (options.models / name).resolve(), options.device
        if not any(self.folder.glob(weights)):
            raise Unavailable(f"no {weights} in {str(options.models / name)!r}")
        if reason := refusal(self.folder, options.device, options.reserve):
            raise Unavailable(reason)
        self._torch: Any = import_module("torch")
        self._line = read_line(path) if (path := self.folder / LINE).is_file() else None

    def embed(self, pieces: Sequence[Piece]) -> Array:
        """Unit vectors, shape (pieces, size); each piece by itself, for padding would change it."""
        torch = self._torch
        found = []
        for piece in pieces:
            with torch.inference_mode():
                vector = self.vector(torch.from_numpy(np.ascontiguousarray(piece.pcm))[None].to(self.device))
            found.append(vector.reshape(-1).float().cpu().numpy())
        vectors = np.stack(found)
        unit: Array = (vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)).astype(np.float32)
        return unit

    def gender(self, pcm: Pcm, vector: Array) -> float | None:
        """Log-odds of female by the line of this model, or by pitch where nobody has fitted one."""
        return self._line(vector) if self._line else by_pitch(pcm)

    def vector(self, sound: Any) -> Any:
        """The embedding of one piece: a tensor of samples, shape (1, samples), to one of any shape."""
        raise NotImplementedError


def file(folder: Path, pattern: str) -> str:
    """The first file that matches."""
    return str(sorted(folder.glob(pattern))[0])
