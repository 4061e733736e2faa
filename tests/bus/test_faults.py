"""A Redis that fails under running stages: they come back by themselves, and nothing is lost or doubled."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.redis_server import RedisServer, free_port
from shared.bus import Connection, Limits, Mesh, Service, State, Step
from shared.bus.address import address, connect, credentials, master, sentinels
from shared.bus.mesh import Letter
from shared.bus.scripts import Scripts
from shared.context import Record
from shared.messages import Message


class Step1(Message):
    number: int


MESH = Mesh(
    Step("in", produces=(Step1,)),
    Step("one", consumes=(Step1,), produces=(Step1,)),
    Step("two", consumes=(Step1,), produces=(Step1,)),
)
Fault = Callable[[RedisServer, Any], Awaitable[None]]


class Count(State):
    count: int = 0


def counter(name: str) -> Service:
    """Passes everything on, and counts."""
    service = Service(name, Limits(idle_ms=400))

    @service.on(Step1, state=Count)
    async def handle(message: Step1, state: Count) -> AsyncIterator[Step1]:
        assert message.number == state.count, "the state and the mail belong together"
        state.count += 1
        yield message

    return service


async def say(scripts: Scripts, stream: str, number: int) -> None:
    body = Step1(stream=stream, until=number, number=number).model_dump_json().encode()
    letter = Letter("Step1", body, (("one", stream),))
    assert await scripts.post(stream, "in", "*", f"v{number}", Record(stream=stream), [letter])


async def arrive(scripts: Scripts, streams: list[str], count: int) -> None:
    """Wait until stage two has committed `count` messages of each stream."""

    async def position(stream: str) -> int:
        return int(await scripts.redis.hget(f"{scripts.tag(stream)}:st:two:{stream}", "position") or 0)

    end = time.monotonic() + 20
    while [await position(stream) for stream in streams] != [count] * len(streams):
        assert time.monotonic() < end, "the mesh did not come back"
        await asyncio.sleep(0.05)


async def said(scripts: Scripts, stream: str) -> list[bytes]:
    """Bodies of what stage two has said, in order."""
    entries: Any = await scripts.redis.xrange(f"{scripts.tag(stream)}:ev:{stream}")
    return [fields[b"body"] for _, fields in entries if fields[b"stage"] == b"two"]


async def connection_loss(server: RedisServer, admin: Any) -> None:
    for _ in range(5):
        await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.1)


async def demotion(server: RedisServer, admin: Any) -> None:
    await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(1)
    await admin.execute_command("REPLICAOF", "NO", "ONE")


async def restart(server: RedisServer, admin: Any) -> None:
    server.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.start)


@pytest.mark.parametrize("fault", [connection_loss, demotion, restart])
async def test_stages_come_back_by_themselves(fault: Fault) -> None:
    with RedisServer("--appendfsync", "always") as server:
        admin = connect(server.url)
        scripts = Scripts(admin)
        connection = Connection(server.url, MESH, [counter("one"), counter("two")])
        await connection.start()
        for number in range(10):
            await say(scripts, "m", number)
        await asyncio.sleep(0.05)
        before = await admin.info("commandstats") if fault is demotion else {}
        await fault(server, admin)
        after = await admin.info("commandstats") if fault is demotion else {}
        for number in range(10, 20):
            await say(scripts, "m", number)
        await arrive(scripts, ["m"], 20)
        numbers = [Step1.model_validate_json(body).number for body in await said(scripts, "m")]
        await connection.stop()
        await admin.aclose()
    assert numbers == list(range(20))
    assert refused(after) - refused(before) < 300, "a read-only Redis is asked again with a pause"


def refused(stats: dict[str, dict[str, int]]) -> int:
    return sum(found.get("rejected_calls", 0) + found.get("failed_calls", 0) for found in stats.values())


@pytest.fixture
def cluster() -> Iterator[str]:
    """URL of a cluster of three masters."""
    folders, servers, ports = [], [], [free_port() for _ in range(3)]
    for port in ports:
        folders.append(tempfile.mkdtemp(prefix="dragoman-cluster-"))
        words = f"--port {port} --bind 127.0.0.1 --cluster-enabled yes --cluster-port {free_port()} --dir {folders[-1]}"
        command = ["redis-server", *words.split(), "--save", ""]
        servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True))
    try:
        form(ports)
        yield f"redis+cluster://127.0.0.1:{ports[0]}/0"
    finally:
        for server in servers:
            server.kill()
            server.wait()
        for folder in folders:
            shutil.rmtree(Path(folder))


def form(ports: list[int]) -> None:
    """Make one cluster of these servers; raises where that takes too long."""
    nodes = [f"127.0.0.1:{port}" for port in ports]
    for port in ports:
        ask(port, "PING")
    create = ["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "0", "--cluster-yes"]
    subprocess.run(create, check=True, stdout=subprocess.DEVNULL, timeout=30)
    end = time.monotonic() + 20
    while any("cluster_state:ok" not in ask(port, "CLUSTER", "INFO") for port in ports):
        assert time.monotonic() < end, "the cluster did not form"
        time.sleep(0.1)


def ask(port: int, *words: str) -> str:
    for _ in range(100):
        found = subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout
        time.sleep(0.05)
    raise AssertionError("redis-server does not answer")


async def test_streams_spread_over_a_cluster_of_three_masters(cluster: str) -> None:
    streams = [f"m{number}" for number in range(12)]
    connection = Connection(cluster, MESH, [counter("one"), counter("two")], shards=6)
    await connection.start()
    scripts = connection._scripts
    for number in range(5):
        for stream in streams:
            await say(scripts, stream, number)
    await arrive(scripts, streams, 5)
    spoken = {
        stream: [Step1.model_validate_json(body).number for body in await said(scripts, stream)] for stream in streams
    }
    await connection.stop()
    assert spoken == {stream: list(range(5)) for stream in streams}


def test_addresses_name_the_kind_of_redis() -> None:
    assert address("rediss://:secret@host:6379/0") == ("", "rediss://:secret@host:6379/0")
    assert address("redis+cluster://host:7000") == ("cluster", "redis://host:7000")
    assert sentinels("redis://:secret@one:26379,two/main") == [("one", 26379), ("two", 26379)]
    assert credentials("rediss://me:a%2Fb@one,two/main") == {"username": "me", "password": "a/b", "ssl": True}
    assert master("redis://one:26379/main") == "main"
    with pytest.raises(ValueError, match="REDIS_URL starts with"):
        address("http://host")
