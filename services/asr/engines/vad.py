"""Silero VAD v6 (MIT) as ONNX, without torch: the file comes with the faster-whisper wheel."""

from base64 import b64decode, b64encode
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

from shared.audio import Pcm

WINDOW = 512
CONTEXT = 64
MEMORY = 128


def model() -> Path:
    """Find the file without importing its package, which would load CTranslate2 and PyAV."""
    spec = find_spec("faster_whisper")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("voice activity detection needs faster-whisper: pip install 'dragoman[embedded]'")
    return Path(spec.submodule_search_locations[0], "assets", "silero_vad_v6.onnx")


class Silero:
    """One session for all streams of a replica: what it remembers of a stream is 320 floats, kept by the caller."""

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(model()), options, providers=["CPUExecutionProvider"])

    def load(self) -> None:
        """Load the model before the first call would."""
        _ = self._session

    def speech(self, pcm: Pcm, carry: str) -> tuple[list[float], str]:
        """Speech probability of each window of 512 samples (16 kHz, whole windows), and the memory behind them."""
        memory = np.frombuffer(b64decode(carry), "<f4") if carry else np.zeros(2 * MEMORY + CONTEXT, np.float32)
        hidden, cell, context = np.split(memory, [MEMORY, 2 * MEMORY])
        samples = np.concatenate([context, pcm])
        windows = np.lib.stride_tricks.sliding_window_view(samples, CONTEXT + WINDOW)[::WINDOW]
        speech, hidden, cell = self._session.run(
            None,
            {
                "input": np.ascontiguousarray(windows),
                "h": hidden.reshape(1, 1, MEMORY),
                "c": cell.reshape(1, 1, MEMORY),
            },
        )
        memory = np.concatenate([hidden.ravel(), cell.ravel(), samples[-CONTEXT:]]).astype("<f4")
        return [float(chance) for chance in speech.ravel()], b64encode(memory.tobytes()).decode()
