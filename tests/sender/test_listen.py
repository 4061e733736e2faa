import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import av
import httpx
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from fastapi import FastAPI

from services.sender import listen, whep
from services.sender.listen import FRAME, Channel, Ear
from shared.audio import VOICE, to_bytes
from shared.context import Event, Record
from shared.links import Gate
from shared.messages import Clip, End, Message
from shared.store import Store, open_store

STREAM = "s1"
LOUD = to_bytes((0.5 * np.sin(2 * np.pi * 440 * np.arange(VOICE) / VOICE)).astype(np.float32))


class FakeBus:
    """A record, and the events that a test says."""

    def __init__(self) -> None:
        self.entry = Record(stream=STREAM, languages=("es", "gl"), subtitled=("gl",), listen=True, state="running")
        self.said: asyncio.Queue[Event] = asyncio.Queue()
        self.wanted: list[str] = []

    def say(self, message: Message, stage: str) -> None:
        self.said.put_nowait(Event(id=f"{self.said.qsize() + 1}-0", at=0.0, stage=stage, lane=STREAM, message=message))

    async def record(self, stream: str) -> tuple[str, Record] | None:
        return ("1", self.entry) if stream == STREAM else None

    async def events(self, stream: str, after: str = "0", wait: float = 0.0) -> list[Event]:
        return [await self.said.get()]

    async def want(self, stream: str, language: str) -> None:
        self.wanted.append(language)


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def store() -> Store:
    open_store.cache_clear()
    return open_store("memory://")


@pytest.fixture
async def door(bus: FakeBus, store: Store) -> AsyncIterator[whep.Door]:
    made = whep.Door(lambda: bus, store, 2)
    yield made
    await made.close()


@pytest.fixture
async def http(door: whep.Door) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(whep.router(door, Gate(None, False, lambda: 0.0)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def clip(store: Store) -> Clip:
    key = await store.put(f"{STREAM}/clip-es-900000-aa", LOUD)
    placed = {"start": 10.0, "duration": 1.0, "rate": 1.0, "wording": 0, "voice": "v", "utterance": "1"}
    return Clip.model_validate({"stream": STREAM, "until": 0.0, "language": "es", "audio": key, **placed})


async def offer() -> tuple[RTCPeerConnection, str]:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    return peer, peer.localDescription.sdp


SDP = {"Content-Type": "application/sdp"}
PATH = f"/hls/{STREAM}/es/whep"


def test_speech_is_coded_to_packets_of_twenty_milliseconds_that_sound_like_it() -> None:
    packets = listen.code(LOUD)
    assert len(packets) == 50
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    heard = np.concatenate([frame.to_ndarray() for p in packets for frame in decoder.decode(av.Packet(p))], axis=None)
    assert np.abs(heard).max() > 0.4 * 32767
    assert len(listen.code(LOUD[: 2 * FRAME + 2])) == 2


async def test_a_slow_listener_loses_the_oldest_packets_and_ends_when_told() -> None:
    ear = Ear()
    for number in range(listen.SLOW + 7):
        ear.say(bytes([number]))
    assert bytes(await ear.recv()) == bytes([7])
    second = await ear.recv()
    assert (bytes(second), second.pts) == (bytes([8]), FRAME)
    ear = Ear()
    waiting = asyncio.create_task(ear.recv())
    await asyncio.sleep(0)
    ear.stop()
    with pytest.raises(MediaStreamError):
        await waiting


async def test_a_clip_is_coded_once_for_all_who_listen(bus: FakeBus, store: Store) -> None:
    with ThreadPoolExecutor(1) as coder:
        channel = Channel(STREAM, "es", bus, store, coder)
        ears = [Ear(), Ear()]
        channel.ears.update(ears)
        bus.say(await clip(store), "place")
        bus.say((await clip(store)).model_copy(update={"audio": "nowhere"}), "place")
        bus.say((await clip(store)).model_copy(update={"language": "ca"}), "place")
        bus.say(End(stream=STREAM, until=11.0), "sender")
        await asyncio.wait_for(channel.over.wait(), 30)
        heard = [[bytes(await ear.recv()) for _ in range(20)] for ear in ears]
        channel.close()
    assert channel.coded == 50
    assert bus.wanted == ["es"]
    for packets in heard:
        assert sum(packet != listen.silence() for packet in packets) > 10


async def test_a_listener_joins_by_whep_hears_the_dub_and_leaves(
    bus: FakeBus, store: Store, door: whep.Door, http: httpx.AsyncClient
) -> None:
    peer, sdp = await offer()
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    peer.on("track", tracks.put_nowait)
    answer = await http.post(PATH, content=sdp, headers=SDP)
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/sdp")
    await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    track = await asyncio.wait_for(tracks.get(), 30)
    bus.say(await clip(store), "place")
    loudest = 0
    async with asyncio.timeout(30):
        while loudest < 5000:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            loudest = max(loudest, int(np.abs(frame.to_ndarray()).max()))
    gone = await http.delete(answer.headers["location"])
    assert gone.status_code == 200
    assert not door.listeners.channels
    assert (await http.delete(answer.headers["location"])).status_code == 404
    await peer.close()


async def test_everybody_goes_when_the_stream_is_over(bus: FakeBus, door: whep.Door, http: httpx.AsyncClient) -> None:
    peer, sdp = await offer()
    answer = await http.post(PATH, content=sdp, headers=SDP)
    await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    bus.say(End(stream=STREAM, until=11.0), "sender")
    async with asyncio.timeout(30):
        while door.listeners.channels:
            await asyncio.sleep(0.05)
    await peer.close()


async def test_what_cannot_be_listened_to_is_refused_with_a_reason(bus: FakeBus, http: httpx.AsyncClient) -> None:
    peer, sdp = await offer()
    await peer.close()
    for path, headers, body, status in (
        ("/hls/other/es/whep", SDP, sdp, 404),
        (f"/hls/{STREAM}/gl/whep", SDP, sdp, 404),
        (PATH, {"Content-Type": "text/plain"}, sdp, 415),
        (PATH, SDP, "v=0" + " " * whep.LARGEST, 413),
        (PATH, SDP, "nonsense", 400),
        (PATH, SDP, sdp.replace("m=audio", "m=video"), 400),
    ):
        answer = await http.post(path, content=body, headers=headers)
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["detail"]
    bus.entry = bus.entry.model_copy(update={"listen": False})
    assert (await http.post(PATH, content=sdp, headers=SDP)).status_code == 404


async def test_more_listeners_than_allowed_are_told_to_come_later(http: httpx.AsyncClient) -> None:
    peers = []
    answers = []
    for _ in range(3):
        peer, sdp = await offer()
        peers.append(peer)
        answers.append(await http.post(PATH, content=sdp, headers=SDP))
    assert [answer.status_code for answer in answers] == [201, 201, 503]
    assert answers[2].headers["retry-after"] == "10"
    for peer in peers:
        await peer.close()


async def test_browsers_of_other_sites_may_ask(http: httpx.AsyncClient) -> None:
    answer = await http.options(PATH)
    assert answer.status_code == 204
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-expose-headers"] == "Location"
