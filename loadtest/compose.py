"""The images and docker-compose.yml for real: build, start two replicas each, dub, kill, judge what was published.

    python -m loadtest compose --seconds 90

Needs Docker with Compose, or podman, buildah and podman-compose. Builds `dragoman-SERVICE:check`; leaves the images and
nothing else behind.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median, pstdev

import aiohttp
import psutil

from deploy import acl
from loadtest.broadcast import broadcast
from loadtest.conformance import check
from loadtest.demo import view
from loadtest.dubbing import Figures
from loadtest.redis_server import free_port
from loadtest.report import parser, tell
from services import SERVICES
from shared import messages
from shared.context import Event

ROOT = Path(__file__).parents[1]
PROJECT = "dragoman-check"
TAG = "check"
FILES = ("docker-compose.yml", "deploy/redis/compose.yml", "deploy/check.yml")
SOURCE = "http://origin:8801/master.m3u8"
KILLED = ("asr", "downloader", "tts", "sender", "translator", "downloader", "speaker", "sender")
"""Services that lose a replica, in turn: those named twice lose the other one later, so that no role is spared."""
PACE = 8.0
"""Seconds between two kills."""
SLACK = 1.0
"""Seconds that a segment may be published later than usual and still count as in time."""
PID = "{{.State.Pid}}"
USER = "{{.Config.User}}"
WAY_OUT = "import socket; socket.create_connection(('origin', 8801), 3)"


class Broken(Exception):
    """The check cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What builds images and runs Compose files."""

    build: tuple[str, ...]
    compose: tuple[str, ...]
    cli: str

    def __call__(self, *words: str, timeout: float = 60.0) -> str:
        """What a command of the container engine prints."""
        return run([self.cli, *words], timeout=timeout)


def engine() -> Engine:
    """The engine of this machine; Broken names what is missing."""
    if works("docker", "info") and works("docker", "compose", "version"):
        return Engine(("docker", "build"), ("docker", "compose"), "docker")
    if all(map(shutil.which, ("podman", "buildah", "podman-compose"))):
        # Health is asked for by hand: podman wants systemd for its timers.
        os.environ["DISABLE_HC_SYSTEMD"] = "true"
        words = ("buildah", "bud", "--layers", "--format", "docker", "--isolation", "chroot")
        return Engine(words, ("podman-compose",), "podman")
    raise Broken("there is no container engine: install Docker with Compose, or podman, buildah and podman-compose")


def works(*command: str) -> bool:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    return False


def run(command: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a command; Broken with the end of what it said where it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, env=env)
    except subprocess.TimeoutExpired as expired:
        raise Broken(f"{' '.join(command[:4])} ... took more than {timeout:.0f} s") from expired
    if done.returncode:
        raise Broken(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def build(found: Engine, figures: dict[str, float], limit: float) -> None:
    """Every image, each within `limit` seconds."""
    begun = time.monotonic()
    for service in SERVICES:
        at = time.monotonic()
        image = f"dragoman-{service}:{TAG}"
        words = [*found.build, "-t", image, "--build-arg", f"SERVICE={service}", "-f", "deploy/Dockerfile", "."]
        run(words, timeout=limit)
        size = int(found("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
        figures[f"image_mb.{service}"] = size
        say(f"  {image:<26} {time.monotonic() - at:6.1f} s  {size:6.0f} MB")
    figures["build_min"] = (time.monotonic() - begun) / 60


@dataclass
class Deployment:
    """The project as it runs."""

    engine: Engine
    env: Path
    port: int
    metrics: int
    kills: list[float] = field(default_factory=list)
    """Epoch seconds."""
    victims: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *words: str, timeout: float) -> str:
        files = [word for name in FILES for word in ("-f", name)]
        command = [*self.engine.compose, "-p", PROJECT, "--env-file", str(self.env), *files, *words]
        return run(command, timeout=timeout, env={**os.environ, **variables(self.env)})

    def containers(self, service: str = "") -> list[str]:
        """Names of those that run, of one service or of all."""
        labels = [f"label=com.docker.compose.project={PROJECT}"]
        labels += [f"label=com.docker.compose.service={service}"] if service else []
        filters = [word for label in labels for word in ("--filter", label)]
        return sorted(self.engine("ps", *filters, "--format", "{{.Names}}").split())

    def kill(self, service: str) -> None:
        """End the first process of a replica that was spared so far, as a crash would: it is started again."""
        name = next((name for name in self.containers(service) if name not in self.victims), None)
        if name is None:
            raise Broken(f"no replica of {service} is left to kill: {self.containers(service)}")
        pid = int(self.engine("inspect", "--format", PID, name))
        self.victims.append(name)
        self.kills.append(time.time())
        try:
            os.kill(pid, signal.SIGKILL)
        except (PermissionError, ProcessLookupError):  # the engine runs in a machine of its own
            self.engine("kill", "--signal", "KILL", name)
        say(f"  killed {name}")

    def inside(self, name: str, *words: str) -> bool:
        """Whether a command succeeds in a container; entered by hand where the engine may start no second process."""
        if works(self.engine.cli, "exec", name, *words):
            return True
        pid = self.engine("inspect", "--format", PID, name).strip()
        return works("nsenter", "--target", pid, "--mount", "--net", "--pid", "env", "PORT=8080", *words)

    def health(self, name: str) -> bool:
        """Whether the image's own health check says so."""
        told = json.loads(self.engine("inspect", "--format", "{{json .Config.Healthcheck}}", name)) or {}
        words = told.get("Test", [])[1:]
        return bool(words) and self.inside(name, *words)


