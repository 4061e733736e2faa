"""Sound before it is placed: resampled, trimmed, levelled, checked, and fitted to a length."""

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from shared.audio import VOICE, Pcm

TARGET = -20.0
"""LUFS of every take."""
PEAK = 0.94
"""No take is louder than this, whatever its loudness."""
QUIET = -45.0
"""dB against the loudest frame below which a frame at either end is silence."""
MARGIN = 0.02
"""Seconds kept before and after the speech."""
FRAME = 480
"""Samples: 10 ms."""
SHORTEST = 0.08
"""Seconds; anything shorter is no speech."""
FULL_SCALE = 0.999
CLIPPED = 0.01
"""Share of samples at full scale from which a take is unusable."""
HASTY, SLOW = 0.015, 0.35
"""Seconds a letter outside of which no voice speaks: the end is missing, or the model babbles on."""
PATIENCE = 3.0
"""Seconds that any text may take."""

_SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def resampled(pcm: Pcm, rate: int) -> Pcm:
    """Any sample rate to 48 kHz, by its spectrum; the ends are padded so that they do not touch each other."""
    if rate == VOICE or not len(pcm):
        return pcm
    up, down = VOICE // gcd(VOICE, rate), rate // gcd(VOICE, rate)
    samples = -(-len(pcm) * up // down)
    blocks = -(-(len(pcm) + 1024) // (down * 64)) * 64
    spectrum = np.fft.rfft(pcm, blocks * down)
    wide = np.zeros(blocks * up // 2 + 1, complex)
    kept = min(len(spectrum), len(wide))
    wide[:kept] = spectrum[:kept]
    return np.asarray(np.fft.irfft(wide, blocks * up)[:samples] * (up / down), np.float32)


def trimmed(pcm: Pcm) -> Pcm:
    """48 kHz sound without the silence at its ends; empty when there is nothing else."""
    frames = len(pcm) // FRAME
    power = np.square(pcm[: frames * FRAME].reshape(frames, FRAME), dtype=float).mean(axis=1) if frames else np.zeros(0)
    if not frames or power.max() <= 1e-10:
        return pcm[:0]
    loud = np.flatnonzero(power > power.max() * 10 ** (QUIET / 10))
    margin = round(MARGIN * VOICE)
    out = pcm[max(0, loud[0] * FRAME - margin) : (loud[-1] + 1) * FRAME + margin].copy()
    ramp = np.linspace(0, 1, min(margin // 4, len(out)), dtype=np.float32)
    out[: len(ramp)] *= ramp
    out[len(out) - len(ramp) :] *= ramp[::-1]
    return out


def loudness(pcm: Pcm) -> float:
    """Integrated loudness in LUFS of 48 kHz mono, gated (ITU-R BS.1770); -inf for silence."""
    if not len(pcm):
        return -np.inf
    size = (len(pcm) // VOICE + 2) * VOICE
    weighted = np.fft.irfft(np.fft.rfft(pcm, size) * _weight(size), size)[: len(pcm)]
    block, hop = min(len(pcm), VOICE * 2 // 5), VOICE // 10
    energy = np.concatenate([[0.0], np.cumsum(np.square(weighted))])
    starts = np.arange(0, len(pcm) - block + 1, hop)
    power = (energy[starts + block] - energy[starts]) / block
    level = -0.691 + 10 * np.log10(np.maximum(power, 1e-12))
    heard = power[level > -70]
    if not len(heard):
        return -np.inf
    gate = 10 * np.log10(heard.mean()) - 10
    return float(-0.691 + 10 * np.log10(heard[10 * np.log10(heard) > gate].mean()))


@lru_cache(maxsize=32)
def _weight(size: int) -> NDArray[np.complex128]:
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    weight: NDArray[np.complex128] = np.ones_like(turn)
    for above, below in (_SHELF, _HIGH_PASS):
        weight = np.asarray(weight * np.polyval(above[::-1], turn) / np.polyval(below[::-1], turn))
    return weight


def levelled(pcm: Pcm) -> Pcm:
    """The sound at -20 LUFS, or as near as its peak allows."""
    level = loudness(pcm)
    if not np.isfinite(level):
        return pcm
    gain = min(10 ** ((TARGET - level) / 20), PEAK / float(np.abs(pcm).max()))
    return np.asarray(pcm * np.float32(gain), np.float32)


def fault(pcm: Pcm, text: str = "") -> str:
    """Why a sound cannot be this text: short, long, silent, clipped or broken; "" when it can. Not yet levelled."""
    length, letters = len(pcm) / VOICE, sum(map(str.isalnum, text))
    if length < max(SHORTEST, HASTY * letters):
        return "short"
    if text and length > PATIENCE + SLOW * len(text):
        return "long"
    if not np.isfinite(pcm).all():
        return "broken"
    if float(np.sqrt(np.mean(np.square(pcm, dtype=float)))) < 1e-3:
        return "silent"
    return "clipped" if float(np.mean(np.abs(pcm) >= FULL_SCALE)) > CLIPPED else ""


def fitted(pcm: Pcm, samples: int) -> Pcm:
    """Exactly `samples` long: the few samples that stretching left over are cut, or silence is added."""
    if len(pcm) >= samples:
        return pcm[:samples]
    return np.concatenate([pcm, np.zeros(samples - len(pcm), np.float32)])
