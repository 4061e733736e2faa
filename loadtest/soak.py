"""Hours of streams that start, run and end: what grows although the load does not.

python -m loadtest soak --hours 3 --speed 6       # origins and Redis's expiry run six times as fast
python -m loadtest soak --minutes 20              # in real time
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import psutil

from loadtest.capacity import trend
from loadtest.coding import SEGMENT
from loadtest.fleet import Fleet, Load, Reading, fleet
from loadtest.published import Listed, holes
from loadtest.report import parser, show, tell
from loadtest.streams import settle
from loadtest.virtual import VirtualMesh
from services.asr import service as asr
from services.segmenter import service as segmenter
from services.speaker import service as speaker
from services.translator import service as translator
from services.tts import service as tts
from shared.audio import BASE, TICKS
from shared.bus import Service
from shared.context import Record
from shared.messages import AudioChunk, Head, MediaSegment, Message

PER_HOUR = ("delay_s", "rss_mb", "redis_kb", "keys", "files")


@dataclass
class Diary:
    """What was read when; times in media hours."""

    hours: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {key: [] for key in PER_HOUR})
    services: dict[str, list[float]] = field(default_factory=dict)
    """Resident megabytes by service."""

    def write(self, hours: float, reading: Reading, delay: float) -> None:
        """Add an entry."""
        self.hours.append(hours)
        new = {
            "delay_s": delay,
            "rss_mb": sum(reading.rss.values()),
            "redis_kb": reading.redis["bytes"] / 1000,
            "keys": reading.redis["keys"],
            "files": float(reading.files),
        }
        for key, value in new.items():
            self.values[key].append(value)
        for name, value in reading.rss.items():
            self.services.setdefault(name, []).append(value)

    def figures(self) -> dict[str, float]:
        """Growth per hour of media over the second half, two standard errors beside each, and the last values."""
        half = len(self.hours) // 2
        at, found = self.hours[half:], {}
        for key, values in self.values.items():
            found[f"{key}_per_h"], found[f"{key}_per_h.error"] = trend(at, values[half:])
            found[f"{key}.last"] = values[-1]
        for name, values in self.services.items():
            found[f"rss_mb_per_h.{name}"] = trend(at, values[half:])[0]
        return found


async def hurry(mesh: Fleet, seconds: float) -> None:
    """Let every key in Redis that expires do so earlier by `seconds`: the part of the time that Redis does not see."""
    keys: list[Any] = [key async for key in mesh.redis.scan_iter(count=500)]
    pipe = mesh.redis.pipeline(transaction=False)
    for key in keys:
        pipe.pttl(key)
    left: list[int] = await pipe.execute()
    for key, milliseconds in zip(keys, left, strict=True):
        if milliseconds > 0:
            # A key's last second is its own: it may be in use.
            pipe.pexpire(key, max(1000, milliseconds - round(1000 * seconds)))
    await pipe.execute()


def behind(mesh: Fleet, listed: Sequence[Listed]) -> float:
    """Mean delay of segments in media seconds."""
    speed, epoch = mesh.load.speed, mesh.epoch
    return fmean(epoch + (each.at - epoch) * speed - each.entry.end for each in listed)


class Turnover:
    """Lets each stream live for so many media seconds and starts another one in its place."""

    def __init__(self, mesh: Fleet, life: float, start: float) -> None:
        self._mesh, self._life, self.ended = mesh, life, 0
        # The first ones end one after the other, as they will from then on.
        many = len(mesh.streams)
        self._ends = {stream.name: start + life * (number + 1) / many for number, stream in enumerate(mesh.streams)}
        self.holes = 0

    async def look(self, now: float) -> None:
        """Replace the streams whose time is over at `now`, media seconds."""
        over = [stream for stream in self._mesh.streams if self._life and self._ends[stream.name] <= now]
        for stream in over:
            self.holes += holes(stream.edge.listed)
        if over:
            await self._mesh.drop(over)
            await self._mesh.add(len(over), audited=False)
            self.ended += len(over)
            for stream in self._mesh.streams[-len(over) :]:
                self._ends[stream.name] = now + self._life


async def soak(options: argparse.Namespace) -> dict[str, float]:
    """One run."""
    load = Load(delay=options.delay, speed=options.speed, together=options.together)
    diary, began = Diary(), time.monotonic()
    async with fleet(load) as mesh:
        await mesh.add(options.streams, audited=False)
        await settle(mesh, mesh.streams)
        start = read_at = time.time()
        turnover = Turnover(mesh, options.life, 0.0)
        while (passed := time.time() - start) * options.speed < options.hours * 3600:
            await asyncio.sleep(options.every)
            now = time.time()
            if options.speed > 1:
                await hurry(mesh, (now - read_at) * (options.speed - 1))
            new = [each for listed in mesh.listed(read_at, now).values() for each in listed]
            read_at = now
            if new:
                diary.write(passed * options.speed / 3600, await mesh.read(), behind(mesh, new))
            await turnover.look(passed * options.speed)
        turnover.holes += sum(holes(stream.edge.listed) for stream in mesh.streams)
    told(diary)
    found = diary.figures() | {"holes": float(turnover.holes), "streams_ended": float(turnover.ended)}
    found["redis_kb_per_stream"] = diary.values["redis_kb"][-1] / options.streams
    found["rss_mb_per_h_per_stream"] = found["rss_mb_per_h"] / options.streams
    found["redis_kb_per_h_per_stream"] = found["redis_kb_per_h"] / options.streams
    return found | {"wall_s": time.monotonic() - began}


async def virtual(options: argparse.Namespace) -> dict[str, float]:
    """The stages from asr to place on a virtual clock; growth of their states, of memory and of open files."""
    began, process = time.monotonic(), psutil.Process()
    hours: list[float] = []
    values: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="dragoman-soak-") as folder:
        mesh = VirtualMesh(stages(folder), Record(stream="soak", languages=("es",), live=True, segment=SEGMENT))
        await mesh.start()
        for number in range(round(options.hours * 3600 / SEGMENT)):
            await mesh.feed("downloader", *captured(number))
            if number % 5 == 4:
                mesh.sent.clear()
                hours.append(number * SEGMENT / 3600)
                sizes = mesh.sizes()
                new = {f"state_kb.{stage}": size / 1000 for stage, size in sizes.items()}
                new |= {"state_kb": sum(sizes.values()) / 1000, "rss_mb": process.memory_info().rss / 1e6}
                for key, value in (new | {"files": float(process.num_fds())}).items():
                    values.setdefault(key, []).append(value)
        await mesh.stop()
    half = len(hours) // 2
    found: dict[str, float] = {}
    for key, series in values.items():
        found[f"{key}_per_h"], found[f"{key}_per_h.error"] = trend(hours[half:], series[half:])
        found[f"{key}.last"] = series[-1]
    return found | {"wall_s": time.monotonic() - began}


def stages(folder: str) -> list[Service]:
    """Scripted stages between downloader and sender."""
    return [
        asr.create(asr.Settings(engine="scripted")),
        segmenter.create(),
        speaker.create(speaker.Settings(engine="scripted")),
        translator.create(translator.Settings(engine="scripted")),
        *tts.create(tts.Settings(engine="scripted", store=f"file://{folder}")),
    ]


def captured(number: int) -> list[Message]:
    """What a downloader says of one segment, without its sound and picture."""
    start = BASE / TICKS + number * SEGMENT
    found: list[Message] = []
    for at in (start + 0.5 * part for part in range(2 * SEGMENT)):
        found.append(AudioChunk(stream="soak", until=at + 0.5, start=at, end=at + 0.5, captured_at=0.0))
    end, ticks = start + SEGMENT, round(start * TICKS)
    segment = {"start": ticks, "duration": SEGMENT * TICKS, "video": None, "audio": None}
    found.append(MediaSegment(stream="soak", until=end, date=start, captured_at=0.0, **segment))
    return [*found, Head(stream="soak", until=end, head=end)]


def told(diary: Diary) -> None:
    """Print how it went, in a dozen rows."""
    rows = list(zip(diary.hours, *diary.values.values(), strict=True))
    show("soak", ("media h", *diary.values), rows[:: max(1, len(rows) // 12)])


def main(argv: Sequence[str]) -> int:
    found = parser("soak", __doc__)
    found.add_argument("--hours", type=float, default=1.0, help="of media")
    found.add_argument("--minutes", type=float, help="in real time, in place of --hours")
    found.add_argument("--speed", type=float, default=6.0, help="media seconds a second")
    found.add_argument("--streams", type=int, default=2, help="live streams at once")
    life = "media seconds of a stream, 0: for ever; 600 unless --minutes says real time"
    found.add_argument("--life", type=float, help=life)
    found.add_argument("--every", type=float, default=5.0, help="seconds between two readings")
    found.add_argument("--delay", type=float, default=12.0, help="media seconds behind live")
    found.add_argument("--together", action="store_true", help="all services in one process")
    found.add_argument("--virtual", action="store_true", help="states alone, on a virtual clock")
    options = found.parse_args(argv)
    if options.life is None:
        # What an ended stream leaves in Redis stays for an hour: less time than that shows no level.
        options.life = 0.0 if options.minutes else 600.0
    if options.minutes:
        options.hours, options.speed = options.minutes / 60, 1.0
    figures = asyncio.run(virtual(options) if options.virtual else soak(options))
    tell("soak", figures, options)
    if late := figures.get("delay_s.last", 0.0) > options.delay + 2 * SEGMENT + options.speed:
        print("the machine did not keep up, so the slopes say nothing: take a lower --speed or fewer --streams")
    return int(late or figures.get("holes", 0.0) > 0)
