"""A mesh of real processes under the load of many live streams: started, fed, watched from outside, measured."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from loadtest import costs
from loadtest.audit import Verdict, audit
from loadtest.costs import Cost
from loadtest.dubbing import Figures
from loadtest.processes import Processes, Worker, mesh
from loadtest.published import Edge, Listed, follow
from loadtest.redis_server import free_port
from shared.audio import TICKS
from shared.bus import Bus
from shared.bus.address import connect
from shared.context import Event, Row
from shared.messages import Clip, Dropped, MediaSegment, Translation, Utterance, Words

SERVICES = ("ingest", "downloader", "asr", "segmenter", "speaker", "translator", "tts", "sender", "dashboard")
SINGLE = ("ingest", "dashboard")
"""Services that take no turns: they are not killed, and one of each is enough."""
STAGES = ("downloader", "asr", "segmenter", "speaker", "translator", "voice", "place", "sender")
SCRIPTED = ("ASR", "SPEAKER", "TRANSLATOR", "TTS")
FOLLOWED = 16
"""Streams that one downloader takes."""
TOLD = (Words, Utterance, Translation, Clip, Dropped)
"""What the audit follows."""


@dataclass
class Load:
    """What is started and how it is fed."""

    replicas: Mapping[str, int] = field(default_factory=dict)
    scripted: bool = True
    costs: Mapping[str, Cost] = field(default_factory=dict)
    languages: tuple[str, ...] = ("es",)
    delay: float = 12.0
    speed: float = 1.0
    recording: str = "tone"
    table: str = ""
    """What the scripted recogniser says, as JSON; none: a few sentences over and over."""
    together: bool = False
    """All services in one process."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def layout(self) -> dict[str, tuple[str, ...]]:
        """Label to services."""
        if self.together:
            return {"services": SERVICES}
        return {
            label(name, number): (name,) for name in SERVICES for number in range(max(1, self.replicas.get(name, 1)))
        }

    def settings(self, port: int) -> dict[str, str]:
        """The environment of the workers, for origins at this port."""
        scripted = {f"{name}_ENGINE": "scripted" for name in SCRIPTED} if self.scripted else {}
        return {
            **scripted,
            **costs.environment(self.costs),
            "ASR_SCRIPT": self.table,
            "DOWNLOADER_ALLOW": f"127.0.0.1:{port}",
            "INGEST_RATE": "0",
            "INGEST_BEHIND": "0",
            "OPENBLAS_NUM_THREADS": "1",
            **self.environment,
        }


def label(name: str, number: int) -> str:
    """Of replica `number` of a service, from 0."""
    return name if not number else f"{name}.{number + 1}"


class Spent(NamedTuple):
    """What a stage has counted so far, over all its replicas."""

    busy: float = 0.0
    """Slot-seconds in turns."""
    handled: float = 0.0
    """Of those, in handlers."""
    slots: float = 0.0
    turns: float = 0.0
    lag: float = 0.0
    """Seconds that mail has waited, summed over turns."""

    def since(self, before: "Spent") -> "Spent":
        """What came on top; slots are as they are now."""
        return Spent(*(b - a for a, b in zip(before, self, strict=True)))._replace(slots=self.slots)


@dataclass
class Reading:
    """All meters at one moment."""

    at: float
    cpu: dict[str, float]
    """CPU seconds by service."""
    rss: dict[str, float]
    """Megabytes by service."""
    files: int
    stages: dict[str, Spent]
    redis: dict[str, float]
    """`cpu` seconds, `commands`, `bytes` in memory, `sent` and `received` bytes, `keys`."""
    origin: float
    """CPU seconds of the origins."""
    meter: float
    """CPU seconds of this process, which watches."""


@dataclass
class Stream:
    """One stream as it is watched from outside."""

    name: str
    source: str
    edge: Edge = field(default_factory=Edge)
    figures: Figures = field(default_factory=Figures)
    events: list[Event] = field(default_factory=list)
    sources: list[tuple[float, float]] = field(default_factory=list)
    """When the downloader told a segment, and how long after the capture of its end."""
    kept: bool = True
    """Keep events for the audit."""
    after: str = "0"
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, bus: Bus) -> None:
        """Fold what the stages have said since."""
        async with self.lock:
            while events := await bus.events(self.name, self.after):
                for event in events:
                    self.figures.add(event)
                    if isinstance(event.message, MediaSegment):
                        captured = event.message.date + event.message.duration / TICKS
                        self.sources.append((event.at, event.at - captured))
                    if self.kept and isinstance(event.message, TOLD):
                        self.events.append(event)
                self.after = events[-1].id

    def verdict(self, script: Sequence[str] | None, languages: Sequence[str]) -> Verdict:
        """Whether anything was lost or doubled on the way, and whether the rows join."""
        rows = [Row(number=row.number, sealed=row.until, seams=0, body=row) for _, row in self.figures.rows]
        return audit(self.events, rows, script, languages)


