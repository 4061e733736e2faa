"""A small valid presentation, made by libav's muxer: the judge is not tested with what it is there to judge."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from loadtest.presentation import boxes, find, span, timescale

SEGMENTS = 4
SECONDS = 2
FPS = 10
RATE = 48_000
BASE = 10
"""Media time of the first picture, seconds."""
EPOCH = 1_700_000_000.0
"""Date of media time 0."""
TONE_FROM = 13.0
"""Media time at which the sound begins, seconds."""


def split(data: bytes) -> tuple[bytes, list[bytes]]:
    """Init segment and fragments of a fragmented MP4, moved to BASE."""
    init, parts = b"", []
    for kind, low, high in boxes(data):
        box = data[low - 8 : high]
        if kind in (b"ftyp", b"moov"):
            init += box
        elif kind == b"moof":
            parts.append(box)
        elif kind == b"mdat":
            parts[-1] += box
    return init, [moved(part, BASE * timescale(init)) for part in parts]


def moved(segment: bytes, ticks: int) -> bytes:
    """A segment whose decode time is later by `ticks`."""
    data = bytearray(segment)
    for at, _ in find(segment, "moof/traf/tfdt"):
        data[at + 4 : at + 12] = (int.from_bytes(data[at + 4 : at + 12]) + ticks).to_bytes(8)
    return bytes(data)


def video() -> tuple[bytes, list[bytes]]:
    buffer = io.BytesIO()
    muxing = {"movflags": "empty_moov+default_base_moof+frag_keyframe", "use_editlist": "0"}
    with av.open(buffer, "w", format="mp4", options=muxing) as out:
        coding = {"preset": "ultrafast", "tune": "zerolatency", "g": str(FPS * SECONDS), "sc_threshold": "0"}
        stream = out.add_stream("libx264", rate=FPS, options=coding)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(SEGMENTS * SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), number % 200, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return split(buffer.getvalue())


def sound() -> tuple[bytes, list[bytes]]:
    """Silence, and from TONE_FROM on a tone."""
    time = BASE + np.arange(SEGMENTS * SECONDS * RATE) / RATE
    wave = (0.3 * np.sin(2 * np.pi * 440 * time) * (time >= TONE_FROM)).astype(np.float32)
    buffer = io.BytesIO()
    muxing = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1999000", "use_editlist": "0"}
    with av.open(buffer, "w", format="mp4", options=muxing) as out:
        stream = out.add_stream("aac", rate=RATE, options={"aac_coder": "fast"})
        stream.layout = "stereo"
        packets = []
        for at in range(0, wave.size, 1024):
            pcm = np.ascontiguousarray(np.repeat(wave[None, at : at + 1024], 2, axis=0))
            frame = av.AudioFrame.from_ndarray(pcm, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            if (packet.pts or 0) >= 0:
                packet.duration = 1024
                out.mux(packet)
    return split(buffer.getvalue())


def playlist(name: str, durations: Sequence[float], suffix: str = "m4s") -> str:
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:7"]
    lines.append("#EXT-X-DISCONTINUITY-SEQUENCE:0")
    if suffix == "m4s":
        lines.append(f'#EXT-X-MAP:URI="{name}-init.mp4"')
    at = EPOCH + BASE
    for number, duration in enumerate(durations):
        date = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:{date}", f"#EXTINF:{duration:.5f},", f"{name}-{number}.{suffix}"]
        at += duration
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    heard = sound()
    for name, (init, parts) in {"video": video(), "original": heard, "es": heard}.items():
        scale = timescale(init)
        files[f"{name}-init.mp4"] = init
        files |= {f"{name}-{number}.m4s": part for number, part in enumerate(parts)}
        files[f"{name}.m3u8"] = playlist(name, [span(part).duration / scale for part in parts]).encode()
    cues = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n00:00:13.000 --> 00:00:14.500\nTom &amp; Ann\n"
    files |= {f"captions-en-{number}.vtt": cues.encode() for number in range(SEGMENTS)}
    files["captions-en.m3u8"] = playlist("captions-en", [2.0] * SEGMENTS, "vtt").encode()
    files["master.m3u8"] = b"""#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="original.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Spanish (AI)",LANGUAGE="es",DEFAULT=NO,AUTOSELECT=NO,URI="es.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="t",NAME="English",LANGUAGE="en",AUTOSELECT=YES,URI="captions-en.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=20,AVERAGE-BANDWIDTH=10,CODECS="avc1,mp4a",RESOLUTION=64x48,FRAME-RATE=10,AUDIO="a"
video.m3u8
"""
    return files


@pytest.fixture
def folder(_made: dict[str, bytes], tmp_path: Path) -> Path:
    """A presentation of 8 s with two sounds and captions."""
    for name, data in _made.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path
