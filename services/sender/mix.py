"""Voice over the ducked original as a pure function of the clips: no envelope follower, no state at segment edges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.audio import VOICE, Pcm

Stereo = NDArray[np.float32]
"""Shape (2, samples), 48 kHz, full scale 1.0."""
ReadPcm = Callable[[int, int], Stereo]
"""(first sample, end sample) on the 48 kHz media clock to PCM; silence where there is nothing."""


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


def gain(spans: Sequence[Span], start: int, end: int, duck: Duck) -> NDArray[np.float32]:
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


def _step_back(level: NDArray[np.float32], start: int, fall: int, rise: int, duck: Duck) -> None:
    """Lower `level`, whose first sample is `start`, to a trapezoid: down from `fall` on, up again from `rise` on."""
    bottom, over = fall + round(duck.attack * VOICE), rise + round(duck.release * VOICE)
    # The bottom is a constant: powers are computed for the slopes alone.
    parts = [(fall, bottom), (bottom, rise), (rise, over)] if bottom <= rise else [(fall, over)]
    for low, high in parts:
        low, high = max(low, start), min(high, start + len(level))
        if low >= high:
            continue
        part = level[low - start : high - start]
        if bottom <= low and high <= rise:
            np.minimum(part, np.float32(10 ** (duck.depth / 20)), out=part)
            continue
        time = np.arange(low, high)
        share = np.minimum((time - fall) / (bottom - fall), (over - time) / (over - rise))
        np.minimum(part, np.power(10.0, duck.depth / 20 * np.clip(share, 0, 1)).astype(np.float32), out=part)


def voice(clips: Sequence[Spoken], start: int, end: int) -> Stereo:
    """The clean dub, samples [start, end): clips alone, on silence."""
    out = np.zeros(end - start, np.float32)
    for clip in clips:
        first = clip.span.start
        low, high = max(start, first), min(end, clip.span.end, first + len(clip.pcm))
        if low < high:
            out[low - start : high - start] += clip.pcm[low - first : high - first] * np.float32(clip.gain)
    np.clip(out, -1, 1, out=out)
    return np.stack([out, out])


def voice_over(original: ReadPcm, clips: Sequence[Spoken], start: int, end: int, duck: Duck) -> Stereo:
    """Clips over the ducked original, samples [start, end); without clips it is the original, bit for bit."""
    level = gain([clip.span for clip in clips], start, end, duck)
    mixed = original(start, end) * level
    mixed += voice(clips, start, end)
    return np.clip(mixed, -1, 1, out=mixed)


def level(pcm: Stereo) -> float | None:
    """Level of speech in dBFS (mean square of both channels together); None where it is as good as silent."""
    power = float(np.mean(np.square(pcm, dtype=np.float64))) if pcm.size else 0.0
    return 10 * float(np.log10(power)) if power > 1e-6 else None
