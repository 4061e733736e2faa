"""Voice over the ducked original as a pure function of the clips: no envelope follower, no state at segment edges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.audio import VOICE, Pcm

Stereo = NDArray[np.float32]
"""Shape (2, samples), 48 kHz, full scale 1.0."""
Level = NDArray[np.float32]
"""A factor for each sample, shape (samples,)."""
ReadPcm = Callable[[int, int], Stereo]
"""(first sample, end sample) on the 48 kHz media clock to PCM; silence where there is nothing."""


FADE = 3 * VOICE // 10
"""Samples in which speech fades out that the stream's end would cut."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a clip speaks, in samples of the media clock."""

    start: int
    end: int
    known: int = 0
    """Everything before this sample was published when the clip came, so the clip changes nothing there."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A clip with its sound."""

    span: Span
    pcm: Pcm
    gain: float = 1.0
    cut: int = 0
    """Sample at which it has faded out, as the stream ends there; 0: it is heard to its end."""


@dataclass(frozen=True, slots=True)
class Duck:
    """How the original steps back under a voice. Times are seconds."""

    depth: float = -14.0
    """dB."""
    attack: float = 0.15
    """The fall begins this long *before* the clip: placement is known ahead, so no first syllable is covered."""
    release: float = 0.4
    bridge: float = 0.8
    """Pauses shorter than this stay ducked; otherwise the background pumps."""

    @property
    def reach(self) -> int:
        """Samples around a window in which a clip can change the gain inside it."""
        return round((self.attack + self.release + self.bridge) * VOICE)


def gain(spans: Sequence[Span], start: int, end: int, duck: Duck) -> Level:
    """Gain of the original for samples [start, end): the deepest of the trapezoids around the bridged clips, in dB.

    The same samples get the same gain whichever window asks, as long as the spans within `duck.reach` are given, and a
    span never changes the gain of what was published before it was known.
    """
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        last = joined[-1] if joined else None
        if last and span.start - last.end < duck.bridge * VOICE and span.known <= last.end:
            joined[-1] = Span(last.start, max(last.end, span.end), last.known)
        else:
            joined.append(span)
    level = np.ones(end - start, np.float32)
    for span in joined:
        _step_back(level, start, max(span.start - round(duck.attack * VOICE), span.known), span.end, duck)
    return level


def _step_back(level: Level, start: int, fall: int, rise: int, duck: Duck) -> None:
    """Lower `level`, whose first sample is `start`, to a trapezoid: down from `fall` on, up again from `rise` on."""
    down = _slope(duck.depth, duck.attack)
    up = _slope(duck.depth, duck.release)[::-1]
    low, high = max(fall, start), min(rise + len(up), start + len(level))
    if low >= high:
        return
    trapezoid = np.full(high - low, down[-1] if len(down) else _factor(duck.depth), np.float32)
    _lay(trapezoid, low, down, fall)
    _lay(trapezoid, low, up, rise)
    part = level[low - start : high - start]
    np.minimum(part, trapezoid, out=part)


def _lay(trapezoid: Level, start: int, slope: Level, at: int) -> None:
    """Raise `trapezoid`, whose first sample is `start`, to a slope that begins at sample `at`."""
    low, high = max(start, at), min(start + len(trapezoid), at + len(slope))
    if low < high:
        part = trapezoid[low - start : high - start]
        np.maximum(part, slope[low - at : high - at], out=part)


@lru_cache(64)
def _slope(depth: float, length: float) -> Level:
    """The fall from full level to `depth` dB in `length` seconds, even in dB."""
    count = round(length * VOICE)
    return np.power(10.0, depth / 20 * (np.arange(1, count + 1) / max(1, count))).astype(np.float32)


def _factor(depth: float) -> float:
    return float(10 ** (depth / 20))


def voice(clips: Sequence[Spoken], start: int, end: int) -> Stereo:
    """The clean dub, samples [start, end): clips alone, on silence."""
    spoken = _voice(clips, start, end)
    return np.stack([spoken, spoken])


def _voice(clips: Sequence[Spoken], start: int, end: int) -> Pcm:
    out = np.zeros(end - start, np.float32)
    for clip in clips:
        first = clip.span.start
        low, high = max(start, first), min(end, clip.span.end, first + len(clip.pcm))
        if low >= high:
            continue
        heard = clip.pcm[low - first : high - first] * np.float32(clip.gain)
        if clip.cut and high > clip.cut - FADE:
            heard *= np.clip((clip.cut - np.arange(low, high)) / FADE, 0, 1).astype(np.float32)
        out[low - start : high - start] += heard
    return np.clip(out, -1, 1, out=out)


def voice_over(original: ReadPcm, clips: Sequence[Spoken], start: int, end: int, duck: Duck) -> Stereo:
    """Clips over the ducked original, samples [start, end); without clips it is the original, bit for bit."""
    level = gain([clip.span for clip in clips], start, end, duck)
    mixed = original(start, end) * level
    mixed += _voice(clips, start, end)
    return np.clip(mixed, -1, 1, out=mixed)


def level(pcm: Stereo) -> float | None:
    """Level of speech in dBFS (mean square of both channels together); None where it is as good as silent."""
    power = float(np.mean(np.square(pcm, dtype=np.float64))) if pcm.size else 0.0
    return 10 * float(np.log10(power)) if power > 1e-6 else None
