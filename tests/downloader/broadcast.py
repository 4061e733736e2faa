"""A tiny HLS origin whose segments are coded here, and a context that the handler can be called with."""

import io
from collections.abc import Awaitable, Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.downloader.service import DownloaderState, Settings, create
from shared.bus import Context
from shared.context import Pcm, Record
from shared.messages import Message, StreamStarted, StreamStopped

FPS, RATE, PIP = 10, 48_000, 1.0
"""Pictures a second, samples a second, and seconds between two pips of the sound."""
Emission = list[Message | Pcm]


def tone(start: int, end: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A loud pip of 50 ms in the middle of each second, as (1, samples)."""
    time = np.arange(start, end) / RATE
    return (0.5 * np.sin(2 * np.pi * 880 * time) * (abs(time % PIP - 0.5) < 0.025))[None].astype(np.float32)


def write(
    form: str,
    start: float,
    duration: float,
    *,
    picture: bool = True,
    sound: bool = True,
    codec: str = "aac",
    size: tuple[int, int] = (64, 48),
) -> bytes:
    """A container with pictures and sound of [start, start + duration), timestamps from 100 s + start on."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form, options={"mpegts_copyts": "1"} if form == "mpegts" else {}) as out:
        shift = 100 if form == "mpegts" else 0
        options = {"preset": "ultrafast", "g": str(FPS), "sc_threshold": "0", "bf": "0"}
        video = out.add_stream("libx264", rate=FPS, options=options) if picture else None
        coder = {"aac_coder": "fast"} if codec == "aac" else {}
        audio = cast(av.AudioStream, out.add_stream(codec, rate=RATE, layout="mono", options=coder)) if sound else None
        if video:
            width, height = size
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.codec_context.thread_count = 1
            for number in range(round(duration * FPS)):
                frame = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 128, np.uint8), format="yuv420p")
                frame.pts = round((start + shift) * FPS) + number
                frame.time_base = Fraction(1, FPS)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        if audio:
            # The frames of one grid over the whole stream, so that segments join.
            first, last = -(-round(start * RATE) // 1024), -(-round((start + duration) * RATE) // 1024)
            for index in range(first - 3, last + 2):
                frame_ = av.AudioFrame.from_ndarray(
                    tone(index * 1024, (index + 1) * 1024), format="fltp", layout="mono"
                )
                frame_.sample_rate, frame_.pts, frame_.time_base = RATE, index * 1024, Fraction(1, RATE)
                for packet in audio.encode(frame_):
                    pts = packet.pts or 0
                    if first * 1024 <= pts < last * 1024:
                        packet.pts = packet.dts = pts + shift * RATE
                        packet.time_base = Fraction(1, RATE)
                        out.mux(packet)
    return buffer.getvalue()


def coded(codec: str, duration: int) -> list["av.Packet[Any]"]:
    """The pips in any codec."""
    coder = cast(av.AudioCodecContext, av.CodecContext.create(codec, "w"))
    coder.sample_rate, coder.layout, coder.time_base = RATE, "mono", Fraction(1, RATE)
    coder.format = (coder.codec.audio_formats or [av.AudioFormat("s16")])[0]
    coder.open()
    resampler = av.AudioResampler(format=coder.format, layout="mono", rate=RATE, frame_size=coder.frame_size or 960)
    packets: list[av.Packet[Any]] = []
    for start in range(0, duration * RATE, RATE):
        whole = av.AudioFrame.from_ndarray(tone(start, start + RATE), format="fltp", layout="mono")
        whole.sample_rate, whole.pts, whole.time_base = RATE, start, Fraction(1, RATE)
        for frame in resampler.resample(whole):
            packets += coder.encode(frame)
    return [*packets, *coder.encode(None)]


def parts(form: str, codec: str, count: int) -> list[bytes]:
    """Segments of about a second of one continuous sound track."""
    packets = coded(codec, count)
    found = []
    for number in range(count):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=form, options={"mpegts_copyts": "1"} if form == "mpegts" else {}) as out:
            track = out.add_stream(codec, rate=RATE, layout="mono")
            for packet in packets:
                if (packet.pts or 0) // RATE == number or (number == 0 and (packet.pts or 0) < 0):
                    copy = av.Packet(bytes(packet))
                    copy.stream, copy.time_base, copy.duration = track, Fraction(1, RATE), packet.duration
                    copy.pts = copy.dts = (packet.pts or 0) + (100 * RATE if form == "mpegts" else 0)
                    out.mux(copy)
        found.append(buffer.getvalue())
    return found


