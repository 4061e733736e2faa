"""Seeded, synthetic hours of phrases. Not fitted to a corpus: medians and ratios are assumptions, stated here.

Phrase length: log-normal, median 3.6 s, cut at 10 s; 3 % of the phrases start a burst of fast talk (8 to 24 phrases,
pauses x 0.35, translations 0.15 longer); target/source duration is normal with the scenario's mean and deviation.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from services.tts.placement import Phrase

SHORTER = 0.8
"""Length of the shorter wording against the full one."""


@dataclass(frozen=True)
class Scenario:
    """How one kind of programme talks."""

    ratio: float
    spread: float
    pause: float
    """Mean of the short pauses, seconds."""
    silence: float
    """Chance of a silence of 2-9 s before a phrase."""


SCENARIOS = {
    "calm": Scenario(1.05, 0.25, 0.50, 0.12),
    "base": Scenario(1.20, 0.30, 0.35, 0.08),
    "fast": Scenario(1.30, 0.30, 0.22, 0.06),
    "iso": Scenario(1.02, 0.12, 0.35, 0.08),
}
"""`iso` is a translator with length control; `fast` cannot be spoken at 1.0x at all (its load is 1.17)."""


@dataclass(frozen=True)
class Pipeline:
    """Seconds from the end of a phrase to all its speech: base + gamma + share of the phrase, with rare stalls."""

    base: float
    jitter: float
    per_second: float
    stall: float = 0.005
    stall_range: tuple[float, float] = (1.0, 4.0)


PIPELINES = {
    "embedded": Pipeline(0.45, 0.01, 0.06),
    "fast": Pipeline(1.1, 0.15, 0.04),
    "cascade": Pipeline(2.2, 0.30, 0.07, 0.01, (2.0, 6.0)),
}


class Arrival(NamedTuple):
    """A phrase and the time at which all its speech exists, on the media clock of a push source."""

    phrase: Phrase
    ready: float


def hour(name: str, seed: int, seconds: float = 3600.0, shorter: Sequence[float] = (SHORTER,)) -> list[Phrase]:
    """The phrases of a programme."""
    scenario, rng = SCENARIOS[name], np.random.default_rng(seed)
    phrases: list[Phrase] = []
    now, burst = 0.0, 0
    while now < seconds:
        if burst <= 0 and rng.random() < 0.03:
            burst = int(rng.integers(8, 25))
        hurried, burst = burst > 0, burst - 1
        gap = 0.1 + rng.exponential(scenario.pause * (0.35 if hurried else 1.0))
        if not hurried and rng.random() < 0.3:
            gap += rng.exponential(0.5)
        if rng.random() < scenario.silence * (0.2 if hurried else 1.0):
            gap += rng.uniform(2.0, 9.0)
        length = float(np.clip(rng.lognormal(np.log(3.6), 0.55), 0.6, 10.0))
        ratio = float(np.clip(rng.normal(scenario.ratio + 0.15 * hurried, scenario.spread), 0.5, 2.2))
        start = now + gap
        now = start + length
        phrases.append(Phrase(start, now, tuple(ratio * length * share for share in (1.0, *shorter))))
    return phrases


def full_only(phrases: Sequence[Phrase]) -> list[Phrase]:
    """The same without shorter wordings."""
    return [replace(phrase, speech=phrase.speech[:1]) for phrase in phrases]


def cut(phrases: Sequence[Phrase], longest: float) -> list[Phrase]:
    """What a segmenter with a hard limit does: equal pieces of every phrase that is too long."""
    pieces = []
    for phrase in phrases:
        count = ceil((phrase.end - phrase.start) / longest)
        edges = np.linspace(phrase.start, phrase.end, count + 1).tolist()
        for k in range(count):
            end = edges[k + 1] - (0.02 if k < count - 1 else 0.0)
            pieces.append(Phrase(edges[k], end, tuple(length / count for length in phrase.speech)))
    return pieces


def timed(phrases: Sequence[Phrase], pipeline: Pipeline, seed: int) -> list[Arrival]:
    """When each phrase is ready; lanes are ordered, so a stalled phrase holds up those behind it."""
    rng, last, arrivals = np.random.default_rng(seed + 50_000), 0.0, []
    for phrase in phrases:
        wait = pipeline.base + rng.gamma(4.0, pipeline.jitter) + pipeline.per_second * (phrase.end - phrase.start)
        if rng.random() < pipeline.stall:
            wait += rng.uniform(*pipeline.stall_range)
        last = max(last, phrase.end + wait)
        arrivals.append(Arrival(phrase, last))
    return arrivals


def stalled(arrivals: Sequence[Arrival], length: float, every: float = 600.0) -> list[Arrival]:
    """The same where everything upstream stands still for `length` seconds now and then."""
    return [
        arrival._replace(ready=ceil(arrival.ready / every) * every - every + length)
        if every <= arrival.ready and arrival.ready % every < length
        else arrival
        for arrival in arrivals
    ]


def write(file: Path, arrivals: Sequence[Arrival]) -> None:
    """Keep what a real run had to place: times alone, not what was said."""
    rows = [
        {"start": each.phrase.start, "end": each.phrase.end, "speech": each.phrase.speech, "ready": each.ready}
        for each in arrivals
    ]
    file.write_text(json.dumps(rows) + "\n")


def read(file: Path) -> list[Arrival]:
    """A trace, in the order of its phrases."""
    rows = json.loads(file.read_text())
    found = [Arrival(Phrase(row["start"], row["end"], tuple(row["speech"])), row["ready"]) for row in rows]
    return sorted(found, key=lambda arrival: arrival.phrase.start)
