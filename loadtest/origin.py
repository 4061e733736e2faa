"""A live HLS origin on loopback with scripted faults: a test card with a burnt-in clock over the test broadcast.

    python -m loadtest origin --port 8801 --fault ad:20:8 --fault reset:40 --fault outage:60:8 --fault missing:80:2

Segments are 2 s MPEG-TS, revealed in real time or `--speed` times faster. A loop of the broadcast is coded once and
kept on disk; later loops are the same bytes with shifted timestamps, so that the clock in the picture is the time
within the loop. Each picture also carries its frame number within the loop, as 24 black and white blocks at the top.
"""

import argparse
import asyncio
import hashlib
import io
import logging
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import av
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from loadtest.broadcast import CACHE, Broadcast, Sentence, broadcast, from_recording, save, tone
from shared.audio import TICKS, VOICE

log = logging.getLogger(__name__)

SEGMENT = 2
"""Seconds of a segment."""
HEAD_START = 3
"""Segments that are there at once: players and pullers join that far from the edge."""
AHEAD = 4
"""Segments coded before they are due."""
CODED_BASE = 10 * TICKS
"""Timestamp of the first picture in coded bytes: libav writes PCR before it."""
STREAM_BASE = 3600 * TICKS
"""Timestamp of the programme's first picture on the wire."""
WRAP = 1 << 33
"""MPEG time is 33 bits wide."""
BITS = 24
"""Blocks of the frame number."""
FRAME = 1024
"""Samples of an AAC frame."""
LEAD_IN = 8
LOOK_AHEAD = 2
FORMAT = 1
"""Changes when the same broadcast is coded differently."""

_LETTERS = "0123456789:.ABCDEFGHIJKLMNOPQRSTUVWXYZ -"
_DOTS = (
    "75557 26227 71747 71717 55711 74717 74757 71111 75757 75717 02020 00002 75755 65656 74447 65556 74647 74644 74557 "
    "55755 72227 11157 55655 44447 57755 75555 75557 75744 75573 75655 74717 72222 55557 55552 55775 55255 55722 71247 "
    "00000 00700"
)
"""Five rows of three dots a letter, each row an octal digit."""
_FONT = dict(zip(_LETTERS, _DOTS.split(), strict=True))


class Look(NamedTuple):
    """How one source looks and sounds."""

    title: str
    width: int
    height: int
    fps: int
    rate: int
    channels: int


PROGRAMME = Look("NEWS", 640, 360, 25, VOICE, 2)
ADVERT = Look("ADVERT", 320, 180, 25, 44_100, 1)


class Kind(StrEnum):
    """What can go wrong."""

    AD = "ad"
    """A tagged break: other resolution and audio rate, timestamps from 0; the programme pauses."""
    RESET = "reset"
    """Timestamps fall back to 0 without a tag."""
    OUTAGE = "outage"
    """Everything answers 503."""
    MISSING = "missing"
    """The segments that start in the span answer 404."""
    EXPIRY = "expiry"
    """URLs handed out before it answer 403 from now on; the multivariant playlist has new ones."""
    OVERRUN = "overrun"
    """The playlist stands still, then jumps; what its window has passed by then is lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, in media seconds since the first segment."""

    kind: Kind
    at: float
    duration: float = SEGMENT

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """`kind:at[:duration]`; ValueError for anything else."""
        kind, at, *rest = text.split(":")
        return cls(Kind(kind), float(at), float(rest[0]) if rest else SEGMENT)

    def covers(self, time: float) -> bool:
        """Whether `time` is in the span of the fault."""
        return self.at <= time < self.at + self.duration


class Slot(NamedTuple):
    """One segment on the wire."""

    look: Look
    coded: int
    """Which coded segment it is: of the loop, or of the advert."""
    shift: int
    """Ticks added to its timestamps."""
    tagged: bool
    """Whether EXT-X-DISCONTINUITY goes before it."""
    missing: bool


