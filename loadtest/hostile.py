"""Plays a hostile origin live through downloader and sender: what comes out must be a presentation without fault.

python -m loadtest hostile --seconds 180 --kill-every 20
python -m loadtest hostile --virtual 3600
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from statistics import median

from loadtest import endless
from loadtest.broadcast import tone
from loadtest.coding import SEGMENT
from loadtest.conformance import check
from loadtest.origin import Fault, Kind, Origin
from loadtest.processes import Processes, mesh
from loadtest.redis_server import free_port
from loadtest.report import parser, tell
from shared.audio import TICKS
from shared.bus import Bus
from shared.context import Event, Record
from shared.messages import End, Gap, MediaSegment, StreamStarted

WHOLE = 180.0
"""Seconds for which the script is written; a shorter run has the same faults closer together."""
SCRIPT = (
    Fault(Kind.AD, 20, 8),
    Fault(Kind.RESET, 36),
    Fault(Kind.MISSING, 46, 4),
    Fault(Kind.OUTAGE, 60, 8),
    Fault(Kind.EXPIRY, 80),
    Fault(Kind.OVERRUN, 92, 20),
    Fault(Kind.CODEC, 116, 6),
    Fault(Kind.MISSING, 126, 2),
    Fault(Kind.RESET, 136),
    Fault(Kind.EXPIRY, 146),
    Fault(Kind.AD, 154, 8),
)
GROWTH = 16.0
"""Megabytes that a process may grow between the first minutes and the end: allocators do not give all back."""
DELAY = 12.0
"""Seconds from capture to publication, without those of the player."""
STREAM = "hostile"


def script(seconds: float) -> tuple[Fault, ...]:
    """The faults at their times in a run of `seconds`; each lasts as long as ever."""
    share = min(seconds / WHOLE, 1.0)
    return tuple(Fault(fault.kind, SEGMENT * round(fault.at * share / SEGMENT), fault.duration) for fault in SCRIPT)


def withheld(origin: Origin, first: int, last: int) -> set[int]:
    """Slots in [first, last) that nobody could have fetched: missing ones, and those that the window overran."""
    lost = {number for number in range(first, last) if origin.script.slot(number).missing}
    for fault in origin.script.faults:
        if fault.kind is Kind.OVERRUN:
            seen, again = int(fault.at / SEGMENT), int((fault.at + fault.duration) / SEGMENT)
            lost |= set(range(max(seen, first), min(again - origin.window, last)))
    return lost


class Killer:
    """Kills a replica of the downloader now and then, once its replacement runs; it watches that no other one dies."""

    def __init__(self, processes: Processes, every: float | None) -> None:
        self._processes, self._every = processes, every
        self._next = time.monotonic() + (every or 0)
        self.kills = self.crashes = 0

    async def look(self) -> None:
        """Kill the eldest replica when it is time, and replace what has ended."""
        for gone in [worker for worker in self._processes.workers if worker.process.poll() is not None]:
            self._processes.workers.remove(gone)
            self.crashes += 1
            self._processes.start(gone.label, gone.names)
        if self._every and time.monotonic() > self._next:
            await self._processes.ready()
            self._next = time.monotonic() + self._every
            eldest = next(worker for worker in self._processes.workers if "downloader" in worker.names)
            eldest.process.send_signal(signal.SIGKILL)
            eldest.process.wait()
            self._processes.workers.remove(eldest)
            self._processes.start(eldest.label, eldest.names)
            self.kills += 1


@asynccontextmanager
async def stage(port: int, replicas: int) -> AsyncIterator[tuple[Processes, Bus]]:
    """Downloaders and a sender as processes."""
    layout = {**{f"downloader-{number}": ("downloader",) for number in range(replicas)}, "sender": ("sender",)}
    async with mesh(layout, {"DOWNLOADER_ALLOW": f"127.0.0.1:{port}"}) as found:
        yield found


async def play(options: argparse.Namespace) -> dict[str, float]:
    """One run to the end of the origin; the presentation is judged when all of it is published."""
    port = free_port()
    async with stage(port, 2 if options.kill_every else 1) as (processes, bus):
        faults = script(options.seconds)
        async with Origin(tone(), faults, length=options.seconds, port=port) as origin:
            record = Record(stream=STREAM, url=origin.url, delay=DELAY, record=True, created_at=time.time())
            await bus.post(record, "", StreamStarted(stream=STREAM, until=0.0))
            killer = Killer(processes, options.kill_every)
            events = await follow(bus, killer, options.seconds + DELAY + 60)
            report = await check(f"{processes.serving('sender')}/hls/{STREAM}/master.m3u8")
        for error in report.errors[:40]:
            sys.stderr.write(f"{error}\n")
        for gap in (event.message for event in events if event.stage == "downloader"):
            if isinstance(gap, Gap):
                sys.stderr.write(f"gap from {gap.start - 10:.1f} to {gap.end - 10:.1f}: {gap.reason}\n")
        if report.errors or killer.crashes or options.log:
            sys.stderr.write(processes.tail(60) + "\n")
        return figures(events, origin, killer) | {
            "conformance_errors": len(report.errors),
            "published_s": report.seconds,
        }


async def follow(bus: Bus, killer: Killer, most: float) -> list[Event]:
    """Events up to the sender's end, or for `most` seconds."""
    found: list[Event] = []
    deadline = time.monotonic() + most
    while time.monotonic() < deadline:
        more = await bus.events(STREAM, found[-1].id if found else "0", wait=0.5)
        await killer.look()
        found += more
        if any(event.stage == "sender" and isinstance(event.message, End) for event in more):
            break
    return found


