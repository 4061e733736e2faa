"""A presentation is read as a viewer would get it."""

from pathlib import Path

import numpy as np
import pytest

from loadtest.presentation import Cue, parse_webvtt, read, span


async def test_segments_lie_on_the_media_clock(folder: Path) -> None:
    presentation = await read(str(folder))
    assert list(presentation.renditions) == ["video", "original", "es", "captions-en"]
    assert [row.start for row in presentation.timed("video")] == [10.0, 12.0, 14.0, 16.0]
    assert presentation.epoch() == pytest.approx(1_700_000_000.0)


async def test_sound_is_placed_by_its_timestamps(folder: Path) -> None:
    sound = (await read(str(folder))).sound("es")
    assert sound.start == 10.0
    assert sound.pcm.dtype == np.float32
    assert sound.pcm.size == 375 * 1024
    assert sound.level(10.5, 12.9) < -60 < -20 < sound.level(13.1, 17.5)
    onset = sound.start + np.flatnonzero(np.abs(sound.pcm) > 0.1)[0] / 48_000
    assert onset == pytest.approx(13.0, abs=0.003)


async def test_a_missing_segment_is_a_silence_of_its_length(folder: Path) -> None:
    (folder / "es-2.m4s").unlink()
    sound = (await read(str(folder))).sound("es")
    assert sound.pcm.size == 375 * 1024
    assert sound.level(14.1, 15.9) < -60 < -20 < sound.level(16.2, 17.5)


async def test_a_cue_in_many_segments_is_one_cue(folder: Path) -> None:
    assert (await read(str(folder))).cues("captions-en") == [Cue(13.0, 14.5, "Tom & Ann")]


def test_cue_times_follow_the_timestamp_map() -> None:
    text = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:01.000\n\n1\n00:02.000 --> 00:03.000 line:1\n<i>a</i>\n"
    assert parse_webvtt(text) == [Cue(11.0, 12.0, "a")]


@pytest.mark.parametrize("bad", ["", "WEBVTTX", "WEBVTT\n\n00:00.000 --> 00:01.000\na"])
def test_what_is_not_a_caption_segment_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        parse_webvtt(bad)


def test_a_segment_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        span(b"\0\0\0\x08mdat")
