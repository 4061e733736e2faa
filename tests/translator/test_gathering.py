"""One batch for all lanes."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from services.translator.engines.gathering import LARGEST, Gatherer


async def test_what_is_asked_at_once_is_one_batch_and_everyone_gets_their_own_answer() -> None:
    batches: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        return [2 * item for item in items]

    gatherer = Gatherer(work)
    assert await asyncio.gather(*map(gatherer.ask, range(100))) == [2 * item for item in range(100)]
    assert batches == [LARGEST, 100 - LARGEST]


async def test_while_one_batch_runs_the_next_collects() -> None:
    going, batches = threading.Event(), list[list[str]]()

    def work(items: Sequence[str]) -> Sequence[str]:
        batches.append(list(items))
        going.wait(5)
        return items

    gatherer = Gatherer(work, wait=0.0)
    first = asyncio.create_task(gatherer.ask("a"))
    while not batches:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(gatherer.ask(item)) for item in "bcd"]
    await asyncio.sleep(0)
    going.set()
    assert await asyncio.gather(first, *others) == list("abcd")
    assert batches == [["a"], ["b", "c", "d"]]


async def test_a_batch_that_fails_fails_for_all_in_it_and_not_for_the_next() -> None:
    def work(items: Sequence[int]) -> list[float]:
        return [1 / item for item in items]

    gatherer = Gatherer(work)
    found = await asyncio.gather(gatherer.ask(1), gatherer.ask(0), return_exceptions=True)
    assert [type(each) for each in found] == [ZeroDivisionError] * 2
    assert await gatherer.ask(2) == 0.5


async def test_somebody_who_stops_waiting_does_not_disturb_the_others() -> None:
    gatherer: Gatherer[int, int] = Gatherer(list)
    gone = asyncio.create_task(gatherer.ask(1))
    stays = asyncio.create_task(gatherer.ask(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 2
    with pytest.raises(asyncio.CancelledError):
        await gone
