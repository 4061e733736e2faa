"""The whole mesh for one clip: one process with every service, and a redis-server, both gone afterwards."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from services.clip.trouble import Trouble

STARTING = 120.0
"""Seconds that engines may take to load."""
ENDING = 10.0
"""Seconds that a process may take to end when it is asked to."""


@dataclass(frozen=True)
class Running:
    """A mesh at work."""

    url: str
    log: Path
    services: asyncio.subprocess.Process

    def complaint(self) -> str:
        """The last line that the services logged."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "they said nothing"


@asynccontextmanager
async def private(names: Iterable[str], media: Path, folder: Path, redis: str = "") -> AsyncIterator[Running]:
    """Every service on loopback, with files from `media` and objects in `folder`; raises Trouble."""
    log = folder / "log"
    port = _free_port()
    async with _redis(folder, redis) as address:
        store = f"file://{folder}/store"
        environment = os.environ | {
            **{f"{name}_STORE": store for name in ("DOWNLOADER", "FACES", "TTS", "SENDER")},
            "REDIS_URL": address,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DOWNLOADER_FILES": str(media),
            "SENDER_CLEAN": "false",
            "SENDER_REQUIRE_LINK": "false",
            "INGEST_REQUIRE_KEY": "false",
            "INGEST_CLIPS": "0",
            "INGEST_RATE": "0",
            "LOG_LEVEL": "WARNING",
        }
        with log.open("wb") as output:
            services = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services", *names),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=Path(__file__).parents[2],
                start_new_session=True,
            )
        running = Running(f"http://127.0.0.1:{port}", log, services)
        try:
            await _ready(running)
            yield running
        finally:
            await _end(services)


@asynccontextmanager
async def _redis(folder: Path, address: str) -> AsyncIterator[str]:
    """The given redis-server, or one of our own."""
    if address:
        yield address
        return
    if shutil.which("redis-server") is None:
        raise Trouble("redis-server is missing: apt-get install redis-server, or name one with --redis URL")
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
        *("--dir", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        await _end(process)


async def _ready(running: Running) -> None:
    async with aiohttp.ClientSession() as client:
        for _ in range(round(STARTING / 0.1)):
            if running.services.returncode is not None:
                raise Trouble(f"The services did not start: {running.complaint()}")
            with suppress(aiohttp.ClientError):
                async with client.get(f"{running.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise Trouble(f"The services were not ready after {STARTING:.0f} s: {running.complaint()}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and all that it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDING):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
