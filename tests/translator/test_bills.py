"""What is paid for is asked once: with a replica that dies, an answer that is late, a store that is full."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost

from loadtest.redis_server import RedisServer
from services import MESH
from services.translator.bills import Paid
from services.translator.engines import Failed, Source, deepl
from services.translator.engines.scripted import Scripted
from services.translator.interpreter import Interpreter
from services.translator.service import Settings, create
from shared.bus import Bus, Connection, Limits, Service
from shared.bus.address import connect
from shared.bus.mesh import Letter
from shared.bus.scripts import Scripts
from shared.context import Record
from shared.messages import Translation, Utterance, Wording
from shared.store import Store, open_store
from tests.translator.fake_deepl import FakeDeepL, running

SAID = Utterance(
    stream="s", until=12.5, utterance="7", start=10.0, end=12.0, text="good evening", words=(), spoken="en"
)
TOLD = Source("good evening", "en", stream="s", start=10.0)


class Slow(Scripted):
    """Takes its time, and counts what it is asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds, self.asked = seconds, list[str]()

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        self.asked += [source.text for source in batch]
        await asyncio.sleep(self.seconds)
        return await super().translate(batch, target)


class Full(Store):
    async def put(self, key: str, data: bytes) -> str:
        raise OSError("no space left")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return open_store(f"memory://{request.node.name}")


@pytest.fixture
async def fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeDeepL]:
    async with running() as server:
        monkeypatch.setattr(deepl, "DeepL", partial(deepl.DeepL, key="key", url=server.url))
        yield server


def replica(name: str) -> Service:
    service = create(Settings(engine="deepl", store=f"memory://{name}"))
    service.limits = Limits(idle_ms=300)
    return service


async def test_an_answer_is_paid_once_where_its_replica_dies_before_it_commits(
    redis_server: RedisServer, fake: FakeDeepL
) -> None:
    redis = connect(redis_server.url)
    await redis.flushall()
    scripts, died = Scripts(redis), asyncio.Event()
    dying, living = (Connection(redis_server.url, MESH, [replica("shared")]) for _ in range(2))
    await dying.start()

    def die(point: str) -> None:
        if point == "before commit":
            died.set()
            raise Lost

    dying.stages[0].probe = die
    letter = Letter("Utterance", SAID.model_dump_json().encode(), (("translator", "s"),))
    await scripts.post("s", "speaker", "*", "v", Record(stream="s", languages=("de",), live=False), [letter])
    await asyncio.wait_for(died.wait(), 10)
    await living.start()
    bus, end, told = Bus(scripts, MESH, "sender"), time.monotonic() + 20, list[Translation]()
    while not told and time.monotonic() < end:
        events = await bus.events("s", wait=0.2)
        told = [event.message for event in events if isinstance(event.message, Translation)]
    await asyncio.gather(dying.stop(), living.stop())
    await redis.aclose()
    assert [each.wordings[0].text for each in told] == ["doog gnineve"]
    assert (fake.billed, len(fake.requests)) == (len(SAID.text), 1)


async def test_another_question_is_another_answer(store: Store) -> None:
    engine = Slow()
    same = [TOLD, TOLD]
    others = [
        Source("good morning", "en", stream="s", start=10.0),
        Source("good evening", "en", ("Well.",), stream="s", start=10.0),
        Source("good evening", "en", stream="t", start=10.0),
    ]
    for source in same + others:
        await Paid(engine, store).translate([source], "de")
    await Paid(engine, store).translate([TOLD], "es")
    await Paid(engine, store, "less").translate([TOLD], "de")
    assert len(engine.asked) == 1 + len(others) + 2


async def test_an_answer_that_comes_too_late_serves_the_next_attempt(store: Store) -> None:
    engine = Slow(0.2)
    interpreter = Interpreter([Paid(engine, store, patience=0.05)])
    for _ in range(2):
        with pytest.raises(Failed, match="does not answer") as failure:
            await interpreter.interpret(TOLD, "de")
        assert failure.value.retryable
    await interpreter.stop()
    await asyncio.sleep(0.2)
    assert (await interpreter.interpret(TOLD, "de")).wordings[0].text == "good~de evening~de"
    assert len(engine.asked) == 1


async def test_who_stops_takes_in_what_is_on_its_way(store: Store) -> None:
    paid = Paid(Slow(0.1), store)
    turn = asyncio.create_task(paid.translate([TOLD], "de"))
    await asyncio.sleep(0.05)
    turn.cancel()
    await paid.stop()
    [key] = await store.names("s")
    assert key.startswith("s/answer-900000-")
    assert "evening" not in key


async def test_a_failure_is_no_answer(store: Store) -> None:
    class Moody(Slow):
        async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
            found = await super().translate(batch, target)
            if len(self.asked) == 1:
                raise Failed("busy", retryable=True)
            return found

    paid = Paid(Moody(), store)
    with pytest.raises(Failed, match="busy"):
        await paid.translate([TOLD], "de")
    assert (await paid.translate([TOLD], "de"))[0][0].text == "good~de evening~de"


async def test_a_store_that_is_full_loses_no_answer(caplog: pytest.LogCaptureFixture, store: Store) -> None:
    backend: Any = store._backend
    assert (await Paid(Slow(), Full(backend)).translate([TOLD], "de"))[0][0].text == "good~de evening~de"
    [line] = caplog.records
    assert "cannot be kept" in line.message
    assert "evening" not in str(vars(line))
