"""What a recogniser must do, and how one is loaded by name."""

from collections.abc import Mapping, Sequence
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


class Heard(NamedTuple):
    """Words that will not change, and the time before which no later one starts; seconds from the first sample fed."""

    words: list[Word]
    until: float


class WindowRecogniser(Protocol):
    """Decodes a stretch of sound as a whole and remembers nothing."""

    spoken: tuple[str, ...]
    """Languages that are understood, BCP 47; empty: all."""
    parallel: int
    """Calls that may run at once, from as many threads."""

    def transcribe(self, pcm: Pcm, *, language: str | None, prompt: str = "", terms: Sequence[str] = ()) -> Hypothesis:
        """Decode mono 16 kHz float PCM, the same way each time; `terms` are words that may well be said; blocks."""
        ...

    def languages(self, pcm: Pcm) -> Mapping[str, float]:
        """Probability of each language that may be spoken; empty where the engine cannot tell; blocks."""
        ...

    def load(self) -> None:
        """Load the model before the first call would; blocks."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


class StreamRecogniser(Protocol):
    """One stretch of sound, heard as it goes on: a warm cache that can be built again from the sound."""

    def feed(self, pcm: Pcm) -> Heard:
        """Hear on; the words do not depend on how the sound is cut; blocks."""
        ...

    def flush(self) -> Heard:
        """Tell what is left; nothing is fed behind it; blocks."""
        ...


class StreamEngine(Protocol):
    """A model that hears streams as they go on."""

    spoken: tuple[str, ...]
    """Languages that are understood, BCP 47."""
    parallel: int
    """Calls that may run at once, from as many threads."""

    def open(self) -> StreamRecogniser:
        """Begin to hear a stretch of sound."""
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
    reserve: float = 2.0
    """Gigabytes of GPU memory that stay free for the work itself."""
    spoken: tuple[str, ...] = ()
    """Languages of a model that does not tell them; none: English."""
    look_ahead: float = 0.56
    """Seconds of sound behind a word that a cache-aware model may wait for."""


EXTRAS = {"pocketsphinx": "embedded", "faster_whisper": "embedded", "nemo": "neural"}
"""Engines, and the extra of the project that installs each."""
STREAMING = ("nemo",)
"""Those that hear a stream as it goes on."""


def load(name: str, options: EngineOptions) -> WindowRecogniser:
    """Build the engine of this name; LookupError names what there is, ImportError what to install."""
    return cast("WindowRecogniser", _known(name).build(options))


def stream(name: str, options: EngineOptions) -> StreamEngine:
    """Build the streaming engine of this name; LookupError names what there is, ImportError what to install."""
    return cast("StreamEngine", _known(name).build(options))


def script(options: EngineOptions) -> Script:
    """The table that is set; ValueError or OSError where it cannot be read."""
    return cast("Script", _module("scripted", "asr").build(options))


def detector() -> SpeechDetector:
    """The detector of speech that stands before every engine."""
    return cast("SpeechDetector", _module("vad", "embedded").Silero())


def _known(name: str) -> ModuleType:
    if name not in EXTRAS:
        raise LookupError(f"no asr engine {name!r}; there are scripted, {', '.join(EXTRAS)}")
    return _module(name, EXTRAS[name])


def _module(name: str, extra: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as missing:
        raise ImportError(f"asr engine {name!r} needs {missing.name}: pip install 'dragoman[{extra}]'") from missing
