"""A broadcast as coded segments of MPEG-TS, from RAM, from disk, or coded now."""

import asyncio
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from loadtest.broadcast import CACHE, Broadcast, save
from loadtest.card import ADVERT, PROGRAMME, RECODED, Look, picture
from shared.audio import TICKS, VOICE

SEGMENT = 2
"""Seconds of a segment."""
CODED_BASE = 10 * TICKS
"""Timestamp of the first picture in coded bytes: libav writes PCR before it."""
WRAP = 1 << 33
"""MPEG time is 33 bits wide."""
FRAME = 1024
"""Samples of an AAC frame."""
LEAD_IN = 8
LOOK_AHEAD = 2
FORMAT = 1
"""Changes when the same broadcast is coded differently."""


def transport_stream(look: Look, programme: Broadcast, number: int) -> bytes:
    """Coded segment `number` of a broadcast as self-contained MPEG-TS, timestamps from CODED_BASE at frame 0.

    Video starts with an IDR picture and has no B-frames. Sound is coded by a fresh encoder with a lead-in from the loop
    before, of which the packets inside the segment are kept, so that segments join without a gap in any order.
    """
    frames = SEGMENT * look.fps
    first = number * frames
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts", options={"mpegts_copyts": "1"}) as out:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(frames), "sc_threshold": "0", "crf": "26"}
        options |= {"preset": "veryfast", "profile": "high"} if look is RECODED else {}
        video = out.add_stream("libx264", rate=look.fps, options=options)
        video.width, video.height, video.pix_fmt = look.width, look.height, "yuv420p"
        video.codec_context.thread_count = 1
        audio = out.add_stream("aac", rate=look.rate, options={"aac_coder": "fast"})
        audio.layout, audio.bit_rate = "stereo" if look.channels == 2 else "mono", 96_000
        packets: list[av.Packet[Any]] = []

        def take(packet: "av.Packet[Any]", at: Fraction) -> None:
            packet.pts = packet.dts = round(at * TICKS) + CODED_BASE
            packet.time_base = Fraction(1, TICKS)
            packets.append(packet)

        pictures: list[av.VideoFrame] = []
        for n in range(frames):
            speaker = programme.speaker((first + n) / look.fps)
            frame = av.VideoFrame.from_ndarray(picture(look, first + n, speaker), format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, look.fps)
            pictures.append(frame)
        for item in (*pictures, None):
            for packet in video.encode(item):
                take(packet, Fraction(first + (packet.pts or 0), look.fps))
        grid = range(*(-(-edge * SEGMENT * look.rate // FRAME) for edge in (number, number + 1)))
        for index in range(grid.start - LEAD_IN, grid.stop + LOOK_AHEAD):
            sound = _sound(look, programme, index * FRAME)
            for packet in audio.encode(sound):
                if grid.start * FRAME <= (packet.pts or 0) < grid.stop * FRAME:
                    take(packet, Fraction(packet.pts or 0, look.rate))
        for packet in sorted(packets, key=lambda packet: packet.dts or 0):
            out.mux(packet)
    return buffer.getvalue()


def _sound(look: Look, programme: Broadcast, at: int) -> av.AudioFrame:
    """One AAC frame of sound from sample `at`: the programme's, or a jingle-like tone for an advert."""
    if look.rate == VOICE:
        pcm = programme.read(at, at + FRAME)
    else:
        time = np.arange(at, at + FRAME) / look.rate
        pcm = (0.1 * np.sin(2 * np.pi * 330 * time) * (1 + np.sin(2 * np.pi * 3 * time)))[None].astype(np.float32)
    layout = "stereo" if look.channels == 2 else "mono"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm[: look.channels]), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = look.rate, at, Fraction(1, look.rate)
    return frame


def shifted(segment: bytes, ticks: int) -> bytes:
    """MPEG-TS with `ticks` added to every PCR, PTS and DTS, modulo 33 bits (ISO/IEC 13818-1, 2.4.3)."""
    data = bytearray(segment)
    for packet in range(0, len(data), 188):
        if data[packet] != 0x47:
            raise ValueError("not an MPEG transport stream")
        payload = packet + 4
        if data[packet + 3] & 0x20:
            if data[payload] and data[payload + 1] & 0x10:
                clock = int.from_bytes(data[payload + 2 : payload + 8])
                base = ((clock >> 15) + ticks) % WRAP
                data[payload + 2 : payload + 8] = (base << 15 | clock & 0x7FFF).to_bytes(6)
            payload += 1 + data[payload]
        if data[packet + 1] & 0x40 and data[packet + 3] & 0x10 and data[payload : payload + 3] == b"\0\0\1":
            for at in (payload + 9, payload + 14)[: (0, 0, 1, 2)[data[payload + 7] >> 6]]:
                _add(data, at, ticks)
    return bytes(data)


def _add(data: bytearray, at: int, ticks: int) -> None:
    """Add to the 33-bit timestamp at `at`, which has a marker bit after 3, 15 and 15 bits of it."""
    word = int.from_bytes(data[at : at + 5])
    time = (word >> 33 & 7) << 30 | (word >> 17 & 0x7FFF) << 15 | word >> 1 & 0x7FFF
    time = (time + ticks) % WRAP
    word = word & 0xF1_0001_0001 | time >> 30 << 33 | (time >> 15 & 0x7FFF) << 17 | (time & 0x7FFF) << 1
    data[at : at + 5] = word.to_bytes(5)


class Segments:
    """Coded segments of one broadcast, from RAM, from disk, or coded now, one at a time."""

    def __init__(self, programme: Broadcast, cache: Path = CACHE) -> None:
        self._programme = programme
        key = hashlib.sha256(repr((FORMAT, programme.digest, programme.title, PROGRAMME, ADVERT)).encode())
        self._folder = cache / "segments" / key.hexdigest()[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._coder = ThreadPoolExecutor(1)
        self._coding: dict[Path, asyncio.Future[bytes]] = {}
        self._coded: set[Path] = set()

    async def get(self, look: Look, number: int) -> bytes:
        """Coded segment `number` of the loop or of the advert."""
        path = self._folder / f"{look.title.lower()}-{number}.ts"
        if path in self._coded:
            return await asyncio.to_thread(path.read_bytes)
        if path not in self._coding:
            work = asyncio.get_running_loop().run_in_executor(self._coder, self._make, path, look, number)
            self._coding[path] = work
        data = await asyncio.shield(self._coding[path])
        self._coded.add(path)
        self._coding.pop(path, None)
        return data

    def close(self) -> None:
        """Let the coder go once its segment is done."""
        self._coder.shutdown(wait=False, cancel_futures=True)

    def _make(self, path: Path, look: Look, number: int) -> bytes:
        if path.exists():
            return path.read_bytes()
        data = transport_stream(look, self._programme, number)
        save(path, data)
        return data