def variables(path: Path) -> dict[str, str]:
    """The lines of an environment file."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


@contextmanager
def deployed(found: Engine, figures: dict[str, float]) -> Iterator[Deployment]:
    """Embedded, faces and monitoring with Redis users and two replicas each; all of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dragoman-"))
    acl.main([str(folder)])
    broadcast()
    deployment = Deployment(found, folder / "env", free_port(), free_port())
    settings = {
        "COMPOSE_PROFILES": "embedded,faces,monitoring",
        "PUBLISH": f"127.0.0.1:{deployment.port}",
        "PROMETHEUS_PORT": str(deployment.metrics),
        "DOWNLOADER_ALLOW": "origin:8801",
        "REDIS_ACL": str(folder / "users.acl"),
        "TAG": TAG,
        **{f"{service.upper()}_REPLICAS": "2" for service in SERVICES},
    }
    merged = variables(ROOT / ".env.example") | variables(folder / "passwords.env") | settings
    deployment.env.write_text("".join(f"{key}={value}\n" for key, value in merged.items()))
    try:
        say("Starting two replicas of every service")
        begun = time.monotonic()
        deployment.compose("up", "-d", "--no-build", timeout=240)
        figures["up_s"] = time.monotonic() - begun
        yield deployment
    finally:
        with suppress(Broken):
            deployment.compose("down", "-v", "-t", "2", timeout=240)
        shutil.rmtree(folder)


async def ready(deployment: Deployment, client: aiohttp.ClientSession, limit: float = 150.0) -> None:
    """Wait until the API knows a voice for Spanish, which the engines of the replicas announce."""
    said, end = "", time.monotonic() + limit
    while time.monotonic() < end:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with client.get(f"{deployment.url}/v1/languages") as answer:
                said = await answer.text()
                if answer.status == 200 and '"es"' in said:
                    return
        await asyncio.sleep(0.5)
    logs = "".join(deployment.engine("logs", "--tail", "3", name) for name in deployment.containers("tts"))
    raise Broken(f"after {limit:.0f} s no Spanish is served: {said[:300]}\n{logs}")


async def told(client: aiohttp.ClientSession, url: str) -> AsyncIterator[Event]:
    """Every event of a stream, from its first one; goes on where it was when the API's replica goes."""
    after = ""
    found = (kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, messages.Message))
    kinds = {kind.__name__.lower(): kind for kind in found}
    while True:
        with suppress(aiohttp.ClientError, TimeoutError):
            headers = {"Last-Event-ID": after} if after else {}
            async with client.get(url, headers=headers, timeout=aiohttp.ClientTimeout(sock_read=20)) as answer:
                name = ""
                async for raw in answer.content:
                    key, _, value = raw.decode().rstrip("\n").partition(": ")
                    if key == "event":
                        name = value
                    elif key == "id":
                        after = value
                    elif key == "data" and name in kinds:
                        body = json.loads(value)
                        message = kinds[name].model_validate(body.pop("message"))
                        yield Event(id=after, message=message, **body)
        await asyncio.sleep(0.5)