@dataclass(slots=True)
class Script:
    """The endless list of slots that a loop of `slots` segments and some faults make."""

    slots: int
    faults: tuple[Fault, ...] = ()
    _made: list[Slot] = field(default_factory=list)
    _tags: list[int] = field(default_factory=list)
    _programme: int = 0
    _advert: int = 0
    _base: int = STREAM_BASE

    def slot(self, number: int) -> Slot:
        """Slot `number`, from 0."""
        while len(self._made) <= number:
            self._made.append(self._next(len(self._made)))
        return self._made[number]

    def tags_before(self, number: int) -> int:
        """Discontinuity tags on slots before `number`: EXT-X-DISCONTINUITY-SEQUENCE (RFC 8216, 4.3.3.3)."""
        self.slot(number)
        return bisect_right(self._tags, number - 1)

    def _next(self, number: int) -> Slot:
        at = number * SEGMENT
        active = {fault.kind for fault in self.faults if fault.covers(at)}
        advert = Kind.AD in active
        tagged = number > 0 and advert != (self._made[-1].look is ADVERT)
        if tagged:
            self._tags.append(number)
        if advert:
            self._advert = 0 if tagged else self._advert
            slot = Slot(ADVERT, self._advert, 0, tagged, Kind.MISSING in active)
            self._advert += 1
            return slot
        if any(fault.kind is Kind.RESET and at <= fault.at < at + SEGMENT for fault in self.faults):
            self._base = -self._programme * SEGMENT * TICKS
        loop, coded = divmod(self._programme, self.slots)
        shift = self._base + loop * self.slots * SEGMENT * TICKS
        self._programme += 1
        return Slot(PROGRAMME, coded, shift, tagged, Kind.MISSING in active)


def bitmap(text: str, scale: int) -> NDArray[np.uint8]:
    """Text in a 3 x 5 font, `scale` pixels a dot, white on black with a dot of margin."""
    rows = np.zeros((7, 4 * len(text) + 1), np.uint8)
    for index, letter in enumerate(text):
        for y, octal in enumerate(_FONT.get(letter, _FONT[" "])):
            rows[y + 1, 4 * index + 1 : 4 * index + 4] = [int(octal) >> bit & 1 for bit in (2, 1, 0)]
    return np.kron(rows * 219 + 16, np.ones((scale, scale), np.uint8))


