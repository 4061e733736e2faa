"""What finds faces on a picture and tells them apart: one protocol, one module an engine."""

from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
"""Shape (height, width)."""
Colour = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""
Vector = NDArray[np.float32]


class Box(NamedTuple):
    """Where a face is, as shares of the picture's width and height."""

    left: float
    top: float
    width: float
    height: float


class Found(NamedTuple):
    """A face on one picture."""

    box: Box
    clearness: float
    """How sure the detector is; 0 is hardly a face, 1 a clear one, more is better still."""


class Engine(Protocol):
    """Finds faces and embeds them; it keeps nothing of any picture."""

    same: float
    """Distance up to which two embeddings are one person."""

    def find(self, picture: Grey) -> list[Found]:
        """All faces on a picture."""
        ...

    def embed(self, picture: Colour, box: Box) -> Vector:
        """What tells this face from others."""
        ...


class Unavailable(ImportError):
    """The engine cannot run here; the text says in one line what is missing and how to get it."""


ENGINES = {"hog": ("Hog", "faces"), "yunet": ("YuNet", "faces-opencv")}
"""Name to class and to the extra that installs its library."""


def load(name: str, models: Path) -> Engine:
    """Make an engine; Unavailable where its weights are not in `models`, its library is missing, or nobody knows it."""
    if name not in ENGINES:
        raise Unavailable(f"no faces engine {name!r}: choose one of {', '.join(ENGINES)}")
    kind, extra = ENGINES[name]
    try:
        engine: Engine = getattr(import_module(f"{__name__}.{name}"), kind)(models)
    except ModuleNotFoundError as error:
        raise Unavailable(f"{error.name} is not installed: pip install 'dragoman[{extra}]'") from error
    return engine
