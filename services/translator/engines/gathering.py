"""One batch for all lanes: what is asked within some milliseconds goes to the model together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

WAIT = 0.01
"""Seconds that the first to ask waits for others."""
LARGEST = 64
"""Items that go to the model at once."""


class Gatherer(Generic[Item, Answer]):
    """Stands before a model that answers a batch faster than its items; while one batch runs, the next collects."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer]], *, wait: float = WAIT) -> None:
        self._work, self._wait = work, wait
        self._asked: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Answer:
        """The answer to an item, computed off the loop; raises what the work raises for its batch."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        await asyncio.sleep(self._wait)
        while self._asked:
            batch, self._asked = self._asked[:LARGEST], self._asked[LARGEST:]
            try:
                answers = await asyncio.to_thread(self._work, [item for item, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
