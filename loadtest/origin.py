"""A live HLS origin on loopback with scripted faults: a test card with a burnt-in clock over the test broadcast.

    python -m loadtest origin --port 8801 --fault ad:20:8 --fault reset:40 --fault outage:60:8 --fault missing:80:2

Segments are 2 s MPEG-TS, revealed in real time or `--speed` times faster. A loop of the broadcast is coded once and
kept on disk; later loops are the same bytes with shifted timestamps, so that the clock in the picture is the time
within the loop. Each picture also carries its frame number within the loop, as 24 black and white blocks at the top.
"""

import argparse
import asyncio
import logging
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from aiohttp import web

from loadtest.broadcast import CACHE, Broadcast, Sentence, broadcast, from_recording, tone
from loadtest.card import ADVERT, PROGRAMME, RECODED, Look
from loadtest.coding import CODED_BASE, SEGMENT, Segments, shifted
from shared.audio import TICKS

log = logging.getLogger(__name__)

HEAD_START = 3
"""Segments that are there at once: players and pullers join that far from the edge."""
AHEAD = 4
"""Segments coded before they are due."""
STREAM_BASE = 3600 * TICKS
"""Timestamp of the programme's first picture on the wire."""


class Kind(StrEnum):
    """What can go wrong."""

    AD = "ad"
    """A tagged break: other resolution and audio rate, timestamps from 0; the programme pauses."""
    CODEC = "codec"
    """A tagged change of encoder: another H.264 profile, mono sound; the programme and its timestamps go on."""
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
        look = ADVERT if advert else RECODED if Kind.CODEC in active else PROGRAMME
        tagged = number > 0 and look is not self._made[-1].look
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
        return Slot(look, coded, shift, tagged, Kind.MISSING in active)


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

    def master(self) -> str:
        """The multivariant playlist as it is now."""
        return (
            "#EXTM3U\n#EXT-X-VERSION:3\n"
            '#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=25.000\n'
            f"live.m3u8?token={self._token(self.head)}\n"
        )

    def refusal(self, path: str, token: str) -> int | None:
        """The HTTP status with which a request is refused now."""
        head = self.head
        if any(fault.kind is Kind.OUTAGE and fault.covers(head) for fault in self.script.faults):
            return 503
        return 403 if not path.endswith("/master.m3u8") and token != str(self._token(head)) else None

    async def segment(self, number: int) -> bytes | None:
        """Slot `number` as it is on the wire; None where there is none."""
        if number >= self.visible or self.script.slot(number).missing:
            return None
        return await self._coded(number)

    def _token(self, head: float) -> int:
        return sum(fault.kind is Kind.EXPIRY and fault.at <= head for fault in self.script.faults)

    def _refused(self, request: web.Request) -> web.Response | None:
        self.requests += 1
        status = self.refusal(request.path, request.query.get("token", "0"))
        return web.Response(status=status) if status else None

    async def _master(self, request: web.Request) -> web.Response:
        if refusal := self._refused(request):
            return refusal
        return web.Response(text=self.master(), content_type="application/vnd.apple.mpegurl")

    async def _live(self, request: web.Request) -> web.Response:
        if refusal := self._refused(request):
            return refusal
        return web.Response(text=self.playlist(self.head), content_type="application/vnd.apple.mpegurl")

    async def _slot(self, request: web.Request) -> web.Response:
        if refusal := self._refused(request):
            return refusal
        body = await self.segment(int(request.match_info["number"]))
        return web.Response(status=404) if body is None else web.Response(body=body, content_type="video/mp2t")

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
