"""A short run of the load test: one live stream through all services, measured from outside."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from loadtest import streams
from loadtest.fleet import FOLLOWED, Reading, Spent
from loadtest.published import Edge, Entry, Listed
from loadtest.streams import Step, arguments, calmed, load_of, spent


@pytest.mark.slow
def test_a_stream_keeps_its_delay_and_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SETTLED", 1.0)
    file = tmp_path / "streams.json"
    options = ["--streams", "1", "--seconds", "4.5", "--delay", "2", "--together", "--json", str(file)]
    # Whether the contract is kept depends on the machine, which may be busy.
    streams.main(options)
    found = json.loads(file.read_text())["figures"]
    assert found["segments"] >= 1
    assert 2.0 <= found["delay_mean_s"] < 12.0
    assert (found["lost"], found["doubled"], found["disordered"]) == (0, 0, 0)
    assert found["utterances"] >= 1
    assert 0 < found["cpu_per_stream"] < 1
    assert found["rss_mb"] > 50
    assert found["cost.sender"] > 0
    assert found["dashboard.utterances"] >= found["utterances"] - 1


def test_replicas_are_as_many_as_asked_for_and_enough_for_the_sources() -> None:
    table = ""
    load = load_of(arguments(["--streams", str(FOLLOWED + 1), "--replicas", "asr=3"]), table)
    assert (load.replicas["asr"], load.replicas["sender"], load.replicas["downloader"]) == (3, 1, 2)
    load = load_of(arguments(["--kill-third"]), table)
    assert (load.replicas["asr"], load.replicas["ingest"]) == (2, 1)
    with pytest.raises(ValueError, match="mixer"):
        load_of(arguments(["--replicas", "mixer=2"]), table)


def test_cpu_and_busy_time_are_told_a_second_and_a_stream() -> None:
    redis = {"cpu": 1.0, "commands": 100, "bytes": 2e6, "sent": 0, "received": 0, "keys": 1}
    before = Reading(100.0, {"asr": 1.0}, {"asr": 80.0}, 5, {"asr": Spent(busy=1.0, slots=8)}, redis, 0.0, 0.0)
    later = redis | {"cpu": 1.5, "commands": 1100}
    after = Reading(110.0, {"asr": 3.0}, {"asr": 90.0}, 5, {"asr": Spent(busy=3.0, slots=8)}, later, 1.0, 1.0)
    step = Step(2, before, after, {}, [])
    found = spent(step)
    assert step.busy() == {"asr": 0.2}
    assert found["cpu_per_stream"] == pytest.approx((2.0 + 0.5) / 10 / 2)
    assert found["around_cpu_per_stream"] == pytest.approx(0.1)
    assert found["redis_commands_per_s"] == 50


@pytest.mark.parametrize(("delay", "waits"), [(12.5, False), (14.0, True)])
async def test_what_a_load_left_behind_is_waited_for(
    delay: float, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "START", 1.5)
    now = time.time()
    listed = [Listed(now + 1, Entry(number, now + 1 - late - 2.0, 2.0)) for number, late in enumerate((12.0, delay))]
    mesh: Any = SimpleNamespace(streams=[SimpleNamespace(edge=Edge(listed=[each])) for each in listed])
    slept, really = list[float](), asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await really(0.3)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await calmed(mesh, 12.0)
    assert (slept[-1] == 1.0) == waits


@pytest.mark.slow
def test_what_a_measure_has_started_ends_with_it() -> None:
    measure = psutil.Popen([sys.executable, "-m", "loadtest", "streams", "--together"], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while len(started := measure.children(recursive=True)) < 3 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(started) >= 3, "Redis, the origins and the services"
    measure.terminate()
    _, alive = psutil.wait_procs([measure, *started], timeout=20)
    for process in alive:
        process.kill()
    assert not alive