def recording(form: str, codec: str, duration: int) -> bytes:
    """Sound alone with the same pips, in any codec."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as out:
        track = cast(av.AudioStream, out.add_stream(codec, rate=RATE, layout="mono"))
        resampler = av.AudioResampler(format=track.codec_context.format, layout="mono", rate=RATE, frame_size=960)
        for start in range(0, duration * RATE, RATE):
            whole = av.AudioFrame.from_ndarray(tone(start, start + RATE), format="fltp", layout="mono")
            whole.sample_rate, whole.pts, whole.time_base = RATE, start, Fraction(1, RATE)
            for frame in resampler.resample(whole):
                out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return buffer.getvalue()


@cache
def transport(number: int, length: float = 1.0, picture: bool = True, sound: bool = True) -> bytes:
    """Segment `number` of a transport stream."""
    return write("mpegts", number * length, length, picture=picture, sound=sound)


Answer = Callable[[web.Request], web.Response | Awaitable[web.StreamResponse]]


class Origin:
    """Answers what a test has put under each path; `asked` counts the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | str | int | Answer] = {}
        self.asked: list[str] = []
        self.server = TestServer(self._application())

    def _application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.asked.append(path)
        match self.answers.get(path, 404):
            case int(status):
                return web.Response(status=status)
            case str(text):
                return web.Response(text=text)
            case bytes(body):
                return web.Response(body=body)
            case answer:
                reply = answer(request)
                return reply if isinstance(reply, web.Response) else await reply

    def url(self, path: str) -> str:
        return str(self.server.make_url(f"/{path}"))

    @property
    def pair(self) -> str:
        return f"{self.server.host}:{self.server.port}"


class Inbox:
    def __init__(self) -> None:
        self.mail: list[Message] = []

    def empty(self) -> bool:
        return not self.mail

    async def get(self) -> Message:
        return self.mail.pop(0)


class Bench:
    """Calls the handler as the bus would; the sender is as fast as the source."""

    def __init__(self, origin: Origin, files: Path, url: str, **settings: object) -> None:
        values = {
            "allow": origin.pair,
            "files": str(files),
            "patience": 1.0,
            "start": 2.0,
            "resolvers": "",
            "resolving": 90,
        } | settings
        self.service = create(Settings.model_validate(values))
        # Objects in memory outlive a test, and what is there is not written again.
        self.record = Record(stream="s" if url.startswith("http") else f"s-{id(self)}", url=url, delay=1.0)
        self.state = DownloaderState()
        self.inbox = Inbox()
        self.sealed = 0.0
        self.hold: float | None = None
        self.emissions: list[Emission] = []

    async def amend(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)

    async def run(
        self, stop_after: int | None = None, die_after: int | None = None, hold: float | None = None
    ) -> list[Message | Pcm]:
        """What the handler says, until its end, a stop or a sudden death after so many emissions with content."""
        started = StreamStarted(stream="s", until=0)
        emissions = self.service.handle(started, self.state, cast(Context, self))
        count, self.hold = 0, hold
        async for emission in emissions:
            self.sealed = self.state.clock.head if self.hold is None else self.hold
            if not emission:
                continue
            count += 1
            self.emissions.append(emission)
            if count == stop_after:
                self.inbox.mail.append(StreamStopped(stream="s", until=0))
            if count == die_after:
                await emissions.aclose()
                self.state = DownloaderState.model_validate_json(self.state.model_dump_json())
                break
        return [item for emission in self.emissions for item in emission]


def playlist(
    count: int, *, first: int = 0, length: float = 1.0, end: bool = True, before: dict[int, str] | None = None
) -> str:
    """A media playlist of transport segments; `before` has the tags in front of some of them."""
    lines = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{round(length)}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for number in range(first, first + count):
        lines += [tag for tag in [(before or {}).get(number)] if tag]
        lines += [f"#EXTINF:{length:.3f},", f"slot{number}.ts"]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if end else [])]) + "\n"
