import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import pairwise

import av
import httpx
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from fastapi import FastAPI

from services.downloader.bitstream import nal_units
from services.downloader.whip import Arrival, Doors, Picture, Pictures, offsets, router
from shared import cmaf
from shared.messages import AudioChunk, End, Gap, MediaSegment
from shared.store import open_store
from tests.downloader.broadcast import FPS, RATE, Bench, tone

Build = Callable[..., Bench]

KEY = {"Authorization": "Bearer s3cret"}
SDP = {"Content-Type": "application/sdp"}


SPEED = 2
"""Media seconds a second."""


class Camera(MediaStreamTrack):
    """Grey pictures."""

    kind = "video"
    count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / FPS / SPEED)
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 40 + self.count % 100, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = self.count * 90_000 // FPS, Fraction(1, 90_000)
        self.count += 1
        return frame


class Microphone(MediaStreamTrack):
    """A pip in the middle of each second."""

    kind = "audio"
    count = 0

    async def recv(self) -> av.AudioFrame:
        begin = self.count * 960
        loop = asyncio.get_running_loop()
        self.began = getattr(self, "began", loop.time())
        await asyncio.sleep(max(0.0, self.began + begin / RATE / SPEED - loop.time()))
        pcm = (tone(begin, begin + 960) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        self.count += 1
        return frame


@asynccontextmanager
async def peer(codec: str = "video/H264") -> AsyncIterator[RTCPeerConnection]:
    """A publisher that has picture and sound to offer."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(Microphone())
    connection.addTrack(Camera())
    (video,) = (one for one in connection.getTransceivers() if one.kind == "video")
    video.setCodecPreferences([c for c in RTCRtpSender.getCapabilities("video").codecs if c.mimeType == codec])
    await connection.setLocalDescription(await connection.createOffer())
    yield connection
    await connection.close()


def client(running: Bench) -> httpx.AsyncClient:
    app = FastAPI()
    assert running.service.router
    app.include_router(running.service.router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def accepted(web: httpx.AsyncClient, connection: RTCPeerConnection) -> httpx.Response:
    """The answer to an offer, once the stream waits for it."""
    async with asyncio.timeout(10):
        while True:
            answer = await web.post("/whip/studio", content=connection.localDescription.sdp, headers=KEY | SDP)
            if answer.status_code != 404:
                return answer
            await asyncio.sleep(0.05)


async def test_a_publisher_by_whip_may_go_and_come_back(bench: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.downloader.whip.ASK", 0.5)
    monkeypatch.setattr("services.downloader.whip.GATHER", 0.4)
    running = bench("whip:studio", whip="studio=s3cret", patience=1.2)
    task = asyncio.create_task(running.run())
    async with client(running) as web:
        for _ in range(2):
            async with peer() as connection:
                answer = await accepted(web, connection)
                assert answer.status_code == 201
                await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
                assert (await accepted(web, connection)).status_code == 409
                await asyncio.sleep(2.5)
                place = answer.headers["Location"]
                assert (await web.delete(place, headers=KEY)).status_code == 200
                assert (await web.delete(place, headers=KEY)).status_code == 404
            await asyncio.sleep(0.5)
    said = await asyncio.wait_for(task, 20)
    segments = [message for message in said if isinstance(message, MediaSegment)]
    assert running.record.live
    assert len(segments) >= 3
    assert all(segment.video and segment.audio for segment in segments)
    assert all(before.end <= after.start for before, after in pairwise(segments))
    assert sum(segment.rebased for segment in segments) == 1
    assert {gap.reason for gap in said if isinstance(gap, Gap)} <= {"The publisher was away."}
    assert sum(message.end - message.start for message in said if isinstance(message, AudioChunk)) > 6
    assert [message.reason for message in said if isinstance(message, End)] == ["ended"]
    video = segments[0].video
    assert video
    assert (video.width, video.height) == (64, 48)
    _, pictures = cmaf.samples_of(await open_store("memory://").get(video.media))
    assert pictures[0].key
    assert sum(picture.duration for picture in pictures) == segments[0].duration


async def test_who_may_publish_and_what(bench: Build) -> None:
    running = bench("whip:studio", whip="studio=s3cret,other=k", patience=1.0)
    async with client(running) as web, peer("video/VP8") as connection:
        offer = connection.localDescription.sdp

        async def status(body: str, headers: dict[str, str], name: str = "studio") -> int:
            return (await web.post(f"/whip/{name}", content=body, headers=headers)).status_code

        assert await status(offer, SDP) == 401
        assert await status(offer, SDP | {"Authorization": "Bearer k"}) == 401
        assert await status(offer, KEY | SDP, "unknown") == 401
        assert await status(offer, KEY | {"Content-Type": "text/plain"}) == 415
        assert await status(offer, KEY | SDP) == 404
        assert (await web.options("/whip/studio")).headers["Access-Control-Allow-Origin"] == "*"
        assert (await web.delete("/whip/studio/x")).status_code == 401
        task = asyncio.create_task(running.run(stop_after=1))
        assert (await accepted(web, connection)).status_code == 422
        assert await status("v=0\r\n" * 20_000, KEY | SDP) == 413
        for rubbish in ("", "v=0", "m=video 9 UDP/TLS/RTP/SAVPF 1", "m=audio\r\na=x", offer[:600], "\x00" * 99):
            assert await status(rubbish, KEY | SDP) == 422
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("url", ["whip:nobody", "whip:../x"])
async def test_a_stream_without_a_key_is_not_published(bench: Build, url: str) -> None:
    running = bench(url, whip="studio=s3cret")
    await running.run()
    assert running.record.state == "failed"
    assert running.record.reason.endswith(".")


def test_picture_and_sound_meet_on_one_clock_by_their_fastest_arrivals() -> None:
    sound = av.AudioFrame(format="s16", layout="mono", samples=960)
    sound.sample_rate, sound.pts = RATE, RATE
    seen = [Arrival("video", Picture(b"", 0), 5.5), Arrival("video", Picture(b"", 9000), 5.54)]
    found = offsets([*seen, Arrival("audio", sound, 6.58)])
    assert found["video"] + 9000 == pytest.approx((5.54 - 4.5 - 0.04) * 90_000, abs=1)
    assert found["audio"] + 90_000 == pytest.approx((6.58 - 4.5 - 0.08) * 90_000, abs=1)


def test_a_key_picture_without_parameter_sets_gets_the_last_ones() -> None:
    coder = av.CodecContext.create("libx264", "w")
    assert isinstance(coder, av.VideoCodecContext)
    coder.width, coder.height, coder.pix_fmt, coder.time_base = 64, 48, "yuv420p", Fraction(1, 10)
    coder.options = {"tune": "zerolatency", "preset": "ultrafast"}
    frame = av.VideoFrame.from_ndarray(np.full((72, 64), 9, np.uint8), format="yuv420p")
    frame.pts = 0
    key = b"".join(bytes(packet) for packet in coder.encode(frame))
    bare = b"".join(b"\0\0\0\1" + unit for unit in nal_units(key) if unit[0] & 31 == 5)
    pictures = Pictures()
    assert pictures.row(Picture(bare, 0), 0) is None
    first, second = pictures.row(Picture(key, 0), 7), pictures.row(Picture(bare, 9000), 7)
    assert first
    assert second
    assert (first[0].width, first[0].height, first[1].pts, second[1].pts) == (64, 48, 7, 9007)
    kinds = [unit[0] & 31 for unit in nal_units(second[1].data)]
    assert {7, 8, 5} <= set(kinds)


def test_keys_are_pairs() -> None:
    doors = Doors.parse("a=1, b=2=3")
    assert doors.opens("b", "2=3")
    assert not doors.opens("c", "")
    with pytest.raises(ValueError, match="pairs"):
        Doors.parse("a")


def test_the_endpoint_has_no_other_method() -> None:
    methods = {method for route in router(Doors({})).routes for method in getattr(route, "methods", ())}
    assert methods == {"OPTIONS", "POST", "DELETE"}
