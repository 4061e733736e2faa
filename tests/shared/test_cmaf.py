import io

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import cmaf
from shared.cmaf import Sample

AVCC = bytes.fromhex("0142c00affe1000f6742c00ad90844268400000300040000")
ASC = bytes.fromhex("1188")
sizes = st.binary(max_size=40)
pictures = st.lists(
    st.builds(Sample, sizes, st.integers(0, 9000), st.integers(-900, 9000), st.booleans()), min_size=1, max_size=8
)
sounds = st.lists(st.builds(Sample, sizes, st.integers(1, 2048), st.just(0), st.just(True)), min_size=1, max_size=8)


@given(pictures, st.integers(0, 2**40))
def test_pictures_come_back_as_they_were_written(samples: list[Sample], time: int) -> None:
    assert cmaf.samples_of(cmaf.media_segment(1, time, samples, video=True)) == (time, samples)


@given(sounds, st.integers(0, 2**40))
def test_sounds_come_back_as_they_were_written(samples: list[Sample], time: int) -> None:
    assert cmaf.samples_of(cmaf.media_segment(1, time, samples, video=False)) == (time, samples)


def test_the_init_segment_tells_the_track() -> None:
    sound = cmaf.track_of(cmaf.init_segment(cmaf.audio_entry(ASC, 48_000, 2), 48_000))
    assert sound == cmaf.TrackHeader("mp4a", ASC, "mp4a.40.2", 48_000, channels=2, rate=48_000)
    picture = cmaf.track_of(cmaf.init_segment(cmaf.video_entry(AVCC, 640, 360), 90_000, width=640, height=360))
    assert picture == cmaf.TrackHeader("avc1", AVCC, "avc1.42c00a", 90_000, 640, 360)
    mp3 = cmaf.track_of(cmaf.init_segment(cmaf.audio_entry(b"", 44_100, 2), 44_100))
    assert (mp3.config, mp3.codec) == (b"", "mp4a.40.34")


@pytest.mark.parametrize(
    ("kind", "config", "codec"),
    [
        ("avc1", "0164001fff", "avc1.64001f"),
        ("hvc1", "01016000000090000000000078", "hvc1.1.6.L120.90"),
        ("av01", "81040c00", "av01.0.04M.08"),
        ("vp09", "01000000001f8000", "vp09.00.31.08"),
    ],
)
def test_codec_strings_follow_the_registries(kind: str, config: str, codec: str) -> None:
    assert cmaf.video_codec(kind, bytes.fromhex(config)) == codec


def test_another_demuxer_reads_the_same_times() -> None:
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "fltp"
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 48_000
    packets = [bytes(packet) for _ in range(6) for packet in encoder.encode(frame)]
    config = bytes(encoder.extradata or b"")[:2]
    init = cmaf.init_segment(cmaf.audio_entry(config, 48_000, 1), 48_000)
    media = cmaf.media_segment(7, 480_000, [Sample(packet, 1024) for packet in packets], video=False)
    with av.open(io.BytesIO(init + media), "r") as container:
        found = [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    assert found == [(480_000 + 1024 * index, packet) for index, packet in enumerate(packets)]


@pytest.mark.parametrize("data", [b"", b"abc", b"\0\0\0\4moov", b"\0\0\1\0moov"])
def test_bytes_that_are_no_segment_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        cmaf.samples_of(data)
    with pytest.raises(ValueError):
        cmaf.track_of(data)
