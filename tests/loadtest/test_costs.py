"""Stages that take as long as real engines."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from loadtest.costs import Cost, Till, paid, parsed, spend
from shared.bus import Context
from shared.bus.turn import State
from shared.messages import AudioChunk, Message, Progress, Speech, Take

CHUNK = AudioChunk(stream="m", until=12.0, start=11.0, end=12.0, captured_at=0.0)
NOWHERE: Any = None


class Ledger(Till):
    """Counts what is paid."""

    def __init__(self) -> None:
        super().__init__(Cost(0.0))
        self.units: list[float] = []

    async def pay(self, units: float) -> None:
        self.units.append(units)


def test_costs_are_named_by_engine_or_by_service() -> None:
    found = parsed(["vits:wait", "asr=0.5:wait:3", "translator=0.1:2"])
    assert found == {"tts": Cost(0.19, True), "asr": Cost(0.5, True, 3), "translator": Cost(0.1, False, 2)}
    for wrong in ("gpt", "sender=1", "asr=much"):
        with pytest.raises(ValueError, match=r"cost|float"):
            parsed([wrong])


def test_burnt_time_is_cpu_time_and_waited_time_is_not() -> None:
    before, began = time.thread_time(), time.perf_counter()
    spend(0.05, waits=False)
    assert time.thread_time() - before >= 0.05
    before = time.thread_time()
    spend(0.05, waits=True)
    assert time.thread_time() - before < 0.02
    assert time.perf_counter() - began >= 0.1


async def test_an_engine_serves_no_more_calls_at_once_than_it_has_workers() -> None:
    till, began = Till(Cost(0.05, waits=True, workers=2)), time.perf_counter()
    await asyncio.gather(*(till.pay(1.0) for _ in range(4)))
    assert 0.1 <= time.perf_counter() - began < 0.2


@pytest.mark.parametrize(
    ("stage", "message", "outputs", "units"),
    [
        ("asr", CHUNK, [], 1.0),
        ("asr", Progress(stream="m", until=1), [], 0.0),
        (
            "voice",
            Progress(stream="m", until=1),
            [
                Speech(
                    stream="m",
                    until=1,
                    language="es",
                    utterance="1",
                    start=0,
                    end=1,
                    speaker=0,
                    voice="v",
                    takes=(Take(wording=0, text="a", duration=1.5, audio="m/a"),),
                )
            ],
            1.5,
        ),
    ],
)
async def test_a_stage_pays_for_what_its_engine_would_do(
    stage: str, message: Message, outputs: list[Message], units: float
) -> None:
    async def handler(message: Message, state: State, context: Context) -> AsyncGenerator[Message, None]:
        for output in outputs:
            yield output

    till = Ledger()
    told = [output async for output in paid(stage, handler, till)(message, State(), NOWHERE)]
    assert told == outputs
    assert sum(till.units) == units
