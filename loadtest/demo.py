"""Dub the test broadcast, or a URL, on this machine, and show how it goes."""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from loadtest.dubbing import Figures, Watch
from loadtest.processes import ALL_IN_ONE, Processes, mesh
from loadtest.redis_server import free_port

console = Console()


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    if (problem := taken(options.port)) is not None:
        console.print(problem)
        return 1
    try:
        return asyncio.run(demo(options))
    except KeyboardInterrupt:
        return 0
    except RuntimeError as error:
        console.print(f"[red]{error}[/]")
        return 1


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    found = argparse.ArgumentParser(prog="python -m loadtest demo", description=__doc__)
    found.add_argument("--url", help="what to dub; the test broadcast without it")
    found.add_argument("--to", default="es", help="languages, such as es,ca")
    found.add_argument("--seconds", type=float, help="stop after so many seconds and print a summary")
    found.add_argument("--port", type=int, default=8080)
    found.add_argument("--delay", type=float, default=12.0, help="seconds behind live")
    options = found.parse_args(argv)
    options.files = str(Path(options.url or ".").resolve().parent)
    return options


def taken(port: int) -> str | None:
    """A sentence when somebody listens on the port."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return f"Port {port} is taken by another program: stop that, or say PORT={port + 1}."
    return None


def engines(environment: Mapping[str, str]) -> str:
    """Which engines the environment chooses, in words."""
    chosen = {name: value for name, value in environment.items() if name.endswith("_ENGINE")}
    told = (f"{name.removesuffix('_ENGINE').lower()} {value}" for name, value in sorted(chosen.items()))
    return f"{', '.join(told)}, the rest embedded" if chosen else "the embedded engines"


async def demo(options: argparse.Namespace) -> int:
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, done.set)
    async with source(options.url, done) as (url, allowed):
        if done.is_set():
            return 0
        console.print(f"Starting every service in one process, with {engines(os.environ)}")
        environment = {
            "DOWNLOADER_ALLOW": allowed,
            "DOWNLOADER_FILES": options.files,
        }
        async with mesh(ALL_IN_ONE, environment, options.port) as (processes, bus):
            stream = await start(processes, url, options)
            base = f"http://127.0.0.1:{options.port}"
            console.print(f"  watch      {base}/watch/{stream}")
            console.print(f"  playlist   {base}/hls/{stream}/master.m3u8")
            console.print(f"  dashboard  {base}/dashboard?stream={stream}")
            watch, meter = Watch(bus, stream), Meter(processes)
            viewer = asyncio.create_task(view(f"{base}/hls/{stream}", options.to.split(",")))
            try:
                await show(watch, options.seconds, done, meter)
            finally:
                viewer.cancel()
            return summary(watch.figures, processes, meter) if options.seconds else 0


@asynccontextmanager
async def source(url: str | None, done: asyncio.Event) -> AsyncIterator[tuple[str, str]]:
    """What to dub and which address on this machine may be fetched: a URL, a file, or a live origin of our own."""
    if url and "://" not in url:
        yield f"file:{Path(url).name}", ""
    elif url:
        yield url, ""
    else:
        port = free_port()
        console.print("Preparing the test broadcast (the first time takes a minute)")
        command = [sys.executable, "-m", "loadtest", "origin", "--port", str(port)]
        process = psutil.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        address = f"http://127.0.0.1:{port}/master.m3u8"
        try:
            while not done.is_set() and not await answers(address):
                if process.poll() is not None:
                    raise RuntimeError("The test broadcast ended at once: run python -m loadtest origin to see why.")
                await asyncio.sleep(0.3)
            yield address, f"127.0.0.1:{port}"
        finally:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
            process.wait()


async def answers(url: str) -> bool:
    with suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return answer.status == 200
    return False


async def start(processes: Processes, url: str, options: argparse.Namespace, **settings: Any) -> str:
    """Start dubbing by the API, with more settings of the stream. Raises RuntimeError with what the API says."""
    body = {"url": url, "languages": options.to.split(","), "delay": options.delay, **settings}
    async with aiohttp.ClientSession() as client:
        for _ in range(100):
            async with client.post(f"{processes.serving('ingest')}/v1/streams", json=body) as answer:
                found = await answer.json()
            if answer.status != 503:
                break
            await asyncio.sleep(0.2)
    if answer.status >= 300:
        raise RuntimeError(f"{found.get('title', answer.status)}: {found.get('detail', found)}")
    return str(found["id"])


async def view(base: str, languages: Sequence[str]) -> None:
    """Fetch the voice-over playlists as a viewer does, so that the languages are worked for."""
    async with aiohttp.ClientSession() as client:
        while True:
            for language in languages:
                with suppress(aiohttp.ClientError):
                    async with client.get(f"{base}/{language}.m3u8") as answer:
                        await answer.read()
            await asyncio.sleep(4)


class Meter:
    """CPU in steady state: from the first published segment on."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._start: tuple[float, float] | None = None
        self.used = 0.0
        """CPU seconds a media second."""

    def read(self, sealed: float) -> None:
        spent = sum(worker.cpu() for worker in self._processes.workers)
        if self._start is None and sealed:
            self._start = sealed, spent
        elif self._start and sealed > self._start[0]:
            self.used = (spent - self._start[1]) / (sealed - self._start[0])


async def show(watch: Watch, seconds: float | None, done: asyncio.Event, meter: Meter) -> None:
    """Follow the stream until it is over, somebody says stop, or the time is up."""
    end = time.monotonic() + (seconds or float("inf"))
    with Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else nullcontext() as live:
        said = ""
        while not done.is_set() and time.monotonic() < end and not watch.over:
            await watch.follow(wait=1.0)
            meter.read(watch.figures.sealed)
            if live is not None:
                live.update(panel(watch))
            elif (line := watch.figures.line()) != said:
                console.print(said := line, soft_wrap=True)
    if watch.reason:
        console.print(f"[red]{watch.reason}[/]")


def panel(watch: Watch) -> Group:
    """Every stage with its head and lag, the last sentences, the delay."""
    table = Table("stage", "head", "lag")
    for stage, (until, lag) in watch.figures.stages().items():
        table.add_row(stage, f"{until:.1f} s", f"{lag:.1f} s")
    heard, said = watch.figures.last
    return Group(table, Text(f"in   {heard}"), Text(f"out  {said}"), Text(watch.figures.line()))


def summary(figures: Figures, processes: Processes, meter: Meter) -> int:
    """What was published; 0 only where dubbed segments were."""
    memory = sum(worker.memory() for worker in processes.workers)
    found = figures.summary() | {"cpu_per_media_s": meter.used, "rss_mb": memory}
    table = Table("figure", "value")
    for key, value in found.items():
        table.add_row(key, f"{value:.3f}")
    console.print(table)
    if not figures.dubbed_segments:
        console.print("[red]No dubbed segment was published.[/] The services say:\n" + processes.tail())
        return 1
    console.print(f"Published {figures.dubbed_segments} dubbed segments.")
    return 0
