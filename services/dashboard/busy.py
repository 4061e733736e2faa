"""How busy each replica of each stage is, from the counters that every process shows under /metrics."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, ConfigDict

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds in which a process has to answer."""
FULL = 0.7
"""Busy ratio from which on mail begins to wait."""
AIM = 0.6
"""Busy ratio at which a stage has room for what comes in bursts."""


class Load(BaseModel):
    """How busy one replica of one stage was between the last two looks."""

    model_config = ConfigDict(frozen=True)

    stage: str
    replica: str
    """Address of the process."""
    busy: float
    """Share of its slots in use, 0 to 1."""
    slots: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What one process says of one stage."""

    seconds: float
    """Slot-seconds in turns since it started."""
    slots: int


def spent(text: str) -> dict[str, Spent]:
    """Returns what a page of metrics says, by stage; of a source nothing, as its turns last as long as its streams."""
    seconds: dict[str, float] = {}
    slots: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            into = {"busy_seconds_total": seconds, "slots": slots}.get(sample.name)
            if into is not None:
                into[sample.labels["stage"]] = sample.value
    return {
        stage: Spent(seconds.get(stage, 0.0), round(count))
        for stage, count in slots.items()
        if count and stage != "downloader"
    }


def load(replica: str, before: dict[str, Spent], now: dict[str, Spent], passed: float) -> list[Load]:
    """Returns how busy a process was for the `passed` seconds between two pages; nothing of one that started anew."""
    return [
        Load(stage=stage, replica=replica, slots=one.slots, busy=round(min(1.0, used / (passed * one.slots)), 3))
        for stage, one in now.items()
        if passed > 0 and stage in before and (used := one.seconds - before[stage].seconds) >= 0
    ]


def advice(stage: str, loads: Sequence[Load], streams: int) -> str:
    """Returns what would help a stage that is a bottleneck while so many streams run, a sentence; "" if unknown."""
    own = [one.busy for one in loads if one.stage == stage]
    if not own:
        return ""
    busy = sum(own) / len(own)
    if busy < FULL:
        return f"It is busy for {busy:.0%} of its time only, so it waits for an engine, for Redis or for the store."
    if streams <= len(own):
        # One lane is handled by one replica at a time.
        return f"It is busy for {busy:.0%} of its time: a faster engine or machine would clear it."
    needed = max(len(own) + 1, math.ceil(sum(own) / AIM))
    return f"{min(needed, streams)} replicas would clear it ({len(own)} run, {busy:.0%} busy)."


class Loads:
    """The load of all replicas behind some addresses; each is asked at most every `every` seconds, for all pages."""

    def __init__(
        self,
        addresses: Sequence[str],
        every: float,
        fetch: Callable[[str], Awaitable[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`addresses` are host:port; a host with several addresses stands for as many replicas."""
        self._addresses, self._every, self._fetch, self._clock = addresses, every, fetch or fetched, clock
        self._before: dict[str, tuple[float, dict[str, Spent]]] = {}
        self._now: list[Load] = []
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def now(self) -> list[Load]:
        """Returns the newest loads, by stage and replica."""
        async with self._lock:
            if self._clock() - self._asked_at >= self._every:
                self._asked_at = self._clock()
                replicas = {each for found in await asyncio.gather(*map(resolved, self._addresses)) for each in found}
                found = await asyncio.gather(*(self._look(replica) for replica in sorted(replicas)))
                self._now = sorted((one for loads in found for one in loads), key=lambda one: (one.stage, one.replica))
        return self._now

    async def _look(self, replica: str) -> list[Load]:
        try:
            page = spent(await self._fetch(replica))
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
            log.debug("a process shows no metrics", extra={"replica": replica, "error": repr(error)})
            self._before.pop(replica, None)
            return []
        at = self._clock()
        then, before = self._before.get(replica, (at, {}))
        self._before[replica] = at, page
        return load(replica, before, page, at - then)


async def resolved(address: str) -> set[str]:
    """Returns every host:port that a name stands for, none where there is no such name."""
    host, _, port = address.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=1)
    except (OSError, ValueError):
        return set()
    hosts = {str(place[0]) for *_, place in found}
    return {f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts}


async def fetched(replica: str) -> str:
    """Returns the page of metrics of a process."""
    limit = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(f"http://{replica}/metrics") as answer:
        return await answer.text()
