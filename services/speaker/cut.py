"""Where the speaker changes inside an utterance: windows left and right of each point that do not sound alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.audio import EAR, Pcm
from shared.messages import Utterance, Word

Vectors = NDArray[np.float32]
"""One unit vector a row."""
Span = tuple[float, float]
"""Start and end, seconds."""

HOP = 0.4
WINDOW = 4
"""Hops on either side of a point that are compared: 1.6 s."""
SHORTEST = 3
"""Hops that a piece must last: 1.2 s."""

FRAME = EAR // 50
FLOOR = 1e-3
"""RMS under which nothing is speech: -60 dBFS."""
DEPTH = 10 ** (-25 / 20)
"""Below the loud frames by more than this is a pause."""
HANG = 2
"""Frames kept on either side of a loud one, so that stops and weak endings stay."""


@dataclass(frozen=True, slots=True)
class Voiced:
    """Sound without its pauses, and where each frame of it was."""

    pcm: Pcm
    frames: NDArray[np.intp]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.pcm) / EAR

    def part(self, start: float, end: float) -> Pcm:
        """Samples between two times of the voiced sound, seconds."""
        return self.pcm[round(start * EAR) : round(end * EAR)]

    def original(self, time: float) -> float:
        """Seconds in the original sound of a time in the voiced sound: the middle of a pause that lies there."""
        at = min(max(0, round(time * EAR / FRAME)), len(self.frames) - 1)
        before = self.frames[max(0, at - 1)] + 1
        return float(before + self.frames[at]) / 2 * FRAME / EAR


def voiced(pcm: Pcm) -> Voiced:
    """Leave out what is 25 dB below the loud frames (95th percentile of 20 ms) or under -60 dBFS."""
    count = len(pcm) // FRAME
    frames = pcm[: count * FRAME].reshape(count, FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = level > max(FLOOR, DEPTH * float(np.percentile(level, 95))) if count else np.zeros(0, bool)
    keep = np.convolve(loud, np.ones(2 * HANG + 1), "same")[:count] > 0 if loud.any() else loud
    if count and len(keep) != count:
        keep = loud
    return Voiced(frames[keep].reshape(-1), np.flatnonzero(keep))


def changes(duration: float, embed: Callable[[Sequence[Span]], Vectors], different: float) -> list[float]:
    """Times (seconds) at which the speaker changes in `duration` seconds of voiced sound.

    A piece is cut where its two sides are least alike, if their cosine is below `different` and both pieces last
    1.2 s, and again in each piece. `embed` gets all spans that one round needs at once.
    """
    vectors: dict[tuple[int, int], NDArray[np.float32]] = {}
    cuts: list[int] = []
    pieces = [(0, int(duration / HOP + 1e-6))]
    while pieces:
        wanted = dict.fromkeys(span for piece in pieces for sides in _sides(*piece) for span in sides)
        missing = [span for span in wanted if span not in vectors]
        if missing:
            found = embed([(first * HOP, last * HOP) for first, last in missing])
            vectors.update(zip(missing, found, strict=True))
        again = []
        for first, last in pieces:
            alike = [(float(vectors[left] @ vectors[right]), left[1]) for left, right in _sides(first, last)]
            lowest, at = min(alike, default=(1.0, 0))
            if lowest < different:
                cuts.append(at)
                again += [(first, at), (at, last)]
        pieces = again
    return [HOP * cut for cut in sorted(cuts)]


def _sides(first: int, last: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [
        ((max(first, at - WINDOW), at), (at, min(last, at + WINDOW)))
        for at in range(first + SHORTEST, last - SHORTEST + 1)
    ]


def boundary(words: Sequence[Word], time: float) -> int:
    """Number of words before the word boundary nearest to a media time; at least one word stays on either side."""

    def distance(index: int) -> float:
        return max(words[index - 1].end - time, time - words[index].start)

    return min(range(1, len(words)), key=distance)


def split(utterance: Utterance, times: Sequence[float]) -> list[Utterance]:
    """Cut an utterance at the word boundaries nearest to media times: ids 7.1, 7.2; no word is lost or doubled.

    A piece's `until` is no later than the start of the piece behind it.
    """
    words = utterance.words
    at = sorted({boundary(words, time) for time in times}) if len(words) > 1 else []
    if not at:
        return [utterance]
    tokens = utterance.text.split()
    sizes = [len(word.text.split()) for word in words]
    whole = sum(sizes) == len(tokens)
    pieces: list[Utterance] = []
    for number, (first, last) in enumerate(pairwise([0, *at, len(words)]), 1):
        part = words[first:last]
        text = tokens[sum(sizes[:first]) : sum(sizes[:last])] if whole else [word.text for word in part]
        changed = {
            "utterance": f"{utterance.utterance}.{number}",
            "start": utterance.start if first == 0 else part[0].start,
            "end": utterance.end if last == len(words) else part[-1].end,
            "until": utterance.until if last == len(words) else min(utterance.until, words[last].start),
            "text": " ".join(text),
            "words": part,
        }
        pieces.append(utterance.model_copy(update=changed))
    return pieces
