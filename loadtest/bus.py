"""What a hop costs: turns, a plain FastStream subscriber that reads, publishes and acknowledges, and raw redis-py.

Every stream sends 5 messages a second (JSON of about 300 bytes). The consumer reads one, keeps 500 bytes of state
(turns only) and sends one on. It has this process for itself, the producer another. All run in turn, in one call.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from statistics import median
from typing import Any

import uvloop
from faststream import AckPolicy
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.parser import BinaryMessageFormatV1
from redis.asyncio import Redis

from loadtest.redis_server import RedisServer
from loadtest.report import parser, tell
from shared.bus import Connection, Limits, Mesh, Service, State, Step
from shared.bus.address import connect
from shared.bus.scripts import FOLDER, Scripts
from shared.messages import Message

RATE = 5
HOPS = 7


class Hop(Message):
    sent: float
    text: str = "x" * 220


class Talk(State):
    count: int = 0
    history: str = "y" * 500


class Meter:
    """Delays of one run, and the CPU that client and Redis spent on it."""

    def __init__(self, redis: Redis, total: int) -> None:
        self.redis, self.total, self.delays, self.done = redis, total, list[float](), asyncio.Event()

    def count(self, sent: float) -> None:
        self.delays.append(time.time() - sent)
        if len(self.delays) >= self.total:
            self.done.set()

    async def spent(self) -> tuple[float, float]:
        mine, theirs = resource.getrusage(resource.RUSAGE_SELF), await self.redis.info("cpu")
        return mine.ru_utime + mine.ru_stime, theirs["used_cpu_user"] + theirs["used_cpu_sys"]

    async def measure(self, seconds: float, feed: Callable[[], Awaitable[None]]) -> dict[str, float]:
        """p50 and p99 in ms; CPU of client and Redis in us a message."""
        before = await self.spent()
        await feed()
        await asyncio.wait_for(self.done.wait(), seconds + 30)
        await asyncio.sleep(0.2)
        client, redis = (after - was for was, after in zip(before, await self.spent(), strict=True))
        count, ordered = len(self.delays), sorted(self.delays)
        sys.stderr.write(f"{count} messages, client {client / count * 1e6:.0f} us each\n")
        return {
            "p50_ms": ordered[count // 2] * 1000,
            "p99_ms": ordered[int(count * 0.99)] * 1000,
            "client_us": client / count * 1e6,
            "redis_us": redis / count * 1e6,
        }


def line(*names: str) -> Mesh:
    """A mesh of these stages, each of which hands on what it gets."""
    return Mesh(*(Step(name, consumes=(Hop,), produces=(Hop,)) for name in names), Step("sink", consumes=(Hop,)))


async def produce(url: str, kind: str, streams: int, total: int, rate: float) -> None:
    """Evenly paced, in many small pipelines."""
    redis = connect(url)
    scripts = Scripts(redis)
    script = await redis.script_load((FOLDER / "lib.lua").read_text() + "deliver(1, 'in', 'bench')")
    sent, begun = 0, time.perf_counter()
    while sent < total:
        due = min(total, int((time.perf_counter() - begun) * rate), sent + 64)
        pipeline = redis.pipeline(transaction=False)
        for number in range(sent, due):
            stream = f"m{number % streams}"
            body = Hop(stream=stream, until=number, sent=time.time()).model_dump_json().encode()
            if kind == "turns":
                pipeline.evalsha(script, 1, scripts.tag(stream), "Hop", body, 1, "stage1", stream)
            elif kind == "plain":
                data = await BinaryMessageFormatV1.encode(message=body, reply_to=None, headers={}, correlation_id="c")
                pipeline.xadd("in", {"__data__": data})
            else:
                pipeline.xadd("in", {"body": body})
        if due > sent:
            await pipeline.execute()
        sent = due
        await asyncio.sleep(0.001)
    await redis.aclose()


def producer(url: str, kind: str, streams: int, total: int, rate: float) -> Callable[[], Awaitable[None]]:
    async def feed() -> None:
        numbers = map(str, (streams, total, rate))
        await asyncio.create_subprocess_exec(sys.executable, "-m", "loadtest.bus", "produce", url, kind, *numbers)

    return feed


async def plain(url: str, rate: float, total: int) -> dict[str, float]:
    """A FastStream subscriber without order, state or exactly-once."""
    redis, broker = connect(url), RedisBroker(url, logger=None)  # type: ignore[arg-type]
    await redis.flushall()
    await redis.xgroup_create("in", "group", "0", mkstream=True)
    meter = Meter(redis, total)
    queue = StreamSub("in", group="group", consumer="me", max_records=64, polling_interval=1000)

    @broker.subscriber(stream=queue, ack_policy=AckPolicy.ACK)
    async def handle(hop: Hop) -> None:
        meter.count(hop.sent)
        await broker.publish(hop, stream="out", maxlen=10_000)

    await broker.start()
    found = await meter.measure(total / rate, producer(url, "plain", max(1, int(rate / RATE)), total, rate))
    await broker.stop()
    await redis.aclose()
    return found


async def raw(url: str, rate: float, total: int) -> dict[str, float]:
    """redis-py alone: XREADGROUP, XADD and XACK in one pipeline for all that was read."""
    redis = connect(url)
    await redis.flushall()
    await redis.xgroup_create("in", "group", "0", mkstream=True)
    meter = Meter(redis, total)

    async def consume() -> None:
        while not meter.done.is_set():
            found: Any = await redis.xreadgroup("group", "me", {"in": ">"}, count=64, block=1000)
            for _, entries in found or ():
                pipeline = redis.pipeline(transaction=False)
                for name, fields in entries:
                    hop = Hop.model_validate_json(fields[b"body"])
                    meter.count(hop.sent)
                    pipeline.xadd("out", {"body": hop.model_dump_json()}, maxlen=10_000)
                    pipeline.xack("in", "group", name)
                await pipeline.execute()

    task = asyncio.create_task(consume())
    found = await meter.measure(total / rate, producer(url, "raw", max(1, int(rate / RATE)), total, rate))
    await task
    await redis.aclose()
    return found


async def turns(url: str, rate: float, total: int, hops: int = 1) -> dict[str, float]:
    """Turns with 500 bytes of state; with several hops each message travels through as many stages."""
    redis = connect(url)
    await redis.flushall()
    meter, names = Meter(redis, total), [f"stage{number}" for number in range(1, hops + 1)]
    mesh = line(*names)
    services = [hop(name, meter if name == names[-1] else None) for name in names]
    connection = Connection(url, mesh, services)
    await connection.start()
    found = await meter.measure(total / rate, producer(url, "turns", max(1, int(rate / RATE)), total, rate))
    await connection.stop()
    await redis.aclose()
    return found


def hop(name: str, meter: Meter | None) -> Service:
    service = Service(name, Limits(slots=8))

    @service.on(Hop, state=Talk)
    async def handle(message: Hop, state: Talk) -> AsyncIterator[Hop]:
        if meter:
            meter.count(message.sent)
        state.count += 1
        yield message

    return service


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Medians over the rounds; the ratios are taken round by round."""
    rounds: list[dict[str, float]] = []
    with RedisServer("--appendfsync", "everysec") as server:
        for _ in range(options.rounds):
            found: dict[str, float] = {}
            for rate in options.rates:
                for kind in (plain, turns, raw):
                    figures = await kind(server.url, rate, int(rate * options.seconds))
                    found |= {f"{kind.__name__}.{rate}.{key}": value for key, value in figures.items()}
            for kind in (plain, turns):
                figures = await kind(server.url, 20_000, 12_000)
                found |= {f"{kind.__name__}.loaded.{key}": value for key, value in figures.items()}
            seven = await turns(server.url, 50, int(50 * options.seconds), HOPS)
            found |= {f"hops7_{key}": seven[key] for key in ("p50_ms", "p99_ms")}
            if 500 in options.rates:
                found["cpu_ratio_500"] = found["turns.500.client_us"] / found["plain.500.client_us"]
                found["redis_us_per_message"] = found["turns.500.redis_us"]
            found["cpu_ratio_loaded"] = found["turns.loaded.client_us"] / found["plain.loaded.client_us"]
            rounds.append(found)
    return {key: median(each[key] for each in rounds) for key in rounds[0]}


def main(argv: Sequence[str]) -> int:
    found = parser("bus", __doc__)
    found.add_argument("--rates", type=int, nargs="+", default=[50, 250, 500, 1000], help="messages a second")
    found.add_argument("--seconds", type=float, default=5, help="of each run")
    found.add_argument("--rounds", type=int, default=1)
    options = found.parse_args(argv)
    tell("bus", uvloop.run(measure(options)), options)
    return 0


if __name__ == "__main__" and sys.argv[1:2] == ["produce"]:
    _, _, *words = sys.argv
    uvloop.run(produce(words[0], words[1], int(words[2]), int(words[3]), float(words[4])))
