"""What operators see of running stages: gauges, and a trace per utterance."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from loadtest.redis_server import RedisServer
from shared import tracing
from shared.bus import Connection, Limits, Mesh, Service, Step
from shared.bus.address import connect
from shared.bus.metrics import Gauges, Metrics
from shared.bus.scripts import Scripts
from shared.bus.turn import Token
from shared.context import Record
from shared.messages import Message


class Said(Message):
    utterance: str


MESH = Mesh(
    Step("in", produces=(Said,)),
    Step("one", consumes=(Said,), produces=(Said,)),
    Step("two", consumes=(Said,), produces=(Said,)),
)


def relay(name: str, wait: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)) -> Service:
    service = Service(name, Limits(slots=2))

    @service.on(Said)
    async def handle(message: Said) -> AsyncIterator[Said]:
        await wait()
        yield message

    return service


async def say(scripts: Scripts, *utterances: str) -> None:
    record = Record(stream="m")
    letters = [MESH.address("in", Said(stream="m", until=0, utterance=name), record) for name in utterances]
    assert await scripts.post("m", "in", "*", "v1", record, letters)


async def test_all_stages_of_an_utterance_are_one_trace(redis_server: RedisServer) -> None:
    admin, exporter = connect(redis_server.url), InMemorySpanExporter()
    await admin.flushall()
    connection = Connection(redis_server.url, MESH, [relay("one"), relay("two")])
    await connection.start()
    provider = tracing.export(exporter, connection.stages)
    await say(Scripts(admin), "7", "8.1", "8.2")
    while int(await admin.hget("{p0}:st:two:m", "position") or 0) < 3:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
    await connection.stop()
    await admin.aclose()
    provider.shutdown()
    traces: dict[int, list[tuple[str, object]]] = {}
    for span in exporter.get_finished_spans():
        assert span.context
        assert span.start_time
        assert span.end_time
        assert 0 < span.end_time - span.start_time < 10e9
        traces.setdefault(span.context.trace_id, []).append((span.name, (span.attributes or {})["utterance"]))
    assert sorted(map(sorted, traces.values())) == [
        [("one", "7"), ("two", "7")],
        [("one", "8.1"), ("one", "8.2"), ("two", "8.1"), ("two", "8.2")],
    ]


async def test_waiting_turns_show_in_the_gauges(redis_server: RedisServer) -> None:
    admin, done = connect(redis_server.url), asyncio.Event()
    await admin.flushall()
    connection = Connection(redis_server.url, MESH, [relay("one", done.wait)])
    await connection.start()
    stage, scripts = connection.stages[0], Scripts(admin)
    for number in range(6):
        stream = f"m{number}"
        letter = MESH.address("in", Said(stream=stream, until=0, utterance="1"), Record(stream=stream))
        assert await scripts.post(stream, "in", "*", "v1", Record(stream=stream), [letter])
    await asyncio.sleep(0.3)
    ready, oldest = await stage._waiting()
    done.set()
    await connection.stop()
    await admin.aclose()
    assert ready == 6
    assert 0.1 < oldest < 5


def test_the_busy_ratio_counts_turns_that_still_run() -> None:
    metrics = Metrics(CollectorRegistry())
    gauges = Gauges("one", 2, metrics)
    for lane in ("a~es", "a~ca"):
        gauges.begin(Token("one", lane, "1-0@"))
    gauges.tell(0, 0.0)
    time.sleep(0.05)
    gauges.tell(3, 0.5)

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"stage": "one"})

    assert 0.9 < (value("busy_ratio") or 0) < 1.01
    assert value("streams") == 1
    assert value("ready_tokens") == 3
    assert value("oldest_lag_seconds") == 0.5
    for lane in ("a~es", "a~ca"):
        gauges.end(Token("one", lane, "1-0@"))
    gauges._told -= 1
    gauges.tell(0, 0.0)
    assert (value("busy_ratio") or 0) < 0.1
