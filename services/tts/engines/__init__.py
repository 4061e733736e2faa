"""Synthesisers: text in, speech out."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared.audio import Pcm
from shared.context import Voice

NAMES = ("espeak", "scripted")


class EngineMissing(RuntimeError):
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


def load(name: str) -> Synthesiser:
    """The engine of this name. Raises EngineMissing with one line that says what is missing."""
    if name == "espeak":
        from services.tts.engines.espeak import Espeak

        return Espeak()
    if name == "scripted":
        from services.tts.engines.scripted import Scripted

        return Scripted()
    raise EngineMissing(f"there is no voice engine {name!r}; there are {', '.join(NAMES)}")
