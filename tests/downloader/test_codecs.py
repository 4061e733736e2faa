from collections.abc import Callable

import pytest

from services.downloader.demux import Packet, demux, timed
from shared.messages import Gap, MediaSegment
from tests.downloader.broadcast import Bench, Origin, parts, playlist
from tests.downloader.test_service import consistent, heard, of, pips

Build = Callable[..., Bench]
STAMP = b"com.apple.streaming.transportStreamTimestamp\0"


def tagged(segment: bytes, ticks: int) -> bytes:
    """Packed audio with its time in an ID3 tag."""
    frame = b"PRIV" + (len(STAMP) + 8).to_bytes(4) + b"\0\0" + STAMP + ticks.to_bytes(8)
    return b"ID3\4\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame + segment


@pytest.mark.parametrize("codec", ["ac3", "eac3", "mp2", "aac", "libmp3lame"])
async def test_a_presentation_in_any_codec_is_heard_in_time(origin: Origin, bench: Build, codec: str) -> None:
    origin.answers |= {f"slot{number}.ts": part for number, part in enumerate(parts("mpegts", codec, 6))}
    origin.answers["live.m3u8"] = playlist(6)
    said = await bench("live.m3u8").run()
    consistent(said)
    assert pips(heard(said)) == pytest.approx(range(6), abs=0.04)
    codecs = {segment.audio.codec for segment in of(MediaSegment, said) if segment.audio}
    assert codecs == {"mp4a.40.34" if "mp3" in codec else "mp4a.40.2"}
    assert not of(Gap, said)


async def test_sound_that_is_coded_anew_goes_on_after_a_death_and_a_jump(origin: Origin, bench: Build) -> None:
    for number, part in enumerate(parts("mpegts", "ac3", 6)):
        origin.answers[f"slot{(number + 2) % 6}.ts"] = part
    origin.answers["live.m3u8"] = playlist(6)
    running = bench("live.m3u8")
    await running.run(die_after=5)
    said = await running.run()
    consistent(said)
    assert pips(heard(said)) == pytest.approx(range(6), abs=0.06)


async def test_packed_audio_says_its_time_in_a_tag(origin: Origin, bench: Build) -> None:
    for number, part in enumerate(parts("adts", "aac", 5)):
        origin.answers[f"slot{number}.ts"] = tagged(part, 90_000 * (1000 + number))
    origin.answers["live.m3u8"] = playlist(5)
    said = await bench("live.m3u8").run()
    consistent(said)
    assert not any(segment.rebased for segment in of(MediaSegment, said))
    assert pips(heard(said)) == pytest.approx(range(5), abs=0.05)


def test_the_time_of_a_tag_is_the_time_of_the_first_frame() -> None:
    plain = parts("adts", "aac", 1)[0]
    first, later = demux(plain).sounds[0], demux(tagged(plain, 1 << 33)).sounds[0]
    assert later.pts - first.pts == 1 << 33


def test_a_hole_between_frames_stays_where_it_is() -> None:
    rows = [Packet(b"", round(n * 1024 * 90_000 / 48_000), 0, 0, True) for n in (0, 1, 2, 12, 13)]
    start, samples = timed([(row.pts, b"x") for row in rows], 1024, 48_000)
    assert (start, [sample.duration for sample in samples]) == (0, [1024, 1024, 10 * 1024, 1024, 1024])
