"""Whisper by faster-whisper and CTranslate2 (both MIT): a hundred languages, on a CPU in int8, on a GPU in float16."""

import threading
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from faster_whisper import WhisperModel

from services.asr.engines import EngineOptions, Hypothesis, Word
from shared.audio import EAR, Pcm

COMPUTE = {"cpu": "int8", "cuda": "float16"}
TAIL = 200
"""Characters of earlier text that prompt a decode."""


class Model(Protocol):
    """What is used of faster_whisper.WhisperModel."""

    def transcribe(self, audio: Pcm, **options: Any) -> tuple[Iterable[Any], Any]:
        """Segments, decoded as they are read, and what is known of the whole."""
        ...


class FasterWhisper:
    """One model, shared by all streams of a replica; a window a call, greedily, so that a retry says the same."""

    spoken: tuple[str, ...] = ()
    parallel = 1

    def __init__(self, folder: Path, device: str, model: Model | None = None) -> None:
        self._folder, self._device, self._model = folder, device, model
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the folder; FileNotFoundError where there is none, for its name would be looked up on the network."""
        if self._model is None:
            if not (self._folder / "model.bin").is_file():
                raise FileNotFoundError(f"no Whisper model in CTranslate2's format in {str(self._folder)!r}")
            self._model = WhisperModel(
                str(self._folder), device=self._device, compute_type=COMPUTE[self._device], local_files_only=True
            )

    def transcribe(self, pcm: Pcm, *, language: str | None, prompt: str = "") -> Hypothesis:
        """Decode up to 30 s of mono 16 kHz float PCM; word times lie within the sound and never go back."""
        self.load()
        assert self._model is not None
        with self._lock:
            found, about = self._model.transcribe(
                pcm,
                language=language.partition("-")[0] if language else None,
                initial_prompt=prompt[-TAIL:] or None,
                beam_size=1,
                temperature=0.0,
                word_timestamps=True,
                condition_on_previous_text=False,
                vad_filter=False,
                # The guards behind every engine judge; here nothing is dropped unseen.
                no_speech_threshold=None,
                log_prob_threshold=None,
                compression_ratio_threshold=None,
            )
            segments = list(found)
        return Hypothesis(
            _clamped(segments, len(pcm) / EAR),
            no_speech=max((segment.no_speech_prob for segment in segments), default=None),
            logprob=fmean(segment.avg_logprob for segment in segments) if segments else None,
            compression=max((segment.compression_ratio for segment in segments), default=None),
            language=about.language,
        )

    def close(self) -> None:
        """Let go of the model."""
        self._model = None


def _clamped(segments: Iterable[Any], length: float) -> list[Word]:
    words: list[Word] = []
    for segment in segments:
        for word in segment.words or ():
            text = word.word.strip()
            start = min(length, max(word.start, words[-1].end if words else 0.0))
            end = min(length, max(word.end, start))
            if text and start < length:
                words.append(Word(text, start, end, word.probability))
    return words


def build(options: EngineOptions) -> FasterWhisper:
    """The model of the folder that is set; ValueError for a device that is not known."""
    if options.device not in COMPUTE:
        raise ValueError(f"no device {options.device!r}; there are {', '.join(COMPUTE)}")
    return FasterWhisper(Path(options.model), options.device)