class Fleet:
    """Workers, origins, and the streams that were started."""

    def __init__(self, load: Load, processes: Processes, bus: Bus, redis: Redis, origin: psutil.Popen) -> None:
        self.load, self.processes, self.bus, self.redis, self.origin = load, processes, bus, redis, origin
        self.streams: list[Stream] = []
        self._spent_by_dead: dict[str, float] = {}
        self._numbers = count()
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._port = 0
        self.epoch = 0.0

    async def open(self, port: int) -> None:
        """Wait for the origins."""
        self._port = port
        for _ in range(1200):
            with suppress(aiohttp.ClientError):
                async with self._client.get(f"http://127.0.0.1:{port}/epoch") as answer:
                    self.epoch = float(await answer.text())
                    return
            if self.origin.poll() is not None:
                break
            await asyncio.sleep(0.1)
        raise RuntimeError("the origins did not start: run python -m loadtest.origins to see why")

    async def close(self) -> None:
        """Stop watching."""
        await self._rest([task for stream in self.streams for task in stream.tasks])
        await self._client.close()

    async def add(self, streams: int, audited: bool = True) -> None:
        """Start more streams by the API. Raises RuntimeError with what the API says."""
        for number in [next(self._numbers) for _ in range(streams)]:
            source = f"s{number}"
            url = f"http://127.0.0.1:{self._port}/{source}/live.m3u8"
            body = {"url": url, "languages": list(self.load.languages), "delay": self.load.delay, "on_demand": False}
            for _ in range(150):
                status, found = await self._post(body)
                if status != 503:
                    break
                await asyncio.sleep(0.2)
            if status >= 300:
                raise RuntimeError(f"{found.get('title', status)}: {found.get('detail', found)}")
            stream = Stream(found["id"], source, Edge(speed=self.load.speed), kept=audited)
            stream.figures.delay = self.load.delay
            stream.tasks = [
                asyncio.create_task(follow(self._client, self._playlists(stream, "video"), stream.edge)),
                asyncio.create_task(self._read(stream)),
            ]
            self.streams.append(stream)

    async def drop(self, streams: Sequence[Stream]) -> None:
        """Stop streams by the API."""
        for stream in streams:
            await self._rest(stream.tasks)
            self.streams.remove(stream)
            url = f"{self.processes.serving('ingest')}/v1/streams/{stream.name}"
            async with self._client.delete(url) as answer:
                await answer.read()

    def workers(self, *names: str) -> list[Worker]:
        """Workers that run, of these services or of all."""
        return [
            w for w in self.processes.workers if w.process.poll() is None and (not names or set(names) & {*w.names})
        ]

    async def grow(self, name: str, replicas: int) -> None:
        """Start more replicas of a service; they are waited for by nobody."""
        known = len([worker for worker in self.processes.workers if name in worker.names])
        for number in range(known, known + replicas):
            self.processes.start(label(name, number), (name,), module=program(name, self.load))

    def kill_third(self, dice: random.Random) -> list[str]:
        """SIGKILL a third of all replicas that take turns, at random, but never all of a service; their labels."""
        left = Counter(worker.names[0] for worker in self.workers() if worker.names[0] not in SINGLE)
        victims: list[Worker] = []
        candidates = [worker for worker in self.workers() if worker.names[0] not in SINGLE]
        dice.shuffle(candidates)
        for worker in candidates:
            if 3 * len(victims) < len(candidates) and left[worker.names[0]] > 1:
                left[worker.names[0]] -= 1
                victims.append(worker)
        for worker in victims:
            name = worker.names[0]
            self._spent_by_dead[name] = self._spent_by_dead.get(name, 0.0) + worker.cpu()
            worker.process.kill()
        return [worker.label for worker in victims]

    async def read(self) -> Reading:
        """Every meter, now."""
        cpu, rss, files = defaultdict(float, self._spent_by_dead), defaultdict[str, float](float), 0
        for worker in self.workers():
            name = worker.label.partition(".")[0]
            cpu[name] += worker.cpu()
            rss[name] += worker.memory()
            files += worker.files()
        info: Any = await self.redis.info()
        redis = {
            "cpu": info["used_cpu_sys"] + info["used_cpu_user"],
            "commands": info["total_commands_processed"],
            "bytes": info["used_memory"],
            "sent": info["total_net_output_bytes"],
            "received": info["total_net_input_bytes"],
            "keys": await self.redis.dbsize(),
        }
        origin, meter = self.origin.cpu_times(), psutil.Process(os.getpid()).cpu_times()
        return Reading(
            time.time(),
            dict(cpu),
            dict(rss),
            files,
            await self._stages(),
            redis,
            origin.user + origin.system,
            meter.user + meter.system,
        )

    async def dashboard(self) -> dict[str, dict[str, Any]]:
        """What the dashboard's feed says of each stream: its history of samples and its status."""
        found: dict[str, dict[str, Any]] = {}
        for stream in self.streams:
            url = f"{self.processes.serving('dashboard')}/dashboard/feed?stream={stream.name}"
            told: dict[str, Any] = {}
            async with self._client.get(url, timeout=aiohttp.ClientTimeout(20)) as answer:
                kind = ""
                async for line in _lines(answer):
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        told[kind] = json.loads(line.removeprefix("data: "))
                    if "status" in told:
                        break
            found[stream.name] = told
        return found

    def listed(self, start: float, end: float) -> dict[str, list[Listed]]:
        """By stream, what its viewers saw for the first time in [start, end)."""
        return {stream.name: stream.edge.between(start, end) for stream in self.streams}

    async def _post(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        async with self._client.post(f"{self.processes.serving('ingest')}/v1/streams", json=body) as answer:
            return answer.status, await answer.json()

    def _playlists(self, stream: Stream, rendition: str) -> list[str]:
        """The same playlist at every sender, each stream beginning with another one."""
        urls = [worker.url for worker in self.workers("sender")]
        first = len(self.streams) % len(urls)
        return [f"{url}/hls/{stream.name}/{rendition}.m3u8" for url in (*urls[first:], *urls[:first])]

    async def _read(self, stream: Stream) -> None:
        while True:
            await stream.read(self.bus)
            await asyncio.sleep(1.0)

    async def _stages(self) -> dict[str, Spent]:
        found: dict[str, Spent] = {}
        for worker in self.workers():
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._client.get(f"{worker.url}/metrics", timeout=aiohttp.ClientTimeout(5)) as answer:
                    for stage, spent in counted(await answer.text()).items():
                        known = found.get(stage, Spent())
                        found[stage] = Spent(*(a + b for a, b in zip(known, spent, strict=True)))
        return found

    @staticmethod
    async def _rest(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


FIELDS = {
    "busy_seconds_total": "busy",
    "slots": "slots",
    "turns_total": "turns",
    "lag_seconds_sum": "lag",
}


def counted(text: str) -> dict[str, Spent]:
    """What the metrics of one process say, by stage."""
    found: dict[str, Spent] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            stage = sample.labels.get("stage", "")
            name = FIELDS.get(sample.name)
            if sample.name == "turn_seconds_sum" and sample.labels.get("phase") == "handle":
                name = "handled"
            if stage and name:
                found[stage] = found.get(stage, Spent())._replace(**{name: sample.value})
    return found


def program(name: str, load: Load) -> str:
    """The module that runs a service."""
    return "loadtest.costs" if name in load.costs else "services"


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Lines of any length."""
    rest = b""
    async for piece in answer.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode()


@asynccontextmanager
async def fleet(load: Load) -> AsyncIterator[Fleet]:
    """Everything runs and no stream yet; all of it ends with the block."""
    port = free_port()
    command = [sys.executable, "-m", "loadtest.origins", "--port", str(port), "--recording", load.recording]
    command += ["--speed", str(load.speed), "--window", str(round(6 * max(1.0, 2 * load.speed)))]
    origin = psutil.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    layout = load.layout()
    programs = {name: program(names[0], load) for name, names in layout.items()}
    try:
        async with mesh(layout, load.settings(port), programs=programs) as (processes, bus):
            redis = connect(processes.redis_url)
            found = Fleet(load, processes, bus, redis, origin)
            try:
                await found.open(port)
                yield found
            finally:
                await found.close()
                await redis.aclose()
    finally:
        with suppress(psutil.NoSuchProcess):
            origin.terminate()
        origin.wait()
