"""What turns a sentence into another language: one protocol, one module an engine."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from shared.context import Term
from shared.messages import Gender, Wording

Pair = tuple[str, str]
"""From and to, BCP 47."""


@dataclass(frozen=True, slots=True)
class Source:
    """A sentence to translate, and what helps to translate it."""

    text: str
    spoken: str
    earlier: tuple[str, ...] = ()
    """The sentences before it, oldest first."""
    glossary: tuple[Term, ...] = ()
    """Terms that occur in the text."""
    gender: Gender | None = None
    """Of who says it."""


class Translator(Protocol):
    """Translates batches of sentences."""

    @property
    def pairs(self) -> Collection[Pair]:
        """What it translates; known once `start` has returned."""
        ...

    async def start(self) -> None:
        """Make ready; Unavailable where something is missing."""
        ...

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        """Wordings of each sentence, best first, then shorter ones; Failed where the engine cannot."""
        ...

    async def stop(self) -> None:
        """End programs and connections."""
        ...


class Unavailable(Exception):
    """The engine cannot run here; the text says in one line what is missing and how to get it."""


class Failed(Exception):
    """The engine did not translate."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


ENGINES = {"apertium": "Apertium", "deepl": "DeepL", "scripted": "Scripted"}


def load(name: str) -> Translator:
    """Make an engine; Unavailable where nobody knows it or its packages are missing."""
    if name not in ENGINES:
        raise Unavailable(f"no translation engine {name!r}: choose among {', '.join(ENGINES)}")
    engine: Translator = getattr(import_module(f"{__name__}.{name}"), ENGINES[name])()
    return engine
