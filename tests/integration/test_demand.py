"""One job for all who start or watch a stream, and work for a language only while somebody listens: on a real bus."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import pytest

from loadtest.redis_server import RedisServer
from services import MESH
from services.ingest import service as ingest
from services.sender import service as sender
from services.translator import service as translator
from services.tts import service as tts
from shared.app import application
from shared.bus import Connection, Service
from shared.bus.scripts import Scripts
from shared.context import Event, Offer
from shared.links import Links
from shared.messages import Clip, Head, Message, Speech, StreamStarted, Translation, Utterance
from shared.store import open_store
from tests.sender.source import segment

SECRET = "a secret of more than sixteen characters"
URL = "https://example.com/live/{}.m3u8"
WANTED = 1.5
"""Seconds after which a language that nobody fetches is worked for no more; a minute outside this test."""


class House:
    """Ingest, translator, tts and sender in this process; a test says what the stages before them say."""

    def __init__(self, url: str) -> None:
        open_store.cache_clear()
        self.services: list[Service] = [
            ingest.create(ingest.Settings(secret=SECRET, rate=0)),
            translator.create(translator.Settings(engine="scripted")),
            *tts.create(tts.Settings(engine="scripted")),
            sender.create(sender.Settings(secret=SECRET, require_link=True)),
        ]
        self.connection = Connection(url, MESH, self.services)
        self.bus_of = {service.name: service for service in self.services}
        app = application(self.connection, self.services)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    async def say(self, stage: str, *messages: Message) -> None:
        """Delivers what a stage says, as its commit would."""
        scripts: Scripts = self.connection._scripts
        for message in messages:
            found = await scripts.record(message.stream)
            assert found
            letter = MESH.address(stage, message, found[1])
            assert await scripts.post(message.stream, stage, "*", uuid4().hex, found[1], [letter])

    async def told(self, stream: str) -> list[Event]:
        """All that was said of a stream."""
        found: list[Event] = []
        while events := await self.bus_of["ingest"].bus.events(stream, found[-1].id if found else "0"):
            found += events
        return found

    async def until(self, condition: Callable[[list[Event]], bool], stream: str, seconds: float = 30.0) -> list[Event]:
        """Waits for something to be said."""
        for _ in range(round(seconds / 0.05)):
            if condition(events := await self.told(stream)):
                return events
            await asyncio.sleep(0.05)
        raise AssertionError([type(event.message).__name__ for event in events])

    async def start(self, number: int, *languages: str) -> httpx.Response:
        return await self.http.post("/v1/streams", json={"url": URL.format(number), "languages": languages})


@pytest.fixture
async def house(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("shared.bus.scripts.WANTED_MS", round(WANTED * 1000))
    made = House(redis_server.url)
    await made.connection._redis.flushdb()
    await made.connection.start()
    made.bus_of["ingest"].offered = Offer(spoken=("en",))
    for service in made.services:
        await service.bus.announce("asr" if service.name == "ingest" else service.name, "r", service.offered or Offer())
    yield made
    await made.http.aclose()
    await made.connection.stop()


def said(stream: str, number: int, start: float) -> Utterance:
    return Utterance(
        stream=stream, until=start + 1, utterance=str(number), start=start, end=start + 1, text="good evening to all",
        words=(), spoken="en", speaker=0, gender="f",
    )  # fmt: skip


def count(events: list[Event], kind: type[Message], language: str = "") -> int:
    found = [event.message for event in events if isinstance(event.message, kind)]
    return sum(not language or getattr(message, "language", "") == language for message in found)


async def test_two_starts_and_two_viewers_of_one_url_make_one_job(house: House) -> None:
    starts = await asyncio.gather(*(house.start(1, language) for language in ("es", "ca", "es", "ca")))
    assert sorted(response.status_code for response in starts) == [200, 200, 200, 201]
    (stream,) = {response.json()["id"] for response in starts}
    for index in range(4):
        await house.say("downloader", await segment(open_store("memory://"), stream, index))
    await house.say("downloader", Head(stream=stream, until=26.0, head=26.0))
    await house.until(lambda events: any(event.stage == "sender" for event in events), stream)
    links = Links((SECRET.encode(),))
    viewers = [links.sign(stream, int(time.time()) + seconds) for seconds in (60, 90)]
    pages = await asyncio.gather(*(house.http.get(f"/hls/{link}/es.m3u8") for link in viewers * 3))
    assert {page.status_code for page in pages} == {200}
    for number in range(3):
        await house.say("speaker", said(stream, number, 20.0 + 2 * number))
    events = await house.until(lambda events: count(events, Speech, "es") >= 3, stream)
    assert count(events, StreamStarted) == 1
    assert (count(events, Translation, "es"), count(events, Speech, "es")) == (3, 3)
    assert 'ingest_starts_total{outcome="joined",tenant=""}' in (await house.http.get("/metrics")).text


async def test_a_language_that_nobody_watches_is_neither_translated_nor_voiced_after_the_stop_time(
    house: House,
) -> None:
    stream = (await house.start(2, "es", "ca")).json()["id"]
    bus = house.bus_of["sender"].bus

    async def hear(number: int) -> list[Event]:
        await house.say("speaker", said(stream, number, 20.0 + 2 * number))
        done = 20.0 + 2 * number + 1
        passed = ("voice~es", "voice~ca")
        return await house.until(
            lambda events: all(
                any(f"{event.stage}~{getattr(event.message, 'language', '')}" == lane and event.message.until >= done
                    for event in events)
                for lane in passed
            ),
            stream,
        )  # fmt: skip

    await bus.want(stream, "es")
    events = await hear(0)
    assert (count(events, Translation, "es"), count(events, Translation, "ca")) == (1, 0)
    assert (count(events, Speech, "es"), count(events, Speech, "ca")) == (1, 0)
    await asyncio.sleep(WANTED + 0.2)
    for number in range(1, 6):
        events = await hear(number)
    assert (count(events, Translation), count(events, Speech)) == (1, 1)
    assert count(events, Clip) <= 1
    await bus.want(stream, "ca")
    events = await hear(6)
    assert (count(events, Translation, "ca"), count(events, Speech, "ca")) == (1, 1)
    assert count(events, Translation, "es") == 1
