"""What turns a sentence into another language: one protocol, one module an engine."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

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
    """The stream's terms, for an engine with glossaries of its own."""
    gender: Gender | None = None
    """Of who says it."""
    stream: str = ""
    """Where it is said."""
    start: float = 0.0
    """When, seconds of media."""


class Translator(Protocol):
    """Translates batches of sentences."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def glossaries(self) -> bool:
        """Whether it obeys `Source.glossary` itself."""
        ...

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


class Unavailable(ImportError):
    """The engine cannot run here; the text says in one line what is missing and how to get it."""


class Failed(Exception):
    """The engine did not translate; it is not worth asking for `rest` seconds."""

    def __init__(self, reason: str, *, retryable: bool, rest: float = 0.0) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.rest = rest


class Options(NamedTuple):
    """What an operator may say about engines; each takes what concerns it."""

    model: Path = Path()
    """Folder of a model, or of several such folders."""
    device: str = "cpu"
    threads: int = 0
    reserve: float = 2.0
    formality: str = "default"


ENGINES = {
    "apertium": ("Apertium", "embedded"),
    "ctranslate2": ("CTranslate2", "neural"),
    "transformers": ("Transformers", "neural"),
    "deepl": ("DeepL", "translator"),
    "scripted": ("Scripted", "translator"),
}
"""Class of each engine, and the extra of the project that installs what it needs."""
BILLED = frozenset({"deepl"})
"""Engines that take money for each question."""


def load(name: str, options: Options | None = None) -> Translator:
    """Make an engine; Unavailable where nobody knows it or its packages are missing."""
    if name not in ENGINES:
        raise Unavailable(f"no translation engine {name!r}: choose among {', '.join(ENGINES)}")
    kind, extra = ENGINES[name]
    try:
        module = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as missing:
        raise missing_package(name, missing, extra) from missing
    engine: Translator = getattr(module, kind)(options or Options())
    return engine


def missing_package(engine: str, missing: ModuleNotFoundError, extra: str = "neural") -> Unavailable:
    """The one line about a package that is not installed."""
    return Unavailable(f"translation engine {engine!r} needs {missing.name}: pip install 'dragoman[{extra}]'")
