"""How busy replicas are, from their counters, and what would help."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from services.dashboard.busy import Load, Loads, Spent, advice, load, spent
from services.dashboard.service import Settings
from shared.bus.metrics import Metrics


def page(**seconds: float) -> str:
    metrics = Metrics(CollectorRegistry())
    for stage, value in seconds.items():
        metrics.slots.labels(stage).set(2)
        metrics.busy.labels(stage).inc(value)
    return generate_latest(metrics.registry).decode()


def test_a_page_of_metrics_says_what_each_stage_spent_but_a_source_nothing() -> None:
    assert spent(page(asr=3.5, downloader=9.0)) == {"asr": Spent(3.5, 2)}


@given(st.floats(0, 100), st.floats(0.1, 60), st.integers(1, 8))
def test_a_ratio_is_between_nothing_and_everything(used: float, passed: float, slots: int) -> None:
    (one,) = load("r", {"asr": Spent(5.0, slots)}, {"asr": Spent(5.0 + used, slots)}, passed)
    assert one.busy == pytest.approx(min(1.0, used / passed / slots), abs=1e-3)


def test_a_process_that_started_anew_says_nothing_until_it_is_asked_again() -> None:
    assert load("r", {"asr": Spent(5.0, 2)}, {"asr": Spent(1.0, 2)}, 5.0) == []
    assert load("r", {}, {"asr": Spent(1.0, 2)}, 5.0) == []


def loads(*ratios: float) -> list[Load]:
    return [Load(stage="asr", replica=str(number), busy=ratio, slots=2) for number, ratio in enumerate(ratios)]


@pytest.mark.parametrize(
    ("ratios", "streams", "expected"),
    [
        ([], 4, ""),
        ([0.95], 4, "2 replicas would clear it (1 run, 95% busy)."),
        ([1.0, 1.0], 9, "4 replicas would clear it (2 run, 100% busy)."),
        ([1.0], 1, "It is busy for 100% of its time: a faster engine or machine would clear it."),
        ([0.2], 4, "It is busy for 20% of its time only, so it waits for an engine, for Redis or for the store."),
    ],
)
def test_advice_follows_from_the_load(ratios: list[float], streams: int, expected: str) -> None:
    assert advice("asr", loads(*ratios), streams) == expected


async def test_replicas_are_asked_at_most_every_so_often_and_those_that_are_gone_are_left_out() -> None:
    now, asked = [100.0], list[str]()

    async def fetch(replica: str) -> str:
        asked.append(replica)
        if replica.endswith(":2"):
            raise OSError("gone")
        return page(asr=len(asked))

    found = Loads(["127.0.0.1:1", "127.0.0.1:2", "no.such.host.invalid:3", "nonsense"], 5.0, fetch, lambda: now[0])
    assert await found.now() == []
    now[0] += 4
    assert await found.now() == []
    assert sorted(asked) == ["127.0.0.1:1", "127.0.0.1:2"]
    now[0] += 4
    (one,) = await found.now()
    assert (one.stage, one.replica, one.slots) == ("asr", "127.0.0.1:1", 2)
    assert one.busy == pytest.approx(2 / 8 / 2, abs=1e-3)


def test_without_addresses_the_process_looks_at_itself() -> None:
    assert Settings(port=9000).addresses == ["127.0.0.1:9000"]
    assert Settings(metrics="asr:8080, tts:8080").addresses == ["asr:8080", "tts:8080"]
