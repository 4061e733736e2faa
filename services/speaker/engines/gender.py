"""Gender of a voice: by a line between women's and men's embeddings, or without embeddings by pitch."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.audio import EAR, Pcm

FRAME, STEP = EAR // 25, EAR // 100
LOWEST, HIGHEST = 65, 400
"""Hz."""
MIDDLE = 155.0
"""Hz: as many women speak below as men above (24 readers)."""
SLOPE = 0.1
"""Log-odds a Hz: 3 at the edges of 145 to 180 Hz, where three in a hundred are wrong."""
MOST = 6.0


@dataclass(frozen=True, slots=True)
class Line:
    """The normal of a plane in embedding space, its offset, and log-odds of female for each unit of distance."""

    direction: NDArray[np.float32]
    middle: float
    scale: float

    def __call__(self, vector: NDArray[np.float32]) -> float:
        """Natural log-odds of female, within +-6."""
        return clamped(self.scale * (float(vector @ self.direction) - self.middle))


def read_line(path: Path) -> Line:
    """A line as the fitting script writes it."""
    numbers = json.loads(path.read_text())
    return Line(np.array(numbers["direction"], np.float32), numbers["middle"], numbers["scale"])


def by_pitch(pcm: Pcm) -> float | None:
    """Natural log-odds of female from the median pitch of 16 kHz sound, within +-6; None without voiced frames."""
    hertz = pitch(pcm)
    return clamped(SLOPE * (float(np.median(hertz)) - MIDDLE)) if len(hertz) else None


def pitch(pcm: Pcm) -> NDArray[np.float64]:
    """Fundamental frequency (Hz) of each voiced frame of 16 kHz sound, by normalised autocorrelation.

    Boersma, "Accurate short-term analysis of the fundamental frequency" (1993), without its path search.
    """
    if len(pcm) < FRAME:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(pcm, FRAME)[::STEP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy = (frames**2).mean(axis=1)
    window = np.hanning(FRAME)
    frames = frames[energy > 0.1 * np.percentile(energy, 95)] * window
    alike = _autocorrelation(frames) / (_autocorrelation(window[None]) / (window**2).sum() + 1e-3)
    alike /= (frames**2).sum(axis=1, keepdims=True) + 1e-9
    shortest, longest = EAR // HIGHEST, EAR // LOWEST
    lag = alike[:, shortest:longest].argmax(axis=1) + shortest
    periodic: NDArray[np.float64] = EAR / lag[alike[np.arange(len(lag)), lag] > 0.5]
    return periodic


def clamped(log_odds: float) -> float:
    """Within +-6: one utterance never is more certain than that."""
    return max(-MOST, min(MOST, log_odds))


def _autocorrelation(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.abs(np.fft.rfft(frames, 2048)) ** 2
    correlation: NDArray[np.float64] = np.fft.irfft(power)[:, :FRAME]
    return correlation