@lru_cache(4)
def background(look: Look) -> NDArray[np.uint8]:
    """Colour bars as one yuv420p array, shape (1.5 height, width); grey at the top, where the frame number goes."""
    w, h = look.width, look.height
    luma = np.repeat(np.linspace(180, 40, 8).astype(np.uint8), w // 8)[None].repeat(h, 0)
    hue = np.arange(8) * np.pi / 4
    u, v = (
        np.repeat((128 + 60 * wave(hue)).astype(np.uint8), w // 16)[None].repeat(h // 2, 0) for wave in (np.cos, np.sin)
    )
    for plane in (u, v):
        plane[: h // 8] = plane[h // 4 :] = 128
    return np.concatenate([luma, u.reshape(-1, w), v.reshape(-1, w)])


def barcode(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """`number` as BITS blocks, most significant first, white is 1; shape (height, width)."""
    bits = np.array([number >> bit & 1 for bit in reversed(range(BITS))], np.uint8)
    row = np.repeat(bits * 219 + 16, width // BITS)
    return np.pad(row, (0, width - row.size), constant_values=16)[None].repeat(height, 0)


def frame_number(luma: NDArray[np.uint8]) -> int:
    """The number that `barcode` wrote into the top of a picture, shape (height, width)."""
    height, width = luma.shape
    block = width // BITS
    row = luma[height // 24, block // 2 : BITS * block : block]
    return int("".join("1" if level > 128 else "0" for level in row), 2)


def picture(look: Look, number: int, speaker: str = "") -> NDArray[np.uint8]:
    """Frame `number` of the test card with its clock and who speaks: yuv420p, shape (1.5 height, width)."""
    card = background(look).copy()
    w, h = look.width, look.height
    card[: h // 12] = barcode(number, w, h // 12)
    seconds, frame = divmod(number, look.fps)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{frame:02d}"
    for text, y, scale in (
        (look.title, h // 10, w // 128),
        (speaker.upper(), h // 2, w // 71),
        (clock, h * 3 // 4, w // 91),
    ):
        glyphs = bitmap(text, scale)[:, : w - 8]
        card[y : y + glyphs.shape[0], 8 : 8 + glyphs.shape[1]] = glyphs
    x = number * 4 % (w - 16)
    card[h - h // 30 : h, x : x + 16] = 235
    return card


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


class Origin:
    """Serves a broadcast as live HLS: `async with Origin(...) as origin: origin.url`.

    Slot n appears `(n + 1) * 2 / speed` s after `started_at`, which lies three slots before the start, so that dates in
    the playlist are capture times. With `once` the list ends after one loop, or after `length` media seconds.
    """

    def __init__(
        self,
        programme: Broadcast | None = None,
        faults: Sequence[Fault] = (),
        *,
        speed: float = 1.0,
        window: int = 6,
        once: bool = False,
        length: float | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        cache: Path = CACHE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.programme = programme or broadcast(cache=cache)
        loop = round(self.programme.duration / SEGMENT)
        self.script = Script(loop, tuple(faults))
        self.speed, self.window, self.host, self.port = speed, window, host, port
        breaks = sum(fault.duration for fault in faults if fault.kind is Kind.AD)
        if length is None and once:
            length = self.programme.duration + breaks
        self.last = None if length is None else max(1, round(length / SEGMENT))
        self.started_at = 0.0
        self.requests = 0
        """Answers so far, for load figures."""
        self._clock = clock
        self._segments = Segments(self.programme, cache)
        self._runner: web.AppRunner | None = None
        self._coding: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The multivariant playlist."""
        return f"http://{self.host}:{self.port}/master.m3u8"

    def url_of(self, name: str) -> str:
        """The same stream under another URL, so that one origin can stand for many."""
        return f"http://{self.host}:{self.port}/{name}/master.m3u8"

    def said(self, until: float) -> list[Sentence]:
        """What has been said in the first `until` media seconds, with start and end as dates, epoch seconds."""
        rows: list[Sentence] = []
        for number in range(math.ceil(until / SEGMENT)):
            slot = self.script.slot(number)
            if slot.look is ADVERT:
                continue
            low = slot.coded * SEGMENT
            shift = self.started_at + number * SEGMENT - low
            for row in self.programme.timeline:
                if low <= row.start < low + SEGMENT and row.start + shift < self.started_at + until:
                    rows.append(replace(row, start=row.start + shift, end=row.end + shift))
        return rows

    @property
    def head(self) -> float:
        """Media seconds that have been captured so far."""
        return (self._clock() - self.started_at) * self.speed

    @property
    def visible(self) -> int:
        """Slots that have been captured so far."""
        return min(int(self.head / SEGMENT + 1e-6), self.last if self.last is not None else 1 << 62)

    @property
    def ended(self) -> bool:
        """Whether the last slot has appeared."""
        return self.visible == self.last

    async def __aenter__(self) -> Self:
        for number in range(HEAD_START):
            await self._coded(number)
        self.started_at = self._clock() - HEAD_START * SEGMENT / self.speed
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, self.host, self.port).start()
        self.port = runner.addresses[0][1]
        self._coding = asyncio.create_task(self._code_ahead())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._coding:
            self._coding.cancel()
            await asyncio.gather(self._coding, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()
        self._segments.close()

    def application(self) -> web.Application:
        """The routes, for a server of your own."""
        app = web.Application()
        for folder in ("", "/{name}"):
            app.router.add_get(folder + "/master.m3u8", self._master)
            app.router.add_get(folder + "/live.m3u8", self._live)
            app.router.add_get(folder + "/slot{number:[0-9]+}.ts", self._slot)
        return app

    def playlist(self, head: float) -> str:
        """The media playlist when `head` media seconds have been captured."""
        for fault in self.script.faults:
            if fault.kind is Kind.OVERRUN and fault.covers(head):
                head = fault.at
        last = int(head / SEGMENT + 1e-6)
        last = last if self.last is None else min(last, self.last)
        first = max(0, last - self.window)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SEGMENT}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.script.tags_before(first)}")
        token = self._token(head)
        for number in range(first, last):
            if self.script.slot(number).tagged:
                lines.append("#EXT-X-DISCONTINUITY")
            date = datetime.fromtimestamp(self.started_at + number * SEGMENT, UTC)
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date.isoformat(timespec='milliseconds')}")
            lines += [f"#EXTINF:{SEGMENT:.3f},", f"slot{number}.ts?token={token}"]
        if last == self.last:
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"

    def _token(self, head: float) -> int:
        return sum(fault.kind is Kind.EXPIRY and fault.at <= head for fault in self.script.faults)

    def _refused(self, request: web.Request) -> web.Response | None:
        self.requests += 1
        head = self.head
        if any(fault.kind is Kind.OUTAGE and fault.covers(head) for fault in self.script.faults):
            return web.Response(status=503)
        if not request.path.endswith("/master.m3u8") and request.query.get("token", "0") != str(self._token(head)):
            return web.Response(status=403)
        return None

    async def _master(self, request: web.Request) -> web.Response:
        if refusal := self._refused(request):
            return refusal
        text = (
            "#EXTM3U\n#EXT-X-VERSION:3\n"
            '#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=25.000\n'
            f"live.m3u8?token={self._token(self.head)}\n"
        )
        return web.Response(text=text, content_type="application/vnd.apple.mpegurl")

    async def _live(self, request: web.Request) -> web.Response:
        if refusal := self._refused(request):
            return refusal
        return web.Response(text=self.playlist(self.head), content_type="application/vnd.apple.mpegurl")

    async def _slot(self, request: web.Request) -> web.Response:
        if refusal := self._refused(request):
            return refusal
        number = int(request.match_info["number"])
        if number >= self.visible or self.script.slot(number).missing:
            return web.Response(status=404)
        return web.Response(body=await self._coded(number), content_type="video/mp2t")

    async def _coded(self, number: int) -> bytes:
        slot = self.script.slot(number)
        return shifted(await self._segments.get(slot.look, slot.coded), slot.shift - CODED_BASE)

    async def _code_ahead(self) -> None:
        while True:
            for number in range(self.visible, self.visible + AHEAD):
                slot = self.script.slot(number)
                await self._segments.get(slot.look, slot.coded)
            await asyncio.sleep(0.5 * SEGMENT / self.speed)


def main(argv: Sequence[str]) -> int:
    """Serve until `--seconds` are over or somebody interrupts."""
    parser = argparse.ArgumentParser(prog="loadtest origin", description="A live HLS origin with scripted faults.")
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--recording", help="an audio file instead of the test broadcast; `tone` for a tone")
    parser.add_argument("--speed", type=float, default=1.0, help="media seconds a second")
    parser.add_argument("--window", type=int, default=6, help="segments in the playlist")
    parser.add_argument("--once", action="store_true", help="end the stream after one loop")
    parser.add_argument("--length", type=float, help="end the stream after so many media seconds")
    parser.add_argument("--seconds", type=float, help="end the server after so many seconds")
    faults = ", ".join(Kind)
    parser.add_argument("--fault", type=Fault.parse, action="append", default=[], help=f"KIND:AT[:DURATION]; {faults}")
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args(argv)

    async def serve() -> None:
        programme = None
        if options.recording:
            programme = tone() if options.recording == "tone" else from_recording(options.recording)
        async with Origin(
            programme,
            options.fault,
            speed=options.speed,
            window=options.window,
            once=options.once,
            length=options.length,
            port=options.port,
            cache=options.cache,
        ) as origin:
            print(origin.url, flush=True)
            await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=options.seconds)

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        log.info("interrupted")
    return 0
