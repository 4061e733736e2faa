"""Kill workers of a running mesh at random and audit what was published.

Real services with scripted engines as separate processes, some replicas of each. SIGKILL at random and at chosen code
points, SIGSTOP for some seconds, SIGTERM, and a Redis that is killed and loses the end of its log.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import uvloop

import shared.bus.scripts
from loadtest import conformance, presentation, received
from loadtest.audit import Verdict, audit
from loadtest.demo import answers, start
from loadtest.forks import Forked, prepare
from loadtest.processes import STORING, Processes, Worker
from loadtest.redis_server import RedisServer, free_port
from loadtest.report import parser, tell
from services import MESH
from services.__main__ import build
from shared.app import Settings, running
from shared.bus import Bus
from shared.bus.address import connect
from shared.bus.scripts import Scripts
from shared.context import Event, Row
from shared.messages import Head

STAGES = ("downloader", "asr", "segmenter", "speaker", "translator", "tts", "sender")
LANGUAGES = ("es", "ca")
WORDS, STEP, SENTENCE, PAUSE = 4000, 0.25, 8, 1.0


def script() -> tuple[list[str], str]:
    """Numbered words in sentences of eight, and the table for the scripted recogniser."""
    names = [f"w{number:05d}" for number in range(WORDS)]
    lines, length = [], SENTENCE * STEP + PAUSE
    for place, first in enumerate(range(0, WORDS, SENTENCE)):
        begin = place * length
        text = " ".join(names[first : first + SENTENCE])
        lines.append({"text": text, "start": begin, "end": begin + SENTENCE * STEP})
    return names, json.dumps({"origin": 10.0, "lines": lines})


def work(names: Sequence[str], crash: float, stall: float, broken: str) -> None:
    """The life of a forked worker."""
    uvloop.run(worker(names, crash, stall, broken))


async def worker(names: Sequence[str], crash: float, stall: float, broken: str) -> None:
    """A worker that at each probe dies or stands still with these probabilities; `broken` switches a protection off."""
    if broken:
        shared.bus.scripts.FOLDER = sabotage(broken)

    def probe(point: str) -> None:
        if random.random() < crash:
            os.kill(os.getpid(), signal.SIGKILL)
        if random.random() < stall:
            time.sleep(random.uniform(2, 4))

    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    async with running(MESH, build(names), Settings()) as connection:
        for stage in connection.stages:
            stage.probe = probe
        await done.wait()


def sabotage(protection: str) -> Path:
    """A copy of the scripts without any fence, or with one that does not look at the chain of state versions."""
    folder = Path(tempfile.mkdtemp(prefix="dragoman-broken-"))
    shutil.copytree(shared.bus.scripts.FOLDER, folder, dirs_exist_ok=True)
    for script, answer in (("commit.lua", "0"), ("emit.lua", "false")):
        fence = f"if not holds(stage, lane, token, ARGV[4], ARGV[5]) then return {answer} end"
        without = {"fence": "", "chain": fence.replace(", ARGV[5]", "")}[protection]
        text = (folder / script).read_text()
        if fence not in text:
            raise RuntimeError(f"{script} has no such fence")
        (folder / script).write_text(text.replace(fence, without))
    return folder


class Troublemaker:
    """Keeps replicas of every stage and harms them."""

    def __init__(self, processes: Processes, server: RedisServer, options: argparse.Namespace) -> None:
        self.processes, self.server, self.options = processes, server, options
        self.dice = random.Random(options.seed)
        self.kills: list[tuple[float, int, Sequence[str]]] = []
        """When, which process, which services."""
        self.deaths = self.frozen = self.stopped = 0

    def spawn(self, name: str) -> None:
        port, processes = free_port(), self.processes
        environment = {**processes.environment, "REDIS_URL": processes.redis_url, "PORT": str(port)}
        arguments = (name,), self.options.crash, self.options.stall, self.options.without
        process: Any = Forked(work, *arguments, environment=environment, log=processes.log)
        processes.workers.append(Worker(name, (name,), port, process))

    async def harm(self, seconds: float) -> None:
        """Trouble for so long; every worker that ends is replaced."""
        end, redis_at = time.monotonic() + seconds, time.monotonic() + seconds / 2
        while time.monotonic() < end:
            await self.calm(self.dice.expovariate(self.options.rate))
            victim = self.dice.choice([each for each in self.processes.workers if each.names[0] in STAGES])
            fault = self.dice.choices((self.kill, self.freeze, self.stop), self.options.weights)[0]
            fault(victim)
            if self.options.redis and time.monotonic() > redis_at:
                redis_at = float("inf")
                self.server.kill(lose=20_000)
                await asyncio.sleep(0.5)
                self.server.start()

    async def calm(self, seconds: float) -> None:
        """No more trouble than the workers make by themselves; each that ends is replaced."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.replace()
            await asyncio.sleep(0.05)

    def kill(self, victim: Worker) -> None:
        if victim.process.is_running():
            self.kills.append((time.time(), victim.process.pid, victim.names))
            victim.process.send_signal(signal.SIGKILL)

    def freeze(self, victim: Worker) -> None:
        self.frozen += 1
        victim.process.suspend()
        asyncio.get_running_loop().call_later(self.dice.uniform(1, 5), self._thaw, victim)

    def stop(self, victim: Worker) -> None:
        self.stopped += 1
        victim.process.terminate()

    def replace(self) -> None:
        """A new worker for each that has ended."""
        for gone in [each for each in self.processes.workers if each.process.poll() is not None]:
            self.processes.workers.remove(gone)
            if gone.process.returncode == -signal.SIGKILL:
                self.deaths += 1
            self.spawn(gone.names[0])

    @staticmethod
    def _thaw(victim: Worker) -> None:
        if victim.process.is_running():
            victim.process.resume()


