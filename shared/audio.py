"""PCM and time: the rates and units that every service shares."""

import numpy as np
from numpy.typing import NDArray

TICKS = 90_000
"""Ticks of the media clock a second."""
BASE = 10 * TICKS
"""Where the media clock starts: priming and B-frames may lie before the first picture, and 0 is special to players."""
EAR = 16_000
"""Samples a second of the PCM ring: what recognisers hear."""
VOICE = 48_000
"""Samples a second of everything that viewers hear."""

Pcm = NDArray[np.float32]
"""Mono, shape (samples,), full scale 1.0."""


def seconds(ticks: int) -> float:
    """Ticks as seconds."""
    return ticks / TICKS


def ticks(time: float) -> int:
    """Seconds as the nearest tick."""
    return round(time * TICKS)


def to_pcm(samples: bytes) -> Pcm:
    """Little-endian s16 as float32."""
    return np.frombuffer(samples, "<i2").astype(np.float32) / np.float32(32768)


def to_bytes(pcm: Pcm) -> bytes:
    """Float PCM as little-endian s16, clipped at full scale."""
    return (np.clip(pcm, -1, 32767 / 32768) * 32768).round().astype("<i2").tobytes()
