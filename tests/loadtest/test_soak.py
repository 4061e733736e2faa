"""What grows is found, and what does not is not."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadtest.fleet import Load, Reading
from loadtest.published import Edge, Entry, Listed
from loadtest.redis_server import RedisServer
from loadtest.soak import Diary, Turnover, behind, hurry, main
from shared.bus.address import connect


def reading(hours: float) -> Reading:
    """A mesh whose sender leaks 10 MB an hour and whose Redis gains 5 keys."""
    redis = {"bytes": 1e6, "keys": 100 + 5 * hours}
    return Reading(0.0, {}, {"asr": 80.0, "sender": 100 + 10 * hours}, 50, {}, redis, 0.0, 0.0)


def test_a_leak_has_a_slope_and_a_name() -> None:
    diary = Diary()
    for step in range(20):
        diary.write(step / 10, reading(step / 10), 12.5)
    found = diary.figures()
    assert found["rss_mb_per_h"] == pytest.approx(10)
    assert found["rss_mb_per_h.sender"] == pytest.approx(10)
    assert found["rss_mb_per_h.asr"] == pytest.approx(0)
    assert found["keys_per_h"] == pytest.approx(5)
    assert found["delay_s_per_h"] == pytest.approx(0)
    assert found["redis_kb_per_h"] == pytest.approx(0)


def test_delay_is_told_in_media_seconds() -> None:
    mesh = cast("Any", SimpleNamespace(load=Load(speed=6.0), epoch=1000.0))
    assert behind(mesh, [Listed(1010.0, Entry(0, 1046.0, 2.0))]) == pytest.approx(12.0)


async def test_time_passes_faster_for_keys_that_expire_and_for_no_others(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    await redis.set("soak:short", "1", px=5000)
    await redis.set("soak:long", "1", px=90_000)
    await redis.set("soak:kept", "1")
    await hurry(cast("Any", SimpleNamespace(redis=redis)), 30.0)
    left = [await redis.pttl(f"soak:{name}") for name in ("short", "long", "kept")]
    await redis.delete("soak:short", "soak:long", "soak:kept")
    await redis.aclose()
    assert 0 < left[0] <= 1000
    assert 50_000 < left[1] <= 60_000
    assert left[2] == -1


async def test_streams_end_one_after_the_other_and_are_replaced() -> None:
    class Mesh:
        def __init__(self) -> None:
            self.names = iter(range(100))
            self.streams: list[Any] = []

        async def add(self, many: int, audited: bool) -> None:
            self.streams += [SimpleNamespace(name=str(next(self.names)), edge=Edge()) for _ in range(many)]

        async def drop(self, streams: list[Any]) -> None:
            self.streams = [stream for stream in self.streams if stream not in streams]

    mesh = Mesh()
    await mesh.add(3, audited=False)
    turnover = Turnover(cast("Any", mesh), 30.0, 0.0)
    seen = []
    for now in range(0, 61, 5):
        await turnover.look(float(now))
        seen.append([stream.name for stream in mesh.streams])
        await asyncio.sleep(0)
    assert seen[1] == ["0", "1", "2"]
    assert seen[2] == ["1", "2", "3"]
    assert seen[-1] == ["6", "7", "8"]
    assert turnover.ended == 6


def test_states_do_not_grow_with_the_minutes(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    assert main(["--virtual", "--hours", "0.03", "--json", str(file)]) == 0
    found = json.loads(file.read_text())["figures"]
    assert 0.5 < found["state_kb.last"] < 16
    assert found["state_kb.asr_per_h"] == pytest.approx(0, abs=0.5)
    assert found["files_per_h"] <= found["files_per_h.error"] + 5
