"""Messages that were put aside: look at them, send them again as new mail, or drop them."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from shared.bus.mesh import Mesh
from shared.bus.scripts import Scripts


class DeadLetter(NamedTuple):
    """A message that a stage could not handle; `id` names it together with its shard and stage."""

    shard: int
    stage: str
    id: str
    lane: str
    kind: str
    error: str
    body: str

    @property
    def name(self) -> str:
        """As operators write it."""
        return f"{self.shard}/{self.stage}/{self.id}"


class DeadLetters:
    def __init__(self, scripts: Scripts, mesh: Mesh) -> None:
        self._scripts, self._mesh = scripts, mesh

    async def all(self) -> AsyncIterator[DeadLetter]:
        """Every dead letter, stage by stage, oldest first."""
        for shard, tag in enumerate(self._scripts.tags):
            for stage in self._mesh.steps:
                entries: Any = await self._scripts.redis.xrange(f"{tag}:dlq:{stage}")
                for name, fields in entries:
                    texts = (fields[key].decode() for key in (b"lane", b"type", b"error", b"body"))
                    yield DeadLetter(shard, stage, name.decode(), *texts)

    async def replay(self, name: str) -> bool:
        """Send one again; False where there is none of this name."""
        shard, stage, letter = _parts(name)
        return await self._scripts.replay(self._scripts.tags[shard], stage, letter)

    async def drop(self, name: str) -> bool:
        """Forget one; False where there is none of this name."""
        shard, stage, letter = _parts(name)
        return bool(await self._scripts.redis.xdel(f"{self._scripts.tags[shard]}:dlq:{stage}", letter))


def _parts(name: str) -> tuple[int, str, str]:
    shard, stage, letter = name.split("/")
    return int(shard), stage, letter
