"""GE2E speaker embedding (256 numbers) without torch: numpy runs the LSTM on the weights in the Resemblyzer wheel.

Wan et al., "Generalized end-to-end loss for speaker verification" (2018). The wheel (Apache-2.0) is read, never
installed.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from services.speaker.engines import Options, Piece, Unavailable
from services.speaker.engines.gender import by_pitch, read_line
from shared.audio import EAR, Pcm

Array = NDArray[np.float32]

WHEEL = "Resemblyzer-0.1.4-py3-none-any.whl"
FETCH = "pip download --no-deps --dest {} Resemblyzer==0.1.4"
LINE = Path(__file__).with_name("gender_line.json")

FFT, HOP, MELS = 400, 160, 40
PARTIAL, STEP = 160, 77
"""Frames: an embedding is the mean over windows of 1.6 s, 0.77 s apart."""
LOUDNESS = 10 ** (-30 / 20)
"""RMS to which quieter speech is raised."""
MAGIC = 0x1950A86A20F9469CFC6C


class DVector:
    """Embeds voices on one CPU thread: about 60 ms for 1.6 s, many windows at once for little more."""

    same = 0.73
    different = 0.55

    def __init__(self, options: Options) -> None:
        wheel = options.models / WHEEL
        if not wheel.is_file():
            raise Unavailable(f"{wheel} is missing: {FETCH.format(options.models)}")
        self.weights = read_weights(zipfile.ZipFile(wheel).read("resemblyzer/pretrained.pt"))
        self.line = read_line(LINE) if LINE.is_file() else None
        self._filters = mel_filters()
        self._hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)

    def embed(self, pieces: Sequence[Piece]) -> Array:
        """Unit vectors, shape (pieces, 256), in one pass of the network."""
        windows: list[Array] = []
        owners: list[int] = []
        for owner, piece in enumerate(pieces):
            mels = self._mels(piece.pcm)
            last = max(0, len(mels) - PARTIAL)
            for start in [*range(0, last, STEP), last]:
                windows.append(mels[start : start + PARTIAL])
                owners.append(owner)
        sums = np.zeros((len(pieces), 256), np.float32)
        np.add.at(sums, owners, self._network(windows))
        return _unit(sums)

    def gender(self, pcm: Pcm, vector: Array) -> float | None:
        """Log-odds of female by the fitted line, or by pitch where nobody has fitted one."""
        return self.line(vector) if self.line else by_pitch(pcm)

    def _mels(self, pcm: Pcm) -> Array:
        level = float(np.sqrt(np.mean(pcm**2))) + 1e-9
        loud = pcm * np.float32(max(1.0, LOUDNESS / level))
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(loud, FFT // 2), FFT)[::HOP]
        power: Array = (np.abs(np.fft.rfft(frames * self._hann)) ** 2).astype(np.float32)
        return power @ self._filters

    def _network(self, windows: Sequence[Array]) -> Array:
        lengths = np.array([len(window) for window in windows])
        x = np.zeros((lengths.max(), len(windows), MELS), np.float32)
        for column, window in enumerate(windows):
            x[: len(window), column] = window
        for layer in range(3):
            x = self._lstm(x, layer)
        # Padding stands behind a window's end, where a forward LSTM cannot see it.
        ends = x[lengths - 1, np.arange(len(windows))]
        return _unit(np.maximum(0, ends @ self.weights["linear.weight"].T + self.weights["linear.bias"]))

    def _lstm(self, x: Array, layer: int) -> Array:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weight_in, weight_hidden, bias_in, bias_hidden = (self.weights[f"lstm.{name}_l{layer}"] for name in names)
        steps = x @ weight_in.T + (bias_in + bias_hidden)
        recurrent = np.ascontiguousarray(weight_hidden.T)
        hidden = cell = np.zeros((x.shape[1], weight_hidden.shape[1]), np.float32)
        out = np.empty((*x.shape[:2], weight_hidden.shape[1]), np.float32)
        for at, step in enumerate(steps):
            enter, forget, fresh, leave = np.split(step + hidden @ recurrent, 4, axis=1)
            cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(fresh)
            hidden = out[at] = _sigmoid(leave) * np.tanh(cell)
        return out


class Checkpoint(pickle.Unpickler):
    """Reads an old torch checkpoint: it knows three names and refuses all others, so no file can make it run code."""

    KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda key, offset, size, stride, *_: (key, offset, size, stride),
        ("torch", "FloatStorage"): None,
    }

    def find_class(self, module: str, name: str) -> Any:
        """One of three names."""
        try:
            return self.KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused {module}.{name}") from None

    def persistent_load(self, storage: Any) -> Any:
        """The key of a storage, whose bytes come behind the pickles."""
        return storage[2]


def read_weights(checkpoint: bytes) -> dict[str, Array]:
    """The network's tensors by name; ValueError where the checkpoint is not of torch's old kind."""
    file = io.BytesIO(checkpoint)
    magic, _version, _sizes, content, keys = (Checkpoint(file).load() for _ in range(5))
    if magic != MAGIC:
        raise ValueError("not a torch checkpoint of the old kind")
    storages: dict[str, Array] = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(4 * count), np.float32)
    return {
        name: np.lib.stride_tricks.as_strided(storages[key][offset:], size, [4 * s for s in stride]).copy()
        for name, (key, offset, size, stride) in content["model_state"].items()
        if name.startswith(("lstm.", "linear."))
    }


def mel_filters() -> Array:
    """Slaney's mel scale and area normalisation, shape (201, 40): linear below 1 kHz, logarithmic above."""
    step = np.log(6.4) / 27
    top = 15 + np.log(EAR / 2 / 1000) / step
    mel = np.linspace(0, top, MELS + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(step * (mel - 15)))
    low, centre, high = (edges[i : i + MELS, None] for i in range(3))
    bins = np.linspace(0, EAR / 2, FFT // 2 + 1)
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    filters: Array = (np.maximum(0, triangles) * 2 / (high - low)).astype(np.float32).T
    return filters


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)
    return unit


def _sigmoid(x: Array) -> Array:
    # By tanh, which never overflows.
    sigmoid: Array = np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * x)
    return sigmoid
