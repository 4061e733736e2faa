import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.sender import encode, still
from services.sender.mix import Stereo
from shared.audio import BASE, TICKS
from tests.sender.source import tone


@given(st.integers(BASE, 10**12), st.lists(st.integers(3000, 10 * TICKS), min_size=1, max_size=20))
def test_frames_tile_the_clock_whatever_the_cuts(start: int, lengths: list[int]) -> None:
    at, frames = start, encode.frames_of(start, start).start
    for length in lengths:
        here = encode.frames_of(at, at + length)
        assert here.start == frames
        assert len(here) >= 1
        at, frames = at + length, here.stop


def test_a_segment_coded_alone_sounds_like_one_coded_with_its_neighbours() -> None:
    whole = encode.encode(tone, range(470, 530))
    parts = [*encode.encode(tone, range(470, 500)), *encode.encode(tone, range(500, 530))]
    assert len(parts) == len(whole) == 60
    heard = [encode.decode("mp4a.40.2", encode.configuration(), 470 * 1024, 48000, each)[1] for each in (whole, parts)]
    assert np.sqrt(np.mean((heard[0] - heard[1])[:, 4096:] ** 2)) < 0.004


def test_decoded_sound_lies_where_it_was_coded() -> None:
    coded = encode.encode(tone, range(470, 500))
    lead = encode.encode(tone, range(467, 470))
    start, pcm = encode.decode("mp4a.40.2", encode.configuration(), 470 * 1024, 48000, coded, lead)
    assert start == 470 * 1024
    expected = tone(start, start + pcm.shape[1])
    assert np.sqrt(np.mean((pcm - expected) ** 2)) < 0.02


def test_a_damaged_frame_is_no_error() -> None:
    coded = encode.encode(tone, range(470, 480))
    damaged = [*coded[:4], coded[4]._replace(data=b"\xff" * 9), *coded[5:]]
    assert encode.decode("mp4a.40.2", encode.configuration(), 0, 48000, damaged)[1].shape[0] == 2


def test_the_same_pcm_gives_the_same_bytes() -> None:
    def read(start: int, end: int) -> Stereo:
        return tone(start, end)

    assert encode.encode(read, range(470, 480)) == encode.encode(tone, range(470, 480))


@given(st.integers(1, 40 * TICKS))
def test_a_still_lasts_exactly_as_long_as_the_hole(duration: int) -> None:
    samples = still.slate(160, 90).lasting(duration)
    assert sum(sample.duration for sample in samples) == duration
    assert all(sample.duration > 0 for sample in samples)
    assert samples[0].key