def figures(events: Sequence[Event], origin: Origin, killer: Killer) -> dict[str, float]:
    """What the downloader made of it. The clock's error is the largest distance of date and media time from its
    median; the origin's dates are whole milliseconds.
    """
    told = [event.message for event in events if event.stage == "downloader"]
    segments = [message for message in told if isinstance(message, MediaSegment)]
    gaps = [message for message in told if isinstance(message, Gap)]
    ends = [message for message in told if isinstance(message, End)]
    result: dict[str, float] = {
        "faults": len(origin.script.faults),
        "crashes": killer.crashes + sum(end.reason == "failed" for end in ends) + (not ends),
        "kills": killer.kills,
        "segments": len(segments),
    }
    if not segments:
        return result
    offsets = [segment.date - segment.start / TICKS for segment in segments]
    middle = median(offsets)
    first = round((segments[0].date - origin.started_at) / SEGMENT)
    last = origin.last or first
    return result | {
        "backwards": sum(after.start < before.end for before, after in pairwise(segments)),
        "withheld_s": float(SEGMENT * len(withheld(origin, first, last))),
        "gap_s": sum(gap.end - gap.start for gap in gaps),
        "clock_error_ms": 1000 * max(abs(offset - middle) for offset in offsets),
    }


def endlessly(options: argparse.Namespace) -> int:
    """The script again and again on a virtual clock."""
    result = endless.measure(endless.hours(SCRIPT, WHOLE, options.virtual), options.virtual, withheld)
    tell("endless", result, options)
    off = abs(result["gap_s"] - result["withheld_s"])
    return int(
        any(result[key] for key in ("backwards", "head_backwards"))
        or off > SEGMENT
        or result["clock_error_ms"] >= 1
        or result["memory_growth_mb"] > GROWTH
    )


def main(argv: Sequence[str]) -> int:
    found = parser("hostile", __doc__)
    found.add_argument("--seconds", type=float, default=WHOLE, help="media of the origin")
    found.add_argument("--kill-every", type=float, metavar="S", help="SIGKILL a downloader every S seconds")
    found.add_argument(
        "--virtual", type=float, metavar="S", help="S media seconds on a virtual clock, without services"
    )
    found.add_argument("--log", action="store_true", help="print the end of the services' log in any case")
    options = found.parse_args(argv)
    if options.virtual:
        return endlessly(options)
    result = asyncio.run(play(options))
    tell("origin", result, options)
    wrong = ("crashes", "backwards", "conformance_errors")
    off = abs(result.get("gap_s", 0.0) - result.get("withheld_s", 1e9))
    return int(any(result.get(key) for key in wrong) or off > SEGMENT or result.get("clock_error_ms", 1e9) >= 2)
