"""What must be known of sentence ends, and how an engine is loaded by name."""

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast


class SentenceEnds(Protocol):
    """Judges text without punctuation."""

    def ends(self, words: Sequence[str], pauses: Sequence[float]) -> list[float]:
        """Probability of an end after each word; pauses are the seconds behind each, 0 where nothing is known."""
        ...

    def restore(self, words: Sequence[str]) -> str:
        """The sentence with its casing and punctuation; its words stay what and where they are."""
        ...


ENGINES = ("embedded",)


def load(name: str) -> SentenceEnds:
    """Build the engine of this name; LookupError names what there is."""
    if name not in ENGINES:
        raise LookupError(f"no segmenter engine {name!r}; there are {', '.join(ENGINES)}")
    return cast("SentenceEnds", import_module(f"{__name__}.{name}").Embedded())
