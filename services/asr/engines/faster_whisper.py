"""Whisper by faster-whisper and CTranslate2 (both MIT): a hundred languages, on a CPU in int8, on a GPU in float16."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from faster_whisper import WhisperModel

from services.asr.engines import EngineOptions, Hypothesis, Word
from shared.audio import EAR, Pcm
from shared.memory import refusal

COMPUTE = {"cpu": "int8", "cuda": "float16"}
SPOKEN = ("en",)
"""What a model without languages understands."""
TAIL = 200
"""Characters of earlier text that prompt a decode."""


class Model(Protocol):
    """What is used of faster_whisper.WhisperModel."""

    def transcribe(self, audio: Pcm, **options: Any) -> tuple[Iterable[Any], Any]:
        """Segments, decoded as they are read, and what is known of the whole."""
        ...

    def detect_language(self, audio: Pcm) -> tuple[str, float, list[tuple[str, float]]]:
        """The likeliest language, its probability, and those of all."""
        ...


class FasterWhisper:
    """One model, shared by all streams of a replica; a window a call, greedily, so that a retry says the same."""

    spoken: tuple[str, ...] = ()

    def __init__(self, options: EngineOptions, model: Model | None = None) -> None:
        self._folder, self._options, self._model = Path(options.model), options, model
        self.parallel = options.workers

    def load(self) -> None:
        """Load the folder.

        Raises FileNotFoundError where it holds no model, for its name would be looked up on the network, and
        MemoryError where the GPU has no room for it.
        """
        if self._model is None:
            if not (self._folder / "model.bin").is_file():
                raise FileNotFoundError(f"no Whisper model in CTranslate2's format in {str(self._folder)!r}")
            device = self._options.device
            if reason := refusal(self._folder, device, self._options.reserve):
                raise MemoryError(reason)
            model = WhisperModel(
                str(self._folder),
                device=device,
                compute_type=COMPUTE[device],
                cpu_threads=max(1, (os.cpu_count() or 1) // self.parallel),
                num_workers=self.parallel,
                local_files_only=True,
            )
            self._model, self.spoken = model, () if model.model.is_multilingual else SPOKEN

    def transcribe(self, pcm: Pcm, *, language: str | None, prompt: str = "", terms: Sequence[str] = ()) -> Hypothesis:
        """Decode up to 30 s of mono 16 kHz float PCM; word times lie within the sound and never go back."""
        self.load()
        assert self._model is not None
        found, about = self._model.transcribe(
            pcm,
            language=language.partition("-")[0] if language else None,
            initial_prompt=prompt[-TAIL:] or None,
            hotwords=", ".join(terms)[:TAIL] or None,
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

    def languages(self, pcm: Pcm) -> Mapping[str, float]:
        """Probability of each language in up to 30 s of mono 16 kHz float PCM."""
        self.load()
        assert self._model is not None
        return {} if self.spoken else dict(self._model.detect_language(pcm)[2])

    def close(self) -> None:
        """Let go of the model."""
        self._model = None


def _clamped(segments: Iterable[Any], length: float) -> list[Word]:
    words: list[Word] = []
    for segment in segments:
        for word in segment.words or ():
            text = word.word.strip()
            start = min(length, max(float(word.start), words[-1].end if words else 0.0))
            end = min(length, max(float(word.end), start))
            if text and start < length:
                words.append(Word(text, start, end, float(word.probability)))
    return words


def build(options: EngineOptions) -> FasterWhisper:
    """The model of the folder that is set; ValueError for a device that is not known."""
    if options.device not in COMPUTE:
        raise ValueError(f"no device {options.device!r}; there are {', '.join(COMPUTE)}")
    return FasterWhisper(options)
