"""Play a recording as a live stream through the whole mesh, every service a process of its own, and measure the dub."""

import argparse
import asyncio
import csv
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from loadtest import omnisteval, traces
from loadtest.demo import answers, start
from loadtest.diarisation import DOUBTFUL
from loadtest.dubbing import Figures, Watch
from loadtest.processes import EACH_ALONE, Processes, mesh
from loadtest.redis_server import free_port
from loadtest.report import parser, tell
from loadtest.scores import wer
from loadtest.transport import ENVIRONMENT, carried, killing
from shared.audio import BASE, TICKS
from shared.bus import Bus
from shared.messages import Utterance


def main(argv: Sequence[str]) -> int:
    found = parser("dub", __doc__)
    found.add_argument("--speech", type=Path, required=True, help="folder with streams/NAME.flac and NAME.txt")
    found.add_argument("--name", default="stream-A")
    found.add_argument("--to", default="es")
    found.add_argument("--delay", type=_delays, default=[12.0], help="seconds, or several by comma: a run for each")
    found.add_argument("--voice-ratio", type=float, default=0.0, help="pace the voice: 1.0x lasts R times the source")
    found.add_argument("--seconds", type=float, default=420.0, help="stop at the latest after this long")
    found.add_argument("--transport", action="store_true", help="translate so that it can be undone, and compare")
    found.add_argument("--kill-every", type=float, default=0.0, help="seconds between kills of a replica; 0: none")
    found.add_argument("--trace", type=Path, metavar="FILE", help="keep the timings for `placement --trace`")
    found.add_argument("--log", type=Path, metavar="FOLDER", help="write instances.log and more for OmniSTEval")
    options = found.parse_args(argv)
    recording = options.speech / "streams" / f"{options.name}.flac"
    if not recording.exists():
        found.error(f"there is no {recording}")
    figures: dict[str, float] = {}
    for delay in options.delay:
        run = argparse.Namespace(**vars(options) | {"delay": delay})
        suffix = f".d{delay:g}" if len(options.delay) > 1 else ""
        figures |= {f"{key}{suffix}": value for key, value in asyncio.run(dub(run, recording)).items()}
    tell("dub", figures, options)
    return 0


async def dub(options: argparse.Namespace, recording: Path) -> dict[str, float]:
    """The figures of one live run."""
    port = free_port()
    command = [sys.executable, "-m", "loadtest", "origin", "--port", str(port), "--recording", str(recording), "--once"]
    environment = {"DOWNLOADER_ALLOW": f"127.0.0.1:{port}"} | (ENVIRONMENT if options.transport else {})
    if options.voice_ratio:
        environment["TTS_VOICE_RATIO"] = str(options.voice_ratio)
    async with mesh(EACH_ALONE, environment) as (processes, bus):
        origin = psutil.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        chores: list[asyncio.Task[None]] = []
        try:
            url = f"http://127.0.0.1:{port}/master.m3u8"
            while not await answers(url):
                if origin.poll() is not None:
                    raise RuntimeError("the origin ended at once")
                await asyncio.sleep(0.2)
            before = {worker.label: worker.cpu() for worker in processes.workers}
            watch = Watch(bus, await start(processes, url, options))
            chores.append(asyncio.create_task(wanting(bus, watch.stream, options.to)))
            if options.kill_every:
                chores.append(asyncio.create_task(killing(processes, options.kill_every)))
            await follow(watch, chores, options.seconds)
            figures = watch.figures.summary()
            keep(watch.figures, options)
            if options.transport:
                figures |= transported(watch.figures, options.to)
            return figures | costs(processes, before, figures["media_s"]) | heard(watch, recording.with_suffix(".txt"))
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            origin.terminate()
            origin.wait()


def keep(figures: Figures, options: argparse.Namespace) -> None:
    """Write what was asked for, of the first language."""
    language = options.to.split(",")[0]
    if options.trace:
        traces.write(options.trace, figures.arrivals(language))
    if options.log and figures.translations:
        omnisteval.write(options.log, figures.phrases(language), figures.delay)


def transported(figures: Figures, to: str) -> dict[str, float]:
    """Of the worst language: chrF of what was carried, and what was lost or doubled; what is on its way is neither."""
    until = figures.untils.get("translator", 0.0)
    words = [word.text for word in figures.words if word.start < until]
    utterances = [each for each in figures.utterances.values() if each.start < until]
    translations = list(figures.translations.values())
    found = [carried(words, utterances, translations, language) for language in to.split(",")]
    worst = {key: max(each[key] for each in found) for key in ("lost", "doubled")}
    worst["doubled"] += figures.repeated["Translation"]
    return {"transport_chrf": min(each["transport_chrf"] for each in found)} | worst


async def wanting(bus: Bus, stream: str, to: str) -> None:
    """Say that somebody listens, as a viewer's player does by fetching."""
    while True:
        for language in to.split(","):
            await bus.want(stream, language)
        await asyncio.sleep(5)


async def follow(watch: Watch, chores: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Until the stream is over or the time is up. Raises what a chore raises, and RuntimeError where it fails."""
    end = time.monotonic() + seconds
    while not watch.over and time.monotonic() < end:
        await watch.follow(wait=1.0)
        sys.stderr.write(f"\r{watch.figures.line()}")
        for chore in chores:
            if chore.done():
                chore.result()
    sys.stderr.write("\n")
    if watch.reason:
        raise RuntimeError(watch.reason)


def costs(processes: Processes, before: dict[str, float], media: float) -> dict[str, float]:
    """CPU seconds per media second, whole and by service, and resident memory."""
    spent = {worker.label: (worker.cpu() - before.get(worker.label, 0.0)) / media for worker in processes.workers}
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
    """Whether each utterance has the gender of who speaks in its middle; where nobody known does, it does not count."""
    with timeline.open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["speaker"] not in DOUBTFUL]
    spans = [(float(row["start"]), float(row["end"]), row["gender"].lower()) for row in rows]
    for each in utterances:
        middle = (each.start + each.end) / 2 - BASE / TICKS
        true = next((gender for start, end, gender in spans if start <= middle <= end), "?")
        if true in ("f", "m") and each.gender:
            yield true == each.gender


def _delays(text: str) -> list[float]:
    return [float(delay) for delay in text.split(",")]
