"""HLS players notice a presentation that stands still, and nothing in one that goes on."""

import asyncio
import time

import pytest
from aiohttp import web

from loadtest.viewers import players
from services.sender.playlist import media_playlist
from shared.context import Row
from shared.messages import Sealed

SEGMENT = 0.5
MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="English",LANGUAGE="en",DEFAULT=YES,URI="original.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Spanish",LANGUAGE="es",URI="es.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=20,CODECS="avc1,mp4a",AUDIO="sound"
video.m3u8
"""


def presentation(end: float) -> web.Application:
    """Live playlists of half-second segments that end to grow after `end` seconds."""
    began = time.time()

    def row(number: int) -> Row:
        names = ("video", "original", "es")
        sealed = Sealed(
            stream="m",
            until=10.0 + (number + 1) * SEGMENT,
            number=number,
            start=round((10 + number * SEGMENT) * 90_000),
            duration=round(SEGMENT * 90_000),
            date=began - 4 * SEGMENT + number * SEGMENT,
            objects={name: f"m/{name}-{number}.m4s" for name in names},
            inits={name: f"m/{name}-init.mp4" for name in names},
        )
        return Row(number=number, sealed=sealed.until, seams=0, body=sealed)

    async def get(request: web.Request) -> web.Response:
        stem, _, suffix = request.match_info["name"].rpartition(".")
        if stem == "master":
            return web.Response(text=MASTER)
        if suffix != "m3u8":
            return web.Response(body=b"media")
        newest = int(min(time.time() - began, end) / SEGMENT) + 4
        return web.Response(text=media_playlist([row(number) for number in range(newest - 4, newest)], stem, 1))

    app = web.Application()
    app.router.add_get("/{name}", get)
    return app


async def watched(end: float) -> dict[str, float]:
    runner = web.AppRunner(presentation(end))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/master.m3u8"
        return await players([url], 3, 6.0, 10.0)
    finally:
        await runner.cleanup()


@pytest.mark.slow
async def test_players_stall_only_where_no_new_segment_comes() -> None:
    well, stuck = await asyncio.gather(watched(60.0), watched(0.0))
    assert well["players"] == stuck["players"] == 3
    assert well["failures"] == stuck["failures"] == 0
    assert well["requests"] > 20
    # All of them stand still where nothing comes; on a busy machine one may do so elsewhere.
    assert stuck["stalls"] >= 2 > well["stalls"]
