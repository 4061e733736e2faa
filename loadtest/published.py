"""What is listed when: a media playlist watched at its edge, as its viewers see it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import aiohttp
import numpy as np

LOOK = 0.1
"""Seconds between two looks for a segment that is due."""
EARLY = 0.3
"""Seconds before it is due that the looks begin."""
PATIENCE = 0.2
"""Share of the time past due that passes between two looks."""
LEARNT = 0.1
"""Share of its lateness by which the next segment is expected later."""
JOIN = 0.05
"""Seconds by which neighbours may miss each other: dates have milliseconds."""


class Entry(NamedTuple):
    """A segment of a media playlist."""

    number: int
    start: float
    """Date of its capture, epoch seconds."""
    duration: float
    uri: str = ""

    @property
    def end(self) -> float:
        """Date at which it was captured as a whole."""
        return self.start + self.duration


class Listed(NamedTuple):
    """A segment, and when a viewer could see it first (epoch seconds)."""

    at: float
    entry: Entry

    @property
    def delay(self) -> float:
        """Seconds from the capture of its end to its publication."""
        return self.at - self.entry.end


def entries(text: str) -> list[Entry]:
    """Segments of a media playlist that dates each of them; gaps (EXT-X-GAP) are left out."""
    found: list[Entry] = []
    number, date, duration, gap = 0, 0.0, 0.0, False
    for line in text.splitlines():
        tag, _, value = line.partition(":")
        match tag:
            case "#EXT-X-MEDIA-SEQUENCE":
                number = int(value)
            case "#EXT-X-PROGRAM-DATE-TIME":
                date = datetime.fromisoformat(value).timestamp()
            case "#EXTINF":
                duration = float(value.rstrip(","))
            case "#EXT-X-GAP":
                gap = True
            case _ if line and not line.startswith("#"):
                if not gap:
                    found.append(Entry(number, date, duration, line))
                number, gap = number + 1, False
    return found


@dataclass
class Edge:
    """One playlist as it grew; what was there at the first look has no known time and is no sample."""

    listed: list[Listed] = field(default_factory=list)
    last: Entry | None = None
    speed: float = 1.0
    """Media seconds that pass in a second."""
    due: float = 0.0
    """When the next segment is expected: a stream that was late may be in time again."""
    looks: int = 0
    failures: int = 0
    """Looks that got no playlist after there had been one."""

    def see(self, found: Sequence[Entry], at: float) -> bool:
        """Take in a look; whether it showed anything new."""
        self.looks += 1
        if self.last is None:
            new = list(found[-1:])
            self.due = at
        else:
            new = [entry for entry in found if entry.number > self.last.number]
            self.listed += [Listed(at, entry) for entry in new]
        if new:
            self.last = new[-1]
            self.due += sum(entry.duration for entry in new[:-1]) / self.speed
            self.due = min(at, self.due + LEARNT * (at - self.due)) + self.last.duration / self.speed
        return bool(new)

    def wait(self, now: float) -> float:
        """Seconds until the next look."""
        if self.last is None:
            return 0.5
        return max(LOOK, PATIENCE * (now - self.due), self.due - EARLY - now)

    def between(self, start: float, end: float) -> list[Listed]:
        """Segments that were listed in [start, end)."""
        return [each for each in self.listed if start <= each.at < end]


def holes(listed: Sequence[Listed]) -> int:
    """Neighbours that do not join, in number or in time."""
    return sum(
        after.entry.number != before.entry.number + 1 or abs(after.entry.start - before.entry.end) > JOIN
        for before, after in pairwise(listed)
    )


def delays(listed: Sequence[Listed]) -> dict[str, float]:
    """Mean, standard deviation and 99th percentile of the delay; nothing without samples."""
    if not listed:
        return {}
    values = np.array([each.delay for each in listed])
    p99 = float(np.percentile(values, 99))
    return {"delay_mean_s": float(values.mean()), "delay_sd_s": float(values.std()), "delay_p99_s": p99}


def late_until(listed: Sequence[Listed], most: float) -> float | None:
    """When the last segment was listed that had more than `most` seconds of delay; None where none had."""
    return max((each.at for each in listed if each.delay > most), default=None)


async def follow(client: aiohttp.ClientSession, urls: Sequence[str], edge: Edge) -> None:
    """Watch a playlist until cancelled; the next URL, of another replica, where one does not answer."""
    turn = 0
    while True:
        with suppress(aiohttp.ClientError, TimeoutError):
            found: list[Entry] | None = None
            try:
                async with client.get(urls[turn % len(urls)], timeout=aiohttp.ClientTimeout(3)) as answer:
                    if answer.status == 200:
                        found = entries(await answer.text())
                    elif answer.status >= 500:
                        turn += 1
            except (aiohttp.ClientError, TimeoutError):
                turn += 1
                raise
            finally:
                edge.failures += found is None and edge.last is not None
            if found:
                edge.see(found, time.time())
        await asyncio.sleep(edge.wait(time.time()))
