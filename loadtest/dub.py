"""Play a recording as a live stream through the whole mesh, every service a process of its own, and measure the dub."""

import argparse
import asyncio
import csv
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path

import psutil

from loadtest.demo import answers, start
from loadtest.dubbing import Watch
from loadtest.processes import EACH_ALONE, Processes, mesh
from loadtest.redis_server import free_port
from loadtest.report import parser, tell
from loadtest.scores import wer
from shared.audio import BASE, TICKS
from shared.bus import Bus
from shared.messages import Utterance


def main(argv: Sequence[str]) -> int:
    found = parser("dub", __doc__)
    found.add_argument("--speech", type=Path, required=True, help="folder with streams/NAME.flac and NAME.txt")
    found.add_argument("--name", default="stream-A")
    found.add_argument("--to", default="es")
    found.add_argument("--delay", type=float, default=12.0)
    found.add_argument("--voice-ratio", type=float, default=0.0, help="pace the voice: 1.0x lasts R times the source")
    found.add_argument("--seconds", type=float, default=420.0, help="stop at the latest after this long")
    options = found.parse_args(argv)
    recording = options.speech / "streams" / f"{options.name}.flac"
    if not recording.exists():
        found.error(f"there is no {recording}")
    tell("dub", asyncio.run(dub(options, recording)), options)
    return 0


async def dub(options: argparse.Namespace, recording: Path) -> dict[str, float]:
    """The figures of one live run."""
    port = free_port()
    command = [sys.executable, "-m", "loadtest", "origin", "--port", str(port), "--recording", str(recording), "--once"]
    environment = {"DOWNLOADER_ALLOW": f"127.0.0.1:{port}"}
    if options.voice_ratio:
        environment["TTS_VOICE_RATIO"] = str(options.voice_ratio)
    async with mesh(EACH_ALONE, environment) as (processes, bus):
        origin = psutil.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}/master.m3u8"
            while not await answers(url):
                if origin.poll() is not None:
                    raise RuntimeError("the origin ended at once")
                await asyncio.sleep(0.2)
            before = {worker.label: worker.cpu() for worker in processes.workers}
            watch = Watch(bus, await start(processes, url, options))
            await follow(watch, wanting(bus, watch.stream, options.to), options.seconds)
            figures = watch.figures.summary()
            return figures | costs(processes, before, figures["media_s"]) | heard(watch, recording.with_suffix(".txt"))
        finally:
            origin.terminate()
            origin.wait()


async def wanting(bus: Bus, stream: str, to: str) -> None:
    """Say that somebody listens, as a viewer's player does by fetching."""
    while True:
        for language in to.split(","):
            await bus.want(stream, language)
        await asyncio.sleep(5)


async def follow(watch: Watch, viewing: Coroutine[None, None, None], seconds: float) -> None:
    viewer = asyncio.create_task(viewing)
    end = time.monotonic() + seconds
    try:
        while not watch.over and time.monotonic() < end:
            await watch.follow(wait=1.0)
            sys.stderr.write(f"\r{watch.figures.line()}")
    finally:
        viewer.cancel()
        sys.stderr.write("\n")
    if watch.reason:
        raise RuntimeError(watch.reason)


def costs(processes: Processes, before: dict[str, float], media: float) -> dict[str, float]:
    """CPU seconds per media second, whole and by service, and resident memory."""
    spent = {worker.label: (worker.cpu() - before[worker.label]) / media for worker in processes.workers}
    found = {f"cpu.{label}": value for label, value in spent.items()}
    memory = {f"rss_mb.{worker.label}": worker.memory() for worker in processes.workers}
    return found | memory | {"cpu_per_media_s": sum(spent.values()), "rss_mb": sum(memory.values())}


def heard(watch: Watch, reference: Path) -> dict[str, float]:
    """WER against the transcript, and gender accuracy against the timeline, where there are such files."""
    utterances = sorted(watch.figures.utterances.values(), key=lambda each: each.start)
    found: dict[str, float] = {}
    if reference.exists():
        found["wer"] = wer(reference.read_text(), " ".join(each.text for each in utterances))
    timeline = reference.with_suffix(".csv")
    if timeline.exists():
        rights = list(genders(utterances, timeline))
        found["gender_accuracy"] = sum(rights) / max(1, len(rights))
    return found


def genders(utterances: Sequence[Utterance], timeline: Path) -> Iterator[bool]:
    """Whether each utterance has the gender of who speaks in its middle; where nobody does, it does not count."""
    with timeline.open() as lines:
        spans = [(float(row["start"]), float(row["end"]), row["gender"].lower()) for row in csv.DictReader(lines)]
    for each in utterances:
        middle = (each.start + each.end) / 2 - BASE / TICKS
        true = next((gender for start, end, gender in spans if start <= middle <= end), "?")
        if true in ("f", "m") and each.gender:
            yield true == each.gender