async def chaos(options: argparse.Namespace) -> dict[str, float]:
    """One run: a calm start, trouble, calm, then the audit."""
    names, table = script()
    folder, port = Path(tempfile.mkdtemp(prefix="dragoman-chaos-")), free_port()
    server = RedisServer()
    environment = {
        **{f"{each}_STORE": f"file://{folder}/store" for each in STORING},
        **{f"{each}_ENGINE": "scripted" for each in ("ASR", "SPEAKER", "TRANSLATOR", "TTS")},
        "ASR_SCRIPT": str(folder / "script.json"),
        "DOWNLOADER_ALLOW": f"127.0.0.1:{port}",
    }
    (folder / "script.json").write_text(table)
    processes = Processes(server.url, environment, folder / "log")
    command = [sys.executable, "-m", "loadtest", "origin", "--port", str(port), "--recording", "tone"]
    origin = psutil.Popen([*command, "--window", "20"], stdout=subprocess.DEVNULL, start_new_session=True)
    redis = connect(server.url)
    try:
        prepare(["uvloop", "loadtest.chaos", *(f"services.{name}.service" for name in STAGES)])
        trouble = Troublemaker(processes, server, options)
        processes.start("ingest", ("ingest",))
        for name in STAGES:
            for _ in range(options.replicas):
                trouble.spawn(name)
        await processes.ready(120)
        while not await answers(f"http://127.0.0.1:{port}/master.m3u8"):
            await asyncio.sleep(0.2)
        options.to, options.delay = ",".join(LANGUAGES), 12.0
        stream = await start(processes, f"http://127.0.0.1:{port}/master.m3u8", options, record=True)
        bus = Bus(Scripts(redis), MESH, "ingest")
        wanting = asyncio.create_task(want(bus, stream))
        await asyncio.sleep(15)
        await trouble.harm(options.seconds)
        await trouble.calm(options.calm)
        wanting.cancel()
        await processes.ready()
        events, rows = await everything(bus, stream), await bus.log(stream)
        published = await presentation.read(f"{processes.serving('sender')}/hls/{stream}/master.m3u8")
        verdict = audit(events, rows, names, LANGUAGES)
        late = [received.compare(published, events, language, verdict) for language in LANGUAGES]
        report = await asyncio.to_thread(conformance.judge, published)
        verdict.faults += report.errors
        explain(verdict, processes)
        found = figures(verdict, trouble, events, rows)
        found["cues_late"], found["clips_late"] = (float(sum(counts)) for counts in zip(*late, strict=True))
        return found | {"conformance_errors": float(len(report.errors))}
    finally:
        await asyncio.gather(*(asyncio.to_thread(each.end) for each in processes.workers))
        origin.terminate()
        origin.wait()
        await redis.aclose()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def want(bus: Bus, stream: str) -> None:
    while True:
        try:
            for language in LANGUAGES:
                await bus.want(stream, language)
        except OSError:
            pass
        await asyncio.sleep(2)


