"""Pictures that stand still: the slate over a hole, the card of a stream without picture."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from shared.audio import TICKS
from shared.cmaf import Sample

RATE = 10
"""Pictures a second."""
GROUP = 4 * RATE
"""Pictures from one key frame to the next."""


class Still(NamedTuple):
    """One group of coded pictures."""

    config: bytes
    """avcC record."""
    width: int
    height: int
    samples: tuple[Sample, ...]

    def lasting(self, duration: int) -> list[Sample]:
        """Samples for `duration` ticks; the last picture is stretched or cut to fit exactly."""
        step = TICKS // RATE
        count = max(1, duration // step)
        chosen = [self.samples[index % len(self.samples)]._replace(duration=step) for index in range(count)]
        return [*chosen[:-1], chosen[-1]._replace(duration=duration - step * (count - 1))]


@cache
def slate(width: int, height: int) -> Still:
    """ "No signal": falling bars, struck out."""
    picture = _ground(width, height)
    _bars(picture, [0.9, 0.7, 0.5, 0.3, 0.1], 90)
    rows, columns = np.mgrid[0:height, 0:width]
    side = min(width, height)
    along = (columns - width // 2) - (rows - height // 2)
    inside = np.abs(rows - height // 2) < side // 5
    picture[(np.abs(along) < max(2, side // 40)) & inside] = (190, 70, 60)
    return _coded(picture)


@cache
def card(width: int, height: int) -> Still:
    """ "Sound only": a wave."""
    picture = _ground(width, height)
    _bars(picture, [0.25, 0.6, 1.0, 0.45, 0.8, 0.35, 0.55, 0.2], 150)
    return _coded(picture)


def _ground(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height - height % 2, width - width % 2, 3), 24, np.uint8)


def _bars(picture: NDArray[np.uint8], heights: Sequence[float], shade: int) -> None:
    height, width = picture.shape[:2]
    unit = max(2, min(width, height) // 20)
    left = (width - unit * (2 * len(heights) - 1)) // 2
    for index, part in enumerate(heights):
        half = max(1, round(part * height / 6))
        at = left + 2 * index * unit
        picture[height // 2 - half : height // 2 + half, at : at + unit] = shade


def _coded(picture: NDArray[np.uint8]) -> Still:
    height, width = picture.shape[:2]
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE)
    # One thread: the bytes must not depend on the machine.
    encoder.thread_count = 1
    encoder.options = {"preset": "ultrafast", "tune": "stillimage", "crf": "28", "g": str(GROUP), "bf": "0"}
    encoder.flags |= 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
    packets: list[av.Packet[av.VideoStream]] = []
    for index in range(GROUP):
        frame.pts, frame.time_base = index, Fraction(1, RATE)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    samples = tuple(Sample(_prefixed(bytes(p)), TICKS // RATE, 0, bool(p.is_keyframe)) for p in packets)
    return Still(_avcc(bytes(encoder.extradata or b"")), width, height, samples)


def _units(annex_b: bytes) -> Iterator[bytes]:
    for part in annex_b.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1"):
        if part:
            yield part


def _prefixed(annex_b: bytes) -> bytes:
    kept = (unit for unit in _units(annex_b) if unit[0] & 31 in (1, 5))
    return b"".join(len(unit).to_bytes(4) + unit for unit in kept)


def _avcc(annex_b: bytes) -> bytes:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) of one SPS and one PPS."""
    sps = next(unit for unit in _units(annex_b) if unit[0] & 31 == 7)
    pps = next(unit for unit in _units(annex_b) if unit[0] & 31 == 8)
    head = bytes([1, *sps[1:4], 0xFF, 0xE1])
    return head + len(sps).to_bytes(2) + sps + b"\1" + len(pps).to_bytes(2) + pps
