"""Many live HLS origins in one cheap process: each URL is a stream whose segments end at times of their own.

    python -m loadtest.origins --port 8801 --recording tone

All streams play the same loop of pre-coded segments; `/{name}/live.m3u8` is late by a part of a segment that depends on
the number in the name, so that the load is spread as it is among real sources.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from aiohttp import web

from loadtest.broadcast import broadcast, from_recording, tone
from loadtest.card import PROGRAMME
from loadtest.coding import CODED_BASE, SEGMENT, Segments, shifted
from loadtest.origin import HEAD_START, STREAM_BASE
from shared.audio import TICKS

GOLDEN = 0.618_034
"""Multiples of it, modulo 1, lie evenly in [0, 1) however many there are."""


def phase(name: str) -> float:
    """Media seconds, less than a segment, by which the stream of this name is late."""
    return int("".join(filter(str.isdigit, name)) or "0") * GOLDEN % 1 * SEGMENT


class Origins:
    """Endless live streams over one loop of MPEG-TS segments; `speed` media seconds pass in a second."""

    def __init__(
        self,
        loop: Sequence[bytes],
        *,
        speed: float = 1.0,
        window: int = 6,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.speed, self.window, self._clock, self._loop = speed, window, clock, loop
        self.started_at = clock() - HEAD_START * SEGMENT / speed
        """Epoch seconds; media time passes from here on, and dates in the playlists too."""
        self.slot = lru_cache(4 * window)(self._slot)

    def captured(self, name: str) -> int:
        """Segments of a stream that are complete."""
        return int(((self._clock() - self.started_at) * self.speed - phase(name)) / SEGMENT)

    def playlist(self, name: str) -> str:
        """The media playlist of a stream as it stands."""
        last, late = self.captured(name), phase(name)
        first = max(0, last - self.window)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SEGMENT}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, last):
            date = datetime.fromtimestamp(self.started_at + late + number * SEGMENT, UTC)
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date.isoformat(timespec='milliseconds')}")
            lines += [f"#EXTINF:{SEGMENT:.3f},", f"{number}.ts"]
        return "\n".join(lines) + "\n"

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get("/epoch", self._epoch)
        app.router.add_get("/{name}/live.m3u8", self._live)
        app.router.add_get("/{name}/{number:[0-9]+}.ts", self._media)
        return app

    def _slot(self, number: int) -> bytes:
        turn, place = divmod(number, len(self._loop))
        return shifted(self._loop[place], STREAM_BASE - CODED_BASE + turn * len(self._loop) * SEGMENT * TICKS)

    async def _epoch(self, request: web.Request) -> web.Response:
        return web.Response(text=repr(self.started_at))

    async def _live(self, request: web.Request) -> web.Response:
        text = self.playlist(request.match_info["name"])
        return web.Response(text=text, content_type="application/vnd.apple.mpegurl")

    async def _media(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        if number >= self.captured(request.match_info["name"]):
            return web.Response(status=404)
        return web.Response(body=self.slot(number), content_type="video/mp2t")


async def loop(recording: str) -> list[bytes]:
    """A broadcast as coded segments: `tone`, `broadcast`, or an audio file; coded once and kept on disk."""
    match recording:
        case "tone":
            programme = tone()
        case "broadcast":
            programme = broadcast()
        case _:
            programme = from_recording(recording)
    segments = Segments(programme)
    try:
        return [await segments.get(PROGRAMME, number) for number in range(round(programme.duration / SEGMENT))]
    finally:
        segments.close()


async def serve(options: argparse.Namespace) -> None:
    origins = Origins(await loop(options.recording), speed=options.speed, window=options.window)
    runner = web.AppRunner(origins.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.origins", description=__doc__)
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--recording", default="tone", help="tone, broadcast, or an audio file")
    parser.add_argument("--speed", type=float, default=1.0, help="media seconds a second")
    parser.add_argument("--window", type=int, default=6, help="segments in a playlist")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
