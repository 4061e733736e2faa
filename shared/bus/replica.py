"""A replica of a stage: it reads turn tokens, keeps its turns alive, and looks after turns that others abandoned."""

import asyncio
import logging
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

from faststream import AckPolicy
from faststream.redis import RedisBroker, RedisStreamMessage, StreamSub
from redis.exceptions import RedisError, ResponseError

from shared.bus.metrics import Gauges, Metrics
from shared.bus.scripts import Scripts
from shared.bus.turn import Token, Turn

log = logging.getLogger(__name__)
HEAL_SECONDS = 60


@dataclass(frozen=True)
class Limits:
    slots: int = 8
    """Turns at a time; of a source: streams."""
    batch: int = 8
    """Messages a turn."""
    attempts: int = 5
    """Turns that may fail on a message before it is put aside."""
    idle_ms: int = 1500
    """Silence after which a turn is given to another replica; longer than the event loop is ever blocked."""
    steal_ms: int = 100
    """How long a token waits for the replica that is warm for its lane."""
    grace: float = 10.0
    """Seconds that running turns get when the process stops."""
    warm: int = 1000
    """Lanes whose state is kept in RAM."""
    fetch: int = 1
    """Tokens read at once."""


class Replica(ABC):
    def __init__(self, name: str, limits: Limits, metrics: Metrics) -> None:
        self.name, self.limits, self.metrics = name, limits, metrics
        self.replica = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
        self.held: dict[Token, Turn] = {}
        """The turns to keep alive."""
        self.ticked = monotonic()
        """When the keeper last looked after the turns."""
        self._slots = asyncio.Semaphore(limits.slots)
        self._tasks: dict[Token, asyncio.Task[None]] = {}
        self._gauges = Gauges(name, limits.slots, metrics)

    @abstractmethod
    async def take(self, token: Token) -> None:
        """Take one turn, from BEGIN to COMMIT."""

    async def notice(self, turn: Turn) -> None:  # noqa: B027
        """There is mail that the turn has not seen: an ordinary turn leaves it to the next."""

    def bind(self, scripts: Scripts) -> None:
        """Say where Redis is, before anything else."""
        self.scripts = scripts

    def attach(self, broker: RedisBroker) -> None:
        """Read the ready queue of the stage and the replica's own."""
        for queue, owner in self._queues():
            source = StreamSub(
                queue,
                group=self.name,
                consumer=self.replica,
                max_records=self.limits.fetch,
                polling_interval=1000,
            )
            subscriber = broker.subscriber(stream=source, ack_policy=AckPolicy.MANUAL, decoder=self._decoder(owner))
            subscriber(self._on_token)

    async def start(self) -> None:
        """Before the broker starts: FastStream would create the groups at the end and lose what waits."""
        await self._create_groups()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """After the broker has stopped: let running turns end, then hand back what is left."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self.limits.grace)
        tasks = {self._keeper, *self._tasks.values()}
        while tasks:  # again and again: a task was seen to survive one cancellation among 600 that share 64 connections
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=0.5)
        with suppress(RedisError):
            for tag in self.scripts.tags:
                await self.scripts.leave(tag, self.name, self.replica)

    def _queues(self) -> list[tuple[str, str]]:
        shared = [(f"{tag}:rdy:{self.name}", "") for tag in self.scripts.tags]
        return shared + [(f"{queue}@{self.replica}", self.replica) for queue, _ in shared]

    async def _create_groups(self) -> None:
        for queue, _ in self._queues():
            with suppress(ResponseError):  # the group exists
                await self.scripts.redis.xgroup_create(queue, self.name, id="0", mkstream=True)

    def _decoder(self, owner: str) -> Callable[[RedisStreamMessage], Awaitable[Token]]:
        async def token(message: RedisStreamMessage) -> Token:
            entry = message.raw_message["message_ids"][0].decode()
            return Token(self.name, message.body.decode(), f"{entry}@{owner}")

        return token

    async def _on_token(self, token: Token) -> None:
        await self._slots.acquire()
        self._gauges.begin(token)
        self._tasks[token] = task = asyncio.create_task(self.take(token))
        task.add_done_callback(lambda task: self._done(token, task))

    def _done(self, token: Token, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._gauges.end(token)
        self._tasks.pop(token, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("turn lost", exc_info=error, extra={"stage": self.name, "lane": token.lane})

    async def _keep(self) -> None:
        healed = monotonic()
        while True:
            await asyncio.sleep(self.limits.idle_ms / 4000)
            try:
                for tag in self.scripts.tags:
                    await self._beat(tag)
                    swept = await self.scripts.sweep(tag, self.name, self.limits.idle_ms, self.limits.steal_ms)
                    self.metrics.swept.labels(self.name).inc(swept)
                if self._gauges.due():
                    self._gauges.tell(*await self._waiting())
                if monotonic() - healed > HEAL_SECONDS:
                    healed = monotonic()
                    await self._create_groups()
                    await self._heal()
                self.ticked = monotonic()
            except RedisError as error:
                log.warning("cannot beat", extra={"stage": self.name, "error": repr(error)})

    async def _waiting(self) -> tuple[int, float]:
        """Tokens in the queues of all replicas, and seconds that the oldest of them which nobody took has waited."""
        redis, count, oldest = self.scripts.redis, 0, 0.0
        for tag in self.scripts.tags:
            queue = f"{tag}:rdy:{self.name}"
            count += await redis.xlen(queue)
            taken: Any = await redis.xpending(queue, self.name)
            after = f"({taken['max'].decode()}" if taken["max"] else "-"
            waiting: Any = await redis.xrange(queue, after, "+", count=1)
            if waiting:
                seconds, micros = await redis.time()
                oldest = max(oldest, seconds + micros / 1e6 - int(waiting[0][0].partition(b"-")[0]) / 1000)
        return count, oldest

    async def _heal(self) -> None:
        """The doctor: a lane whose token is in no queue, or that has mail and no token, gets a new one."""
        for tag in self.scripts.tags:
            prefix = f"{tag}:st:{self.name}:"
            async for key in self.scripts.redis.scan_iter(match=f"{prefix}*", count=500):
                lane = key.decode().removeprefix(prefix)
                if await self.scripts.heal(tag, self.name, lane):
                    log.warning("token renewed", extra={"stage": self.name, "lane": lane})

    async def _beat(self, tag: str) -> None:
        turns = [turn for turn in self.held.values() if turn.tag == tag]
        newest = await self.scripts.beat(tag, self.name, self.replica, self.limits.idle_ms, self.limits.slots, turns)
        for turn, last in zip(turns, newest, strict=True):
            if last < 0 and self.held.get(turn.token) is turn:
                self._tasks[turn.token].cancel()
            elif last > turn.seen:
                await self.notice(turn)
