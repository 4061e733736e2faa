"""Stages of one process on one Redis: FastStream for the life of it, our own client for the scripts."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from faststream import FastStream
from faststream.redis.subscriber.usecases import basic, stream_subscriber
from redis.exceptions import RedisError

from shared.bus.address import broker, connect
from shared.bus.errors import Misfit
from shared.bus.mesh import Mesh
from shared.bus.outside import OFFER_SECONDS, Bus
from shared.bus.scripts import Scripts
from shared.bus.service import Service
from shared.bus.stage import Stage

log = logging.getLogger(__name__)
SILENCE = 0.3
"""Seconds that FastStream waits after a lost connection; its own five would be a hole in every stream."""


class Connection:
    """From start to stop: the stages take turns, and their HTTP sides have the bus."""

    def __init__(self, url: str, mesh: Mesh, services: Sequence[Service], shards: int = 1) -> None:
        self._redis = connect(url)
        self._scripts, self._mesh, self._services = Scripts(self._redis, shards), mesh, services
        self._broker = broker(url)
        self._app = FastStream(self._broker, logger=None)
        self.stages: list[Stage] = []

    async def start(self) -> None:
        """Raises Misfit where a running mesh has another number of shards, OSError where Redis does not serve."""
        for module in (basic, stream_subscriber):
            setattr(module, "CONSUME_ERROR_BACKOFF_SECONDS", SILENCE)  # noqa: B010
        try:
            await self._agree()
        except RedisError as error:
            raise OSError(f"Redis does not serve ({error}): is it running where REDIS_URL says?") from error
        for service in self._services:
            service.bus = Bus(self._scripts, self._mesh, service.name)
            for hook in service.starting:
                await hook()
        self.stages = [service.stage(self._mesh) for service in self._services if service.is_stage]
        for stage in self.stages:
            stage.bind(self._scripts)
            stage.attach(self._broker)
            await stage.start()
        self._offers = asyncio.create_task(self._announce())
        await self._app.start()

    async def stop(self) -> None:
        self._offers.cancel()
        await self._app.stop()
        await asyncio.gather(*(stage.stop() for stage in self.stages))
        with suppress(RedisError):
            for service in self._services:
                await service.bus.withdraw(service.name, self._replica)
        for service in self._services:
            for hook in service.stopping:
                await hook()
        await self._redis.aclose()

    @property
    def alive(self) -> bool:
        """The keepers of all stages have worked in the last seconds."""
        return all(monotonic() - stage.ticked < 5 for stage in self.stages)

    async def ready(self) -> bool:
        """Redis answers."""
        try:
            return bool(await self._redis.ping())
        except RedisError:
            return False

    @property
    def _replica(self) -> str:
        return self.stages[0].replica if self.stages else ""

    async def _agree(self) -> None:
        key, shards = f"{self._scripts.tags[0]}:mesh", len(self._scripts.tags)
        table = self._mesh.table()
        await self._redis.hsetnx(key, "shards", str(shards))
        await self._redis.hsetnx(key, "table", " ".join(table))
        found: Any = await self._redis.hmget(key, ["shards", "table"])
        if int(found[0]) != shards:
            raise Misfit(
                f"BUS_SHARDS is {shards} here and {int(found[0])} in the running mesh: set it alike everywhere, "
                "or stop all services and delete the key " + key
            )
        running = set(found[1].decode().split())
        if missing := sorted(running - set(table)):
            raise Misfit(
                f"this release knows nothing of {', '.join(missing)}, which the running mesh has: start the release "
                "that the mesh runs, or stop all services and delete the key " + key
            )
        await self._redis.hset(key, "table", " ".join(table))

    async def _announce(self) -> None:
        while True:
            try:
                for service in self._services:
                    if service.offered:
                        await service.bus.announce(service.name, self._replica, service.offered)
            except RedisError as error:
                log.warning("cannot announce offers", extra={"error": repr(error)})
            await asyncio.sleep(OFFER_SECONDS / 3)
