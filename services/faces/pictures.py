"""Pictures out of stored segments: about two a second, each with the one right behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import av
import numpy as np

from services.faces.engines import Colour, Grey

EVERY = 0.5
"""Seconds between two pictures that are looked at."""
BEHIND = 0.06
"""Seconds, at least, between the pictures that show what moves."""
MOVES = 3
"""Pictures that are compared with one that is looked at."""
LARGE = 2_500_000
"""Pixels above which key pictures alone are decoded: 4K would cost more than everything else together."""
EMBEDDED = 1280
"""Pixels of the longer side from which faces are embedded, at most."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One moment."""

    time: float
    """Seconds on the media clock."""
    grey: Grey
    behind: list[Grey]
    """The same size, right after it: what moves."""
    frame: av.VideoFrame

    def colour(self) -> Colour:
        """RGB, in the source's own size up to 1280 pixels."""
        width, height = fitted(self.frame.width, self.frame.height, EMBEDDED)
        return self.frame.to_ndarray(format="rgb24", width=width, height=height).astype(np.uint8, copy=False)


def fitted(width: int, height: int, longer: int, larger: bool = False) -> tuple[int, int]:
    """An even size of the same shape whose longer side has so many pixels; a small one grows only where it may."""
    scale = longer / max(width, height)
    scale = scale if larger else min(1.0, scale)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def pictures(init: bytes, media: bytes, start: float, longer: int) -> Iterator[Picture]:
    """What to look at in one CMAF segment from media time `start` on, grey with `longer` pixels at the longer side.

    What cannot be decoded is left out.
    """
    due = start
    held: Picture | None = None
    for frame in _frames(init + media):
        time = float(frame.time or 0.0)
        if time >= due - 1e-3:
            if held:
                yield held
            held = Picture(time, _grey(frame, longer), [], frame)
            while due <= time + 1e-3:
                due += EVERY
        elif held and len(held.behind) < MOVES and time >= held.time + BEHIND * (len(held.behind) + 1):
            held.behind.append(_grey(frame, longer))
    if held:
        yield held


def _frames(body: bytes) -> Iterator[av.VideoFrame]:
    try:
        with av.open(BytesIO(body), "r") as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            # Pictures that no other one needs are worth nothing here, and are half the work.
            context.skip_frame = "NONKEY" if context.width * context.height > LARGE else "NONREF"
            context.thread_count = 1
            yield from container.decode(stream)
    except (av.error.FFmpegError, IndexError, ValueError):
        return


def _grey(frame: av.VideoFrame, longer: int) -> Grey:
    width, height = fitted(frame.width, frame.height, longer, larger=True)
    # Half the price of the default, and as clear to a detector.
    grey = frame.to_ndarray(format="gray", width=width, height=height, interpolation="AREA")
    return grey.astype(np.uint8, copy=False)