async def dub(deployment: Deployment, seconds: float, figures: dict[str, float]) -> None:
    """Dub for `seconds`, the kills among them, end the stream, and note what was found."""
    async with aiohttp.ClientSession() as client:
        begun = time.monotonic()
        await ready(deployment, client)
        figures["ready_s"] = time.monotonic() - begun
        inspect(deployment, figures)
        asked, started = {"url": SOURCE, "languages": ["es"], "delay": 12, "record": True}, time.time()
        async with client.post(f"{deployment.url}/v1/streams", json=asked) as answer:
            found = await answer.json()
        if answer.status != 201:
            raise Broken(f"the stream was not started: {found}")
        stream = f"{deployment.url}/v1/streams/{found['id']}"
        playlists = f"{deployment.url}/hls/{found['id']}"
        seen = Figures()
        tasks = [
            asyncio.create_task(follow(client, f"{stream}/events", seen)),
            asyncio.create_task(view(playlists, ["es"])),
        ]
        try:
            await dubbed(seen, started, figures)
            say(f"First dubbed segment published after {figures['first_dub_s']:.1f} s")
            await asyncio.to_thread(memory, deployment, figures)
            await asyncio.sleep(max(10.0, seconds - PACE * (len(KILLED) + 2)))
            for service in KILLED:
                await asyncio.to_thread(deployment.kill, service)
                await asyncio.sleep(PACE)
            await asyncio.sleep(PACE * 2)
            figures["replicas_back"] = sum(name in deployment.containers() for name in deployment.victims)
            async with client.delete(stream) as answer:
                if answer.status >= 300:
                    raise Broken(f"the stream could not be ended: {await answer.text()}")
            await asyncio.sleep(8)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        judged(seen, deployment.kills, figures)
        report = await check(f"{playlists}/master.m3u8")
        figures |= {"conformance_errors": len(report.errors), "published_s": report.seconds}
        figures["segments"] = report.segments
        for error in report.errors[:10]:
            say(f"  {error}")


async def follow(client: aiohttp.ClientSession, url: str, seen: Figures) -> None:
    async for event in told(client, url):
        seen.add(event)


async def dubbed(seen: Figures, started: float, figures: dict[str, float], limit: float = 120.0) -> None:
    """Wait for the first segment that bears a dub; `first_dub_s` counts from the call that started the stream."""
    while not seen.dubbed_segments:
        if time.time() > started + limit:
            raise Broken(f"nothing was dubbed in {limit:.0f} s: {seen.line()}")
        await asyncio.sleep(0.25)
    figures["first_dub_s"] = time.time() - started


def inspect(deployment: Deployment, figures: dict[str, float]) -> None:
    """Health, user and way out of the containers."""
    ours = [name for service in SERVICES for name in deployment.containers(service)]
    figures["replicas"] = len(ours)
    sick, end = ours, time.monotonic() + 60
    while sick and time.monotonic() < end:
        sick = [name for name in sick if not deployment.health(name)]
    figures["healthy"] = len(ours) - len(sick)
    figures["root"] = sum(
        deployment.engine("inspect", "--format", USER, name).strip() in ("", "0", "root") for name in ours
    )
    outside = [name for name in ours if deployment.inside(name, "python3", "-c", WAY_OUT)]
    figures["ways_out"] = sum("downloader" not in name for name in outside)
    figures["downloaders_out"] = sum("downloader" in name for name in outside)


