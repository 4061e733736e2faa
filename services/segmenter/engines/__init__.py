"""What must be known of sentence ends, and how an engine is loaded by name."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, cast


class SentenceEnds(Protocol):
    """Judges text without punctuation."""

    def load(self) -> None:
        """Load the model before the first call would; blocks."""
        ...

    def ends(self, words: Sequence[str], pauses: Sequence[float]) -> list[float]:
        """Probability of an end after each word; pauses are the seconds behind each, 0 where nothing is known."""
        ...

    def restore(self, words: Sequence[str]) -> str:
        """The sentence with its casing and punctuation; its words stay what and where they are."""
        ...


class Options(NamedTuple):
    """What an operator may say about an engine; each takes what concerns it."""

    model: Path = Path()
    """Folder of the model."""
    device: str = "cpu"
    reserve: float = 2.0
    """Gigabytes of GPU memory that stay free for the work itself."""


ENGINES = {"embedded": "Embedded", "punctuation": "Punctuation"}


def load(name: str, options: Options | None = None) -> SentenceEnds:
    """Build the engine of this name; LookupError names what there is, ImportError what to install."""
    if name not in ENGINES:
        raise LookupError(f"no segmenter engine {name!r}; there are {', '.join(ENGINES)}")
    try:
        build = getattr(import_module(f"{__name__}.{name}"), ENGINES[name])
        return cast("SentenceEnds", build(options or Options()))
    except ModuleNotFoundError as missing:
        extra = "embedded" if name == "embedded" else "neural"
        raise ImportError(
            f"segmenter engine {name!r} needs {missing.name}: pip install 'dragoman[{extra}]'"
        ) from missing
