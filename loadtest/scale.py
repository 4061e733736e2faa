"""A starved stage is given replicas while the load goes on; then a third of all replicas is killed at full load.

python -m loadtest scale --streams 6
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import Any

from loadtest.chaos import script
from loadtest.costs import Cost
from loadtest.fleet import SERVICES, SINGLE, Fleet, Load, fleet
from loadtest.report import parser, show, tell
from loadtest.streams import followed, killed, measured, settle

DEMAND = 1.3
"""Replicas' worth of work that the whole load makes at the starved stage; the part before it makes half as much."""
STARVED = 2.0
"""Seconds of lag at which replicas are added."""
PATIENCE = 60.0
"""Seconds in which the stage must be starved, and in which it must have recovered."""
WELL = 1.0
"""Seconds of lag that are none."""
STEADY = 3.0
"""Seconds for which the lag must have been none."""
TAG = "{p0}"


async def lag(mesh: Fleet, stage: str) -> float:
    """Seconds that the oldest mail of a stage has waited without being in a turn, over all lanes."""
    now: Any = await mesh.redis.time()
    oldest = 0.0
    for stream in mesh.streams:
        last: Any = await mesh.redis.hget(f"{TAG}:st:{stage}:{stream.name}", "tried")
        first = f"({int(last or 0)}-0"
        found: Any = await mesh.redis.xrange(f"{TAG}:mb:{stage}:{stream.name}", first, "+", count=1)
        for _, fields in found:
            oldest = max(oldest, now[0] + now[1] / 1e6 - int(fields[b"at"]) / 1000)
    return oldest


async def starve(mesh: Fleet, stage: str) -> float:
    """Wait until the stage is behind; seconds it took. RuntimeError where it never is."""
    start = time.monotonic()
    while time.monotonic() - start < PATIENCE:
        if await lag(mesh, stage) > STARVED:
            return time.monotonic() - start
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{stage} has kept up with a load that was made to be too much for it")


async def recovered(mesh: Fleet, stage: str) -> tuple[float | None, list[tuple[float, float]]]:
    """Seconds until the lag is gone and stays away, and the lag over time."""
    start = time.monotonic()
    seen: list[tuple[float, float]] = []
    while (now := time.monotonic() - start) < PATIENCE:
        seen.append((now, await lag(mesh, stage)))
        behind = max((at for at, value in seen if value >= WELL), default=0.0)
        if now - behind > STEADY:
            return behind, seen
        await asyncio.sleep(0.1)
    return None, seen


async def grown(options: argparse.Namespace, words: Sequence[str], table: str) -> dict[str, float]:
    """One replica of the stage until it is behind, then as many as are asked for."""
    few = options.streams // 2
    cost = Cost(DEMAND / options.streams, waits=True)
    load = Load(costs={"asr": cost}, delay=options.delay, table=table, environment={"ASR_SLOTS": "1"})
    async with fleet(load) as mesh:
        await mesh.add(few)
        await settle(mesh, mesh.streams)
        before = {worker.process.pid for worker in mesh.workers()}
        await mesh.add(options.streams - few)
        starving = await starve(mesh, "asr")
        await mesh.grow("asr", options.to - 1)
        seconds, seen = await recovered(mesh, "asr")
        step = seen[:: max(1, len(seen) // 12)]
        show("asr, after replicas were added", ("s", "lag s"), step)
        found = {"starving_s": starving, "lag_max_s": max(value for _, value in seen)}
        if seconds is not None:
            found["lag_recovery_s"] = seconds
        found["restarted"] = float(len(before - {worker.process.pid for worker in mesh.workers()}))
        for stream in mesh.streams:
            await stream.read(mesh.bus)
        known = followed(mesh, 0.0, time.time(), words)
        return found | {key: known[key] for key in ("lost", "doubled", "disordered", "slates")}


async def shot(options: argparse.Namespace, words: Sequence[str], table: str) -> dict[str, float]:
    """Two replicas of each stage, of which a third is killed."""
    many = {name: 1 if name in SINGLE else 2 for name in SERVICES}
    async with fleet(Load(replicas=many, delay=options.delay, table=table)) as mesh:
        await mesh.add(options.streams)
        await settle(mesh, mesh.streams)
        step = await measured(mesh, 10.0, words)
        return await killed(mesh, options, step, words)


async def scale(options: argparse.Namespace) -> dict[str, float]:
    words, table = script()
    found = await grown(options, words, table)
    if not options.kill:
        return found
    after = await shot(options, words, table)
    both = {key: found[key] + after[key] for key in ("lost", "doubled", "disordered", "slates")}
    return found | after | both


def main(argv: Sequence[str]) -> int:
    found = parser("scale", __doc__)
    found.add_argument("--streams", type=int, default=6, help="live streams at once")
    found.add_argument("--to", type=int, default=3, help="replicas of asr in the end")
    found.add_argument("--kill", action=argparse.BooleanOptionalAction, default=True, help="kill a third of all, too")
    found.add_argument("--delay", type=float, default=12.0, help="seconds behind live")
    found.add_argument("--seed", type=int, default=1, help="of the choice whom to kill")
    options = found.parse_args(argv)
    result = asyncio.run(scale(options))
    tell("scale", result, options)
    return int(any(result[key] for key in ("lost", "doubled", "restarted")) or "lag_recovery_s" not in result)
