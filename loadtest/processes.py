"""The mesh as real processes on this machine: started, watched, measured, ended."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

import aiohttp
import psutil

from loadtest.redis_server import RedisServer, free_port
from services import MESH, SERVICES
from shared.bus import Bus
from shared.bus.address import connect
from shared.bus.scripts import Scripts

ALL_IN_ONE: Mapping[str, Sequence[str]] = {"services": SERVICES}
EACH_ALONE: Mapping[str, Sequence[str]] = {name: (name,) for name in SERVICES}
STORING = ("INGEST", "DOWNLOADER", "FACES", "TRANSLATOR", "TTS", "SENDER")
"""Services with a store."""


@dataclass
class Worker:
    """One process with some services."""

    label: str
    names: Sequence[str]
    port: int
    process: psutil.Popen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """CPU seconds of the process and everything it started, so far."""
        total = 0.0
        with suppress(psutil.NoSuchProcess):
            own = self.process.cpu_times()
            total += own.user + own.system + own.children_user + own.children_system
            for child in self.process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    times = child.cpu_times()
                    total += times.user + times.system
        return total

    def memory(self) -> float:
        """Resident megabytes of the process and everything it started."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            for process in (self.process, *self.process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total / 1e6

    def files(self) -> int:
        """Open file descriptors of the process."""
        with suppress(psutil.NoSuchProcess):
            return int(self.process.num_fds())
        return 0

    def end(self) -> None:
        """SIGTERM, then SIGKILL after some seconds."""
        with suppress(psutil.NoSuchProcess):
            children = self.process.children(recursive=True)
            self.process.terminate()
            try:
                self.process.wait(12)
            except psutil.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


@dataclass
class Processes:
    """Workers that share a Redis and a store."""

    redis_url: str
    environment: dict[str, str]
    log: Path
    workers: list[Worker] = field(default_factory=list)

    def start(self, label: str, names: Sequence[str], port: int = 0, module: str = "services") -> Worker:
        """One more worker with these services; `module` is run as a program with their names."""
        port = port or free_port()
        environment = {**os.environ, **self.environment, "REDIS_URL": self.redis_url, "PORT": str(port)}
        with self.log.open("ab") as output:
            process = psutil.Popen(
                [sys.executable, "-m", module, *names],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = Worker(label, names, port, process)
        self.workers.append(worker)
        return worker

    def serving(self, name: str) -> str:
        """URL of a worker that runs this service."""
        return next(worker.url for worker in self.workers if name in worker.names)

    async def ready(self, seconds: float = 60.0) -> None:
        """Wait until all workers answer. Raises RuntimeError with the end of the log where one does not."""
        async with aiohttp.ClientSession() as client:
            for worker in self.workers:
                for _ in range(round(seconds / 0.1)):
                    with suppress(aiohttp.ClientError):
                        async with client.get(f"{worker.url}/readyz") as answer:
                            if answer.status == 200:
                                break
                    if worker.process.poll() is not None:
                        break
                    await asyncio.sleep(0.1)
                else:
                    raise RuntimeError(f"{worker.label} is not ready:\n{self.tail()}")
                if worker.process.poll() is not None:
                    raise RuntimeError(f"{worker.label} ended at once:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The last lines of what the workers logged."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@asynccontextmanager
async def mesh(
    layout: Mapping[str, Sequence[str]],
    environment: Mapping[str, str] | None = None,
    port: int = 0,
    programs: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Processes, Bus]]:
    """Workers by layout (label to services) with a private Redis unless REDIS_URL is set, and the bus to watch them.

    `programs` names the module that is run for a label, where it is not `services`.
    """
    folder = Path(tempfile.mkdtemp(prefix="dragoman-"))
    own = None if "REDIS_URL" in os.environ else RedisServer()
    url = own.url if own else os.environ["REDIS_URL"]
    store = "memory://" if len(layout) == 1 else f"file://{folder}/store"
    stores = {f"{name}_STORE": store for name in STORING}
    found = Processes(url, {**stores, **(environment or {})}, folder / "log")
    redis = connect(url)
    try:
        for label, names in layout.items():
            found.start(label, names, port if len(layout) == 1 else 0, (programs or {}).get(label, "services"))
        await found.ready()
        yield found, Bus(Scripts(redis), MESH, "ingest")
    finally:
        await asyncio.gather(*(asyncio.to_thread(worker.end) for worker in found.workers))
        await redis.aclose()
        if own:
            own.stop()
        rmtree(folder, ignore_errors=True)
