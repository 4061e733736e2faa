"""What is started, what is killed, and what the meters say."""

import random
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from loadtest.costs import Cost
from loadtest.fleet import SINGLE, Fleet, Load, Spent, counted, program
from loadtest.processes import Processes, Worker
from shared.bus.metrics import Metrics

NOTHING: Any = None


class Victim:
    """A process that can be killed."""

    pid = 1

    def __init__(self) -> None:
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.returncode = -9


def test_replicas_have_labels_of_their_own() -> None:
    layout = Load(replicas={"asr": 3}).layout()
    assert [name for name, services in layout.items() if services == ("asr",)] == ["asr", "asr.2", "asr.3"]
    assert layout["sender"] == ("sender",)
    assert len(Load(together=True).layout()) == 1


def test_only_a_stage_with_a_cost_is_slowed_down() -> None:
    load = Load(costs={"asr": Cost(0.1)})
    assert program("asr", load) != program("sender", load) == "services"


@pytest.mark.parametrize("replicas", [2, 3])
async def test_a_third_is_killed_but_never_all_of_a_stage(replicas: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "cpu", lambda self: 1.0)
    layout = Load(replicas=dict.fromkeys(("downloader", "asr", "sender", "tts"), replicas)).layout()
    workers = [Worker(name, services, 0, cast("Any", Victim())) for name, services in layout.items()]
    for seed in range(20):
        for worker in workers:
            worker.process.returncode = None
        mesh = Fleet(Load(), Processes("", {}, Path(), list(workers)), NOTHING, NOTHING, NOTHING)
        before = Counter(worker.names[0] for worker in workers)
        killed = mesh.kill_third(random.Random(seed))
        left = Counter(worker.names[0] for worker in mesh.workers())
        await mesh.close()
        turns = sum(many for name, many in before.items() if name not in SINGLE)
        assert len(killed) == min(-(-turns // 3), sum(many - 1 for many in before.values()))
        assert set(left) == set(before)


def test_the_metrics_of_a_process_are_read() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.busy.labels("asr").inc(2.5)
    metrics.slots.labels("asr").set(8)
    metrics.turns.labels("asr").inc(3)
    metrics.lag_seconds.labels("asr").observe(0.5)
    metrics.turn_seconds.labels("asr", "handle").observe(1.5)
    metrics.turn_seconds.labels("asr", "begin").observe(9.0)
    assert counted(generate_latest(metrics.registry).decode()) == {"asr": Spent(2.5, 1.5, 8.0, 3.0, 0.5)}


def test_what_was_spent_before_does_not_count() -> None:
    assert Spent(3, 2, 8, 5, 1).since(Spent(1, 1, 8, 2, 0.5)) == Spent(2, 1, 8, 3, 0.5)
