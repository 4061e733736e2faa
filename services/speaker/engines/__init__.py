"""What turns speech into a vector that says who it is: one protocol, one module an engine."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.audio import Pcm


class Piece(NamedTuple):
    """Voiced sound, 16 kHz, and the media time at which it starts."""

    start: float
    pcm: Pcm


class Embedder(Protocol):
    """Embeds voiced speech of at least 0.4 s."""

    same: float
    """Cosine at or above which two pieces are one speaker: flat, and different for each model."""
    different: float
    """Cosine below which the two sides of a point are two speakers."""

    def embed(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        """One vector of unit length a piece, shape (pieces, size)."""
        ...

    def gender(self, pcm: Pcm, vector: NDArray[np.float32]) -> float | None:
        """Natural log-odds of female, within +-6; None where the engine cannot tell."""
        ...


class Unavailable(ImportError):
    """The engine cannot run here; the text says in one line what is missing and how to get it."""


class Options(NamedTuple):
    """What an operator may say about an engine; each takes what concerns it."""

    models: Path = Path("models")
    """Folder of the weights: the wheel of dvector, `ecapa`, `titanet`."""
    device: str = "cpu"
    reserve: float = 2.0
    """Gigabytes of GPU memory that stay free for the work itself."""


ENGINES = {"dvector": "DVector", "ecapa": "Ecapa", "titanet": "TitaNet", "scripted": "Scripted"}


def load(name: str, models: Path, device: str = "cpu", reserve: float = 2.0) -> Embedder:
    """Make an engine; Unavailable where its weights are not in `models`, do not fit, or nobody knows it."""
    if name not in ENGINES:
        raise Unavailable(f"no speaker engine {name!r}: choose one of {', '.join(ENGINES)}")
    try:
        module = import_module(f"{__name__}.{name}")
        engine: Embedder = getattr(module, ENGINES[name])(Options(models, device, reserve))
    except ModuleNotFoundError as missing:
        raise Unavailable(f"speaker engine {name!r} needs {missing.name}: pip install 'dragoman[neural]'") from missing
    return engine
