"""HLS players against sender replicas: requests a second, how long they wait, and whose picture stands still.

python -m loadtest viewers --viewers 100 --seconds 30
python -m loadtest viewers --url http://host:8080/hls/STREAM/master.m3u8
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtest.chaos import script
from loadtest.fleet import SERVICES, Fleet, Load, fleet
from loadtest.report import parser, tell
from loadtest.streams import settle

WINDOW = 20.0
"""Seconds of published media that there are before the players come."""


async def players(urls: Sequence[str], viewers: int, seconds: float, spawn: float) -> dict[str, float]:
    """Run locust in a process of its own: gevent would change this one. RuntimeError where it fails."""
    with tempfile.TemporaryDirectory(prefix="dragoman-players-") as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("players.py")), "--headless"]
        command += ["--users", str(viewers), "--spawn-rate", str(spawn), "--run-time", f"{seconds:.0f}s"]
        command += ["--only-summary", "--exit-code-on-error", "0", "--stop-timeout", "1"]
        environment = {**os.environ, "PLAYERS_URLS": json.dumps(list(urls)), "PLAYERS_RESULT": str(result)}
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(seconds + 60):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if not result.exists():
            raise RuntimeError(f"locust failed:\n{output.decode()[-2000:]}")
        found: dict[str, float] = json.loads(result.read_text())
        return found


async def served(options: argparse.Namespace) -> dict[str, float]:
    """Players against senders of our own, which publish live streams meanwhile."""
    _, table = script()
    many = dict.fromkeys(SERVICES, 1) | {"sender": options.senders}
    async with fleet(Load(replicas=many, delay=options.delay, table=table)) as mesh:
        await mesh.add(options.streams)
        await settle(mesh, mesh.streams)
        await asyncio.sleep(max(0.0, options.window))
        before = await mesh.read()
        found = await players(addresses(mesh), options.viewers, options.seconds, options.spawn)
        after = await mesh.read()
        spent = after.cpu["sender"] - before.cpu["sender"]
        found["sender_cpu"] = spent / (after.at - before.at)
        found["requests_per_sender_cpu_s"] = found["requests"] / spent if spent else 0.0
        found["sender_rss_mb"] = after.rss["sender"]
        return found


def addresses(mesh: Fleet) -> list[str]:
    """The multivariant playlist of every stream at every sender."""
    workers = mesh.workers("sender")
    return [f"{worker.url}/hls/{stream.name}/master.m3u8" for worker in workers for stream in mesh.streams]


def main(argv: Sequence[str]) -> int:
    found = parser("viewers", __doc__)
    found.add_argument("--viewers", type=int, default=100, help="players at once")
    found.add_argument("--seconds", type=float, default=30, help="of watching")
    found.add_argument("--spawn", type=float, default=20, help="players that join in a second")
    found.add_argument("--streams", type=int, default=2, help="live streams that are watched")
    found.add_argument("--senders", type=int, default=2, help="replicas of the sender")
    found.add_argument("--window", type=float, default=WINDOW, help="seconds of media there are before players come")
    found.add_argument("--delay", type=float, default=12.0, help="seconds behind live")
    found.add_argument("--url", help="players for this multivariant playlist, and no mesh of our own")
    options = found.parse_args(argv)
    if options.url:
        figures = asyncio.run(players([options.url], options.viewers, options.seconds, options.spawn))
    else:
        figures = asyncio.run(served(options))
    tell("viewers", figures, options)
    return int(bool(figures["failures"]))
