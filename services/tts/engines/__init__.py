"""Synthesisers: text in, speech out."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from shared.audio import Pcm
from shared.context import Voice


class EngineMissing(ImportError):
    """The engine cannot run here; the message says what to install."""


class SpeechFailed(RuntimeError):
    """The engine gave no speech for this text."""


class Sound(NamedTuple):
    """PCM and its sample rate."""

    pcm: Pcm
    rate: int


class Synthesiser(Protocol):
    """What speaks."""

    @property
    def voices(self) -> Sequence[Voice]:
        """All voices, those to be cast first in front."""

    @property
    def rates(self) -> tuple[float, float]:
        """Slowest and fastest rate that the engine speaks at itself."""

    @property
    def cheap(self) -> bool:
        """Whether a phrase takes less than 50 ms, so that it may be spoken again at another rate."""

    async def speak(self, text: str, voice: str, *, rate: float = 1.0) -> Sound:
        """Speak a text at `rate` times the voice's natural pace. Raises SpeechFailed."""


@runtime_checkable
class Imitator(Protocol):
    """What can speak with a voice that it hears for the first time."""

    async def imitate(self, text: str, voice: str, heard: Pcm, *, rate: float = 1.0) -> Sound:
        """Speak a text, in the language of a voice, as who is heard in 16 kHz mono sound. Raises SpeechFailed."""


class Options(NamedTuple):
    """What an operator may say about an engine; each takes what concerns it."""

    model: Path = Path()
    device: str = "cpu"
    threads: int = 0
    reserve: float = 2.0
    imitate: bool = False


ENGINES = {
    "espeak": ("Espeak", "embedded"),
    "vits": ("Vits", "neural"),
    "xtts": ("Xtts", "neural"),
    "scripted": ("Scripted", "tts"),
}
"""Class of each engine, and the extra of the project that installs what it needs."""


def load(name: str, options: Options | None = None) -> Synthesiser:
    """The engine of this name. Raises EngineMissing with one line that says what is missing."""
    if name not in ENGINES:
        raise EngineMissing(f"there is no voice engine {name!r}; there are {', '.join(ENGINES)}")
    kind, extra = ENGINES[name]
    try:
        engine: Synthesiser = getattr(import_module(f"{__name__}.{name}"), kind)(options or Options())
    except ModuleNotFoundError as missing:
        raise EngineMissing(f"voice engine {name!r} needs {missing.name}: pip install 'dragoman[{extra}]'") from missing
    return engine
