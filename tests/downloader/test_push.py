import asyncio
import shutil
import socket
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from shared.messages import AudioChunk, End, Gap, Head, MediaSegment
from tests.downloader.broadcast import Bench, write

Build = Callable[..., Bench]

PUBLISH = """
import sys, time, av
source, url, options = sys.argv[1], sys.argv[2], {}
for attempt in range(100):
    try:
        out = av.open(url, "w", format="flv")
        break
    except OSError:
        time.sleep(0.1)
with av.open(source) as media:
    tracks = {stream.index: out.add_stream_from_template(stream) for stream in media.streams}
    for packet in media.demux():
        if packet.dts is not None:
            packet.stream = tracks[packet.stream_index]
            out.mux(packet)
out.close()
"""


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def published(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_publisher_by_rtmp_may_go_and_come_back(bench: Build, tmp_path: Path) -> None:
    port, talk = free_port(socket.SOCK_STREAM), tmp_path / "talk.flv"
    talk.write_bytes(write("flv", 0, 5.0))
    running = bench("rtmp:studio-1", rtmp=f"127.0.0.1:{port}", patience=5.0)
    task = asyncio.create_task(running.run())
    url = f"rtmp://127.0.0.1:{port}/live/studio-1"
    for _ in range(2):
        await published(sys.executable, "-c", PUBLISH, str(talk), url)
        await asyncio.sleep(1.0)
    said = await asyncio.wait_for(task, 40)
    segments = [message for message in said if isinstance(message, MediaSegment)]
    assert running.record.live
    assert len(segments) >= 4
    assert all(segment.video and segment.audio for segment in segments)
    assert all(before.end <= after.start for before, after in pairwise(segments))
    assert sum(segment.rebased for segment in segments) == 1
    assert sum(message.end - message.start for message in said if isinstance(message, AudioChunk)) > 9
    heads = [message.head for message in said if isinstance(message, Head)]
    assert heads == sorted(heads)
    assert [message.reason for message in said if isinstance(message, End)] == ["ended"]
    assert all(gap.reason == "The publisher was away." for gap in said if isinstance(gap, Gap))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
async def test_a_publisher_by_srt_is_heard(bench: Build, tmp_path: Path) -> None:
    port, talk = free_port(socket.SOCK_DGRAM), tmp_path / "talk.ts"
    talk.write_bytes(write("mpegts", 0, 5.0))
    running = bench("srt:studio", srt=f"127.0.0.1:{port}", patience=1.0)
    task = asyncio.create_task(running.run())
    await asyncio.sleep(1.0)
    flags = ["-loglevel", "error", "-re", "-readrate", "4", "-i", str(talk), "-c", "copy", "-f", "mpegts"]
    await published("ffmpeg", *flags, f"srt://127.0.0.1:{port}?mode=caller")
    said = await asyncio.wait_for(task, 40)
    assert len([message for message in said if isinstance(message, MediaSegment)]) >= 2


@pytest.mark.parametrize(("url", "part"), [("rtmp:a", "not switched on"), ("srt:a", "not switched on")])
async def test_publishing_is_off_unless_a_port_is_named(bench: Build, url: str, part: str) -> None:
    running = bench(url)
    await running.run()
    assert part in running.record.reason


async def test_the_name_of_a_published_stream_is_checked(bench: Build) -> None:
    running = bench("rtmp:../x?a", rtmp="127.0.0.1:1935")
    await running.run()
    assert "letters" in running.record.reason


async def test_a_stop_ends_the_wait_for_a_publisher(bench: Build) -> None:
    port = free_port(socket.SOCK_STREAM)
    running = bench("rtmp:studio", rtmp=f"127.0.0.1:{port}", publisher=0.5)
    await asyncio.wait_for(running.run(), 10)
    assert running.record.reason.endswith("in time.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