def judged(seen: Figures, kills: Sequence[float], figures: dict[str, float]) -> None:
    """What the events say: delays before the kills and over all, how long a kill was felt, what was lost or came twice.

    Lost is an utterance that neither became a clip nor was dropped for a reason, from the first that was translated on:
    before that nobody listened.
    """
    delays = [(at, at - (row.date + row.duration / 90_000)) for at, row in seen.rows]
    calm = [delay for at, delay in delays if at < kills[0]]
    usual = median(calm)
    felt = []
    for kill, until in zip(kills, [*kills[1:], float("inf")], strict=True):
        late = [at - kill for at, delay in delays if kill <= at < until and delay > usual + SLACK]
        felt.append(max(late, default=0.0))
    wanted = min((seen.utterances[name].start for name, _ in seen.translations if name in seen.utterances), default=0.0)
    settled = {name for name, said in seen.utterances.items() if wanted <= said.start and said.end < seen.sealed}
    ended = {utterance for utterance, _ in (*seen.clips, *seen.dropped)}
    numbers = [row.number for _, row in seen.rows]
    figures |= {
        "delay_s": usual,
        "delay_sd_s": pstdev(calm),
        "delay_sd_with_kills_s": pstdev(delay for _, delay in delays),
        "publication_gap_max_s": max(after - before for (before, _), (after, _) in pairwise(delays)),
        "after_kill_max_s": max(felt),
        "after_kill_mean_s": sum(felt) / len(felt),
        "kills": len(kills),
        "utterances": len(seen.utterances),
        "clips": len(seen.clips),
        "lost": len(settled - ended),
        "doubled": sum(seen.repeated.values()),
        "holes": len(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers else 0,
    }


async def scraped(deployment: Deployment, figures: dict[str, float]) -> None:
    """How many of our replicas Prometheus finds by itself and how many of those answer."""
    async with aiohttp.ClientSession() as client:
        with suppress(aiohttp.ClientError):
            async with client.get(f"http://127.0.0.1:{deployment.metrics}/api/v1/targets?state=active") as answer:
                targets = (await answer.json())["data"]["activeTargets"]
            ours = [target for target in targets if target["labels"]["job"] == "dragoman"]
            figures |= {"scraped": len(ours), "scraped_up": sum(target["health"] == "up" for target in ours)}


def memory(deployment: Deployment, figures: dict[str, float]) -> None:
    """Resident megabytes of a replica with all its processes, the largest of each service."""
    for service in SERVICES:
        used = [
            resident(int(deployment.engine("inspect", "--format", PID, name)))
            for name in deployment.containers(service)
        ]
        figures[f"rss_mb.{service}"] = max(used, default=0.0)


def resident(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return float(sum(each.memory_info().rss for each in (first, *first.children(recursive=True)))) / 1e6
    return 0.0


def faults(figures: Mapping[str, float]) -> list[str]:
    """What must not be, in words."""
    expected = {
        "healthy": figures["replicas"],
        "replicas": 2 * len(SERVICES),
        "root": 0,
        "ways_out": 0,
        "downloaders_out": 2,
        "replicas_back": len(KILLED),
        "conformance_errors": 0,
        "holes": 0,
        "lost": 0,
        "doubled": 0,
    }
    found = [f"{key} is {figures[key]:g} and not {want:g}" for key, want in expected.items() if figures[key] != want]
    if "scraped" in figures and figures["scraped_up"] < figures["replicas"]:
        found.append(f"Prometheus reaches {figures['scraped_up']:g} of {figures['replicas']:g} replicas")
    return found


def say(text: str) -> None:
    print(text, flush=True)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    found = parser("compose", __doc__)
    found.add_argument("--seconds", type=float, default=100, help="of dubbing, the kills among them")
    found.add_argument("--no-build", action="store_true", help="with the images of the last time")
    found.add_argument("--build-limit", type=float, default=900, help="seconds for one image")
    return found.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """1 where something is not as it must be."""
    options, figures = arguments(argv), dict[str, float]()
    try:
        found = engine()
        if not options.no_build:
            say(f"Building {len(SERVICES)} images with {found.build[0]}")
            build(found, figures, options.build_limit)
        with deployed(found, figures) as deployment:
            asyncio.run(dub(deployment, options.seconds, figures))
            asyncio.run(scraped(deployment, figures))
            tell("compose", figures, options)
    except Broken as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    for fault in (found_faults := faults(figures)):
        say(fault)
    return int(bool(found_faults))