async def everything(bus: Bus, stream: str) -> list[Event]:
    """All events of the stream that Redis knows."""
    found: list[Event] = []
    while more := await bus.events(stream, found[-1].id if found else "0"):
        found += more
    return found


def explain(verdict: Verdict, processes: Processes) -> None:
    for fault in verdict.faults:
        sys.stderr.write(f"{fault}\n")
    if verdict.faults:
        sys.stderr.write(processes.tail(40) + "\n")


def figures(verdict: Verdict, trouble: Troublemaker, events: Sequence[Event], rows: Sequence[Row]) -> dict[str, float]:
    found: dict[str, float] = {
        "kills": trouble.deaths,
        "frozen": trouble.frozen,
        "stopped": trouble.stopped,
        "segments": len(rows),
        "utterances": sum(event.stage == "speaker" and hasattr(event.message, "utterance") for event in events),
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "disordered": verdict.disordered,
        "holes": verdict.holes,
    }
    for kind, stages in (("sources", ("downloader",)), ("stages", STAGES[1:])):
        waits = sorted(recoveries(events, [kill for kill in trouble.kills if kill[2][0] in stages]))
        if waits:
            found[f"recovery_{kind}_p50_s"] = waits[len(waits) // 2]
            found[f"recovery_{kind}_p95_s"] = waits[int(len(waits) * 0.95)]
            found[f"recovery_{kind}_max_s"] = waits[-1]
    return found


def recoveries(events: Sequence[Event], kills: Sequence[tuple[float, int, Sequence[str]]]) -> list[float]:
    """Seconds from each kill until the stages of that worker are within a second of their usual lag again."""
    heads = [(event.at, event.message.head) for event in events if isinstance(event.message, Head)]
    times = [at for at, _ in heads]

    def lag(event: Event) -> float:
        place = bisect_right(times, event.at)
        return (heads[place - 1][1] if place else 0.0) - event.message.until

    waits = []
    for at, _, names in kills:
        for stage in ("voice", "place") if names[0] == "tts" else names:
            mine = [(event.at, lag(event)) for event in events if event.stage == stage]
            if mine:
                usual = median(behind for _, behind in mine) + 1
                waits += [when - at for when, behind in mine if when >= at and behind <= usual][:1]
    return waits


def main(argv: Sequence[str]) -> int:
    found = parser("chaos", __doc__)
    found.add_argument("--seconds", type=float, default=40, help="of trouble")
    found.add_argument("--calm", type=float, default=25, help="seconds before the audit")
    found.add_argument("--rate", type=float, default=1.0, help="faults a second")
    found.add_argument(
        "--replicas", type=int, default=3, help="of each stage: one at work, one to take over, one spare"
    )
    found.add_argument("--crash", type=float, default=0.001, help="probability of death at each code point")
    found.add_argument("--weights", type=int, nargs=3, default=(8, 1, 1), help="of killed, frozen, stopped workers")
    found.add_argument(
        "--stall", type=float, default=0.0005, help="probability of standing still for some seconds there"
    )
    found.add_argument("--seed", type=int, default=1)
    found.add_argument("--redis", action=argparse.BooleanOptionalAction, default=True, help="kill Redis once")
    found.add_argument("--without", choices=("", "fence", "chain"), default="", help="switch a protection off")
    options = found.parse_args(argv)
    result = asyncio.run(chaos(options))
    tell("chaos", result, options)
    return int(any(result[key] for key in ("lost", "doubled", "disordered", "conformance_errors")))
