"""What a recogniser must do, and how one is loaded by name."""

from importlib import import_module
from types import ModuleType
from typing import NamedTuple, Protocol, cast

from shared.audio import Pcm


class Word(NamedTuple):
    """A recognised word; seconds from the start of the sound, confidence 0 to 1 where the engine has one."""

    text: str
    start: float
    end: float
    confidence: float | None = None


class Hypothesis(NamedTuple):
    """One decode of a stretch of sound; None is what the engine does not know, and that guard is skipped."""

    words: list[Word]
    no_speech: float | None = None
    logprob: float | None = None
    compression: float | None = None
    language: str | None = None


class WindowRecogniser(Protocol):
    """Decodes a stretch of sound as a whole and remembers nothing."""

    spoken: tuple[str, ...]
    """Languages that are understood, BCP 47; empty: all."""
    parallel: int
    """Calls that may run at once, from as many threads."""

    def transcribe(self, pcm: Pcm, *, language: str | None, prompt: str = "") -> Hypothesis:
        """Decode mono 16 kHz float PCM, the same way each time; blocks."""
        ...

    def load(self) -> None:
        """Load the model before the first call would; blocks."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


class Script(Protocol):
    """A table in place of ears."""

    def words(self, after: float, until: float) -> list[Word]:
        """Words that end in (after, until], with media times."""
        ...

    def begun(self, until: float) -> float:
        """Start of the word that is being said at `until`, else `until`."""
        ...


class SpeechDetector(Protocol):
    """Says where there is speech, 32 ms at a time; its memory travels as text."""

    def load(self) -> None:
        """Load the model before the first call would; blocks."""
        ...

    def speech(self, pcm: Pcm, carry: str) -> tuple[list[float], str]:
        """Speech probability of each window of 512 samples (16 kHz, whole windows), and the memory behind them."""
        ...


class EngineOptions(NamedTuple):
    """What an operator may say about an engine; each takes what concerns it."""

    model: str = ""
    """Folder of the model."""
    device: str = "cpu"
    workers: int = 1
    script: str = ""
    """Path of a JSON file, or JSON."""


EXTRAS = {"pocketsphinx": "embedded", "faster_whisper": "embedded"}
"""Engines, and the extra of the project that installs each."""


def load(name: str, options: EngineOptions) -> WindowRecogniser:
    """Build the engine of this name; LookupError names what there is, ImportError what to install."""
    if name not in EXTRAS:
        raise LookupError(f"no asr engine {name!r}; there are scripted, {', '.join(EXTRAS)}")
    return cast("WindowRecogniser", _module(name, EXTRAS[name]).build(options))


def script(options: EngineOptions) -> Script:
    """The table that is set; ValueError or OSError where it cannot be read."""
    return cast("Script", _module("scripted", "asr").build(options))


def detector() -> SpeechDetector:
    """The detector of speech that stands before every engine."""
    return cast("SpeechDetector", _module("vad", "embedded").Silero())


def _module(name: str, extra: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as missing:
        raise ImportError(f"asr engine {name!r} needs {missing.name}: pip install 'dragoman[{extra}]'") from missing
