"""Cache-aware streaming FastConformer (NeMo, Apache-2.0): each sample is encoded once, words leave as they are decoded.

Noroozi et al., "Stateful Conformer with cache-based inference for streaming ASR" (2024), arXiv 2312.17279.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from services.asr.engines import EngineOptions, Heard, Word
from shared.audio import EAR, Pcm
from shared.memory import refusal

HOP = EAR // 100
"""Samples from one column of the spectrogram to the next."""
EDGE = 3
"""Columns at either end of a stretch whose windows reach beyond it."""
MARK = "\u2581"
"""What a piece begins with that begins a word."""
OVER = 0.5
"""Seconds without a piece after which a word is over."""


class Nemo:
    """One model, shared by all streams of a replica; a call hears on for one of them."""

    parallel = 1

    def __init__(self, options: EngineOptions) -> None:
        self._folder, self._options = Path(options.model), options
        self.spoken = options.spoken or ("en",)
        self._model: Any = None

    def load(self) -> None:
        """Load the .nemo file of the folder; FileNotFoundError: there is none; MemoryError: the GPU is full."""
        if self._model is not None:
            return
        file = next(iter(sorted(self._folder.glob("*.nemo"))), None)
        if file is None:
            raise FileNotFoundError(f"no .nemo file in {str(self._folder)!r}")
        if reason := refusal(self._folder, self._options.device, self._options.reserve):
            raise MemoryError(reason)
        # It tells whole configurations otherwise.
        import_module("nemo.utils").logging.setLevel("ERROR")
        library = import_module("nemo.collections.asr.models").ASRModel
        model = library.restore_from(str(file), map_location=self._options.device).eval()
        _look_ahead(model.encoder, self._options.look_ahead)
        self._model = model

    def open(self) -> "Hearer":
        """Begin to hear a stretch of sound."""
        self.load()
        return Hearer(self._model)

    def close(self) -> None:
        """Let go of the model."""
        self._model = None


class Hearer:
    """One stretch of sound: what is not yet a column, what is not yet encoded, and the caches of the model."""

    def __init__(self, model: Any) -> None:
        self._torch: Any = import_module("torch")
        self._model, self._steps = model, model.encoder.streaming_cfg
        # Silence stands before the first sample, so that its window is a whole one.
        self._samples: Pcm = np.zeros(EDGE * HOP, np.float32)
        self._columns: Any = None
        self._cache = model.encoder.get_initial_cache_state(batch_size=1)
        self._decoded: Any = None
        self._before: Any = None
        self._begun = False
        self._encoded = 0
        self._told = 0

    def feed(self, pcm: Pcm) -> Heard:
        """Hear on (mono, 16 kHz); a step is taken as soon as it has all its columns."""
        self._spectrum(pcm)
        while self._missing <= 0:
            self._step()
        return self._heard(over=False)

    def flush(self) -> Heard:
        """Tell what is left: silence stands behind the last sample."""
        self.feed(np.zeros(EDGE * HOP, np.float32))
        if self._columns is not None and self._columns.shape[1] > self._seen:
            self.feed(np.zeros(self._missing * HOP, np.float32))
        return self._heard(over=True)

    @property
    def _seen(self) -> int:
        """Columns that the step before had and this one sees again."""
        return int(_nth(self._steps.pre_encode_cache_size, self._begun))

    @property
    def _missing(self) -> int:
        known = 0 if self._columns is None else int(self._columns.shape[1])
        return self._seen + int(_nth(self._steps.chunk_size, self._begun)) - known

    def _spectrum(self, pcm: Pcm) -> None:
        self._samples = np.concatenate([self._samples, pcm])
        count = len(self._samples) // HOP - 2 * EDGE
        if count <= 0:
            return
        torch, device = self._torch, self._model.device
        stretch = self._samples[: (count + 2 * EDGE) * HOP]
        with torch.inference_mode():
            found, _ = self._model.preprocessor(
                input_signal=torch.from_numpy(stretch)[None].to(device),
                length=torch.tensor([len(stretch)], device=device),
            )
        columns = found[0][:, EDGE : EDGE + count]
        self._columns = columns if self._columns is None else torch.cat([self._columns, columns], 1)
        self._samples = self._samples[count * HOP :]

    def _step(self) -> None:
        seen, shift = self._seen, int(_nth(self._steps.shift_size, self._begun))
        columns = self._columns[:, : self._columns.shape[1] + self._missing]
        with self._torch.inference_mode():
            self._before, _, *cache, self._decoded = self._model.conformer_stream_step(
                processed_signal=columns[None],
                processed_signal_length=self._torch.tensor([columns.shape[1]], device=columns.device),
                cache_last_channel=self._cache[0],
                cache_last_time=self._cache[1],
                cache_last_channel_len=self._cache[2],
                keep_all_outputs=False,
                previous_hypotheses=self._decoded,
                previous_pred_out=self._before,
                drop_extra_pre_encoded=self._steps.drop_extra_pre_encoded if self._begun else 0,
            )
        self._cache, self._begun = tuple(cache), True
        self._columns = self._columns[:, max(0, seen + shift - self._seen) :]
        self._encoded += shift

    def _heard(self, *, over: bool) -> Heard:
        words, settled = self._words(), self._encoded * HOP / EAR
        if words and not over and settled - words[-1].end < OVER:
            settled, words = words[-1].start, words[:-1]
        new, self._told = words[self._told :], max(self._told, len(words))
        return Heard(new, settled)

    def _words(self) -> list[Word]:
        if not self._decoded:
            return []
        decoded = self._decoded[0]
        pieces = self._model.tokenizer.ids_to_tokens([int(number) for number in decoded.y_sequence])
        frame = self._model.encoder.subsampling_factor * HOP / EAR
        return list(assembled(pieces, [int(at) for at in decoded.timestamp], frame))


def _look_ahead(encoder: Any, seconds: float) -> None:
    """Choose, of the contexts that a model was trained with, the longest that keeps within the look-ahead."""
    frame = encoder.subsampling_factor * HOP / EAR
    known = sorted(encoder.att_context_size_all, key=lambda context: context[1])
    within = [context for context in known if (context[1] + 1) * frame <= seconds + 1e-6]
    encoder.set_default_att_context_size(list((within or known[:1])[-1]))
    encoder.setup_streaming_params()


def _nth(sizes: Any, begun: bool) -> Any:
    return sizes[begun] if isinstance(sizes, list) else sizes


def assembled(pieces: Sequence[str], frames: Sequence[int], frame: float) -> Iterator[Word]:
    """Pieces of words, each with the frame it was decoded in, as words."""
    text, start, end = "", 0, 0
    for piece, at in zip(pieces, frames, strict=True):
        if piece.startswith(MARK) and text:
            yield Word(text, start * frame, end * frame)
            text = ""
        bare = piece.replace(MARK, "")
        if bare and not text:
            start = at
        text, end = text + bare, at + 1
    if text:
        yield Word(text, start * frame, end * frame)


def build(options: EngineOptions) -> Nemo:
    """The model of the folder that is set."""
    return Nemo(options)
