"""An engine that is paid by the question: each is asked once, whatever dies between the answer and the commit.

Answers lie in the object store, where every replica finds them, as `<stream>/answer-<ticks>-<hash>`. They go with the
window of their stream, as everything does whose name bears a media time.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from hashlib import sha256

from pydantic import TypeAdapter

from services.translator.engines import Failed, Pair, Source, Translator
from shared.audio import ticks
from shared.messages import Wording
from shared.store import Missing, Store

logger = logging.getLogger(__name__)

PATIENCE = 4.0
"""Seconds that a live sentence waits for its answer."""
REST = 10.0
"""Seconds for which an engine that does not answer is not asked."""
ANSWER: TypeAdapter[list[Wording]] = TypeAdapter(list[Wording])


class Paid:
    """Stands before an engine. What is answered too late for one attempt is there for the next."""

    def __init__(self, engine: Translator, store: Store, manner: str = "", *, patience: float = PATIENCE) -> None:
        """`manner`: what else the answers depend on, such as the formality."""
        self._engine, self._store, self._manner, self._patience = engine, store, manner, patience
        self._asked: dict[str, asyncio.Task[list[Wording]]] = {}

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def glossaries(self) -> bool:
        """The engine's."""
        return self._engine.glossaries

    @property
    def pairs(self) -> Collection[Pair]:
        """The engine's."""
        return self._engine.pairs

    async def start(self) -> None:
        """Make the engine ready."""
        await self._engine.start()

    async def stop(self) -> None:
        """Take in what is on its way, then end the engine."""
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=self._patience)
        await self._engine.stop()

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        """Wordings of each sentence; Failed where the engine cannot, or takes too long."""
        return [await self._answer(source, target) for source in batch]

    async def _answer(self, source: Source, target: str) -> list[Wording]:
        key = self._key(source, target)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._ask(key, source, target))
            self._asked[key].add_done_callback(lambda _: self._asked.pop(key))
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(self._asked[key])
        except TimeoutError as error:
            raise Failed(f"{self.name} does not answer", retryable=True, rest=REST) from error

    async def _ask(self, key: str, source: Source, target: str) -> list[Wording]:
        try:
            return ANSWER.validate_json(await self._store.get(key))
        except Missing:
            pass
        [wordings] = await self._engine.translate([source], target)
        try:
            await self._store.put(key, ANSWER.dump_json(wordings))
        except OSError as error:
            logger.warning("a paid answer cannot be kept", extra={"engine": self.name, "error": repr(error)})
        return wordings

    def _key(self, source: Source, target: str) -> str:
        told = repr((self.name, self._manner, source, target))
        return f"{source.stream}/answer-{ticks(source.start)}-{sha256(told.encode()).hexdigest()[:32]}"
