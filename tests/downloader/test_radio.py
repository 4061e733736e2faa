import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from aiohttp import web

from services.downloader.radio import Pipe
from shared.messages import AudioChunk, End, MediaSegment, StreamStopped
from tests.downloader.broadcast import Bench, Origin, recording

Build = Callable[..., Bench]
SHAPES = {"mp3": ("mp3", "libmp3lame"), "adts": ("adts", "aac"), "ogg": ("ogg", "libopus")}


def station(origin: Origin, body: bytes, kind: str, pace: float = 0.0) -> None:
    """Sends the same every time somebody connects, then hangs up."""

    async def play(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": kind, "icy-name": "Radio One"})
        await answer.prepare(request)
        for at in range(0, len(body), 4096):
            await answer.write(body[at : at + 4096])
            await asyncio.sleep(pace)
        return answer

    origin.answers["listen"] = play


def published(running: Bench) -> list[MediaSegment]:
    return [item for emission in running.emissions for item in emission if isinstance(item, MediaSegment)]


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_station_that_hangs_up_is_connected_to_again(origin: Origin, bench: Build, shape: str) -> None:
    form, codec = SHAPES[shape]
    station(origin, recording(form, codec, 7), "audio/mpeg")
    running = bench("listen", patience=5.0)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(30):
        while len(published(running)) < 6:
            await asyncio.sleep(0.05)
    running.inbox.mail.append(StreamStopped(stream="s", until=0))
    said = await asyncio.wait_for(task, 20)
    segments = published(running)
    assert (running.record.live, running.record.title) == (True, "Radio One")
    assert all(segment.audio and not segment.video for segment in segments)
    assert sum(segment.rebased for segment in segments) >= 1
    assert all(before.end <= after.start for before, after in pairwise(segments))
    assert sum(message.end - message.start for message in said if isinstance(message, AudioChunk)) > 8.9
    assert origin.asked.count("listen") >= 2


async def test_a_stop_hangs_up_at_once(origin: Origin, bench: Build) -> None:
    station(origin, recording("mp3", "libmp3lame", 60), "audio/mpeg", pace=0.05)
    began = asyncio.get_running_loop().time()
    said = await asyncio.wait_for(bench("listen", patience=5.0).run(stop_after=1), 10)
    assert [message.reason for message in said if isinstance(message, End)] == ["stopped"]
    assert asyncio.get_running_loop().time() - began < 4


async def test_a_station_without_media_fails_with_a_sentence(origin: Origin, bench: Build) -> None:
    station(origin, b"nothing to hear" * 4096, "audio/mpeg")
    running = bench("listen", patience=1.0, start=1.0)
    await asyncio.wait_for(running.run(), 10)
    assert running.record.state == "failed"
    assert running.record.reason.endswith(".")


async def test_a_station_may_not_lead_inside(origin: Origin, bench: Build) -> None:
    def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/x")

    origin.answers["listen"] = away
    running = bench("listen")
    await running.run()
    assert "not allowed" in running.record.reason


def test_a_pipe_gives_what_was_written_in_any_portions() -> None:
    pipe = Pipe()
    for block in (b"abc", b"defg", b""):
        pipe.write(block)
    assert [pipe.read(2), pipe.read(9), pipe.read(3), pipe.read(9), pipe.read(9)] == [b"ab", b"c", b"def", b"g", b""]
    assert pipe.waiting == 0
