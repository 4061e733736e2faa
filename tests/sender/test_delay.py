"""A delay that changes while a stream runs: the seal waits or jumps, and nothing is lost or published twice."""

import pytest

from shared.audio import BASE, TICKS
from shared.store import open_store
from tests.sender.source import segment
from tests.sender.test_service import STREAM, Stage, head, stage


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    open_store.cache_clear()


async def ran(sender: Stage, first: int, last: int) -> list[int]:
    """Segments captured from `first` up to `last`, each told at once; returns how many are published after each."""
    counts = []
    for index in range(first, last):
        await sender.say(await segment(sender.store, STREAM, index), head(12.0 + 2 * index))
        counts.append(len(sender.rows))
    return counts


async def test_a_longer_delay_lets_the_seal_wait_and_a_shorter_one_lets_it_jump() -> None:
    sender = stage(delay=4.0)
    assert await ran(sender, 0, 6) == [0, 0, 1, 2, 3, 4]
    sender.bus.entry = sender.bus.entry.model_copy(update={"delay": 8.0})
    assert await ran(sender, 6, 10) == [4, 4, 5, 6]
    sender.bus.entry = sender.bus.entry.model_copy(update={"delay": 4.0})
    assert await ran(sender, 10, 12) == [9, 10]
    assert [row.number for row in sender.rows] == list(range(10))
    assert [row.start for row in sender.rows] == [BASE + number * 2 * TICKS for number in range(10)]
    assert not any(row.slate or row.discontinuity for row in sender.rows)
