"""How many replicas a load needs, whether a run kept the contract, and how a figure grew: arithmetic alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

USABLE = 0.7
"""Share of a replica's workers that is planned with: above it, waiting grows faster than load."""
SPREAD = 0.5
"""Seconds of standard deviation of the delay that the contract allows."""
UNVOICED = 0.1
"""Share of translations that may stay without a clip: every tenth phrase is late whatever the plan."""


def replicas(streams: int, cost: float, workers: float) -> int:
    """Replicas of a stage for streams that each cost `cost` busy seconds a second; one is there for a takeover."""
    return math.ceil(streams * cost / (workers * USABLE) - 1e-9) + 1


def carried(replicas: int, cost: float, workers: float) -> float:
    """Streams that the same rule gives to a stage with these replicas."""
    return max(0, replicas - 1) * workers * USABLE / cost if cost else math.inf


def broken(figures: Mapping[str, float], delay: float, segment: float) -> list[str]:
    """Which terms of the contract a run broke, in words; figures as `loadtest streams` names them."""
    if "delay_mean_s" not in figures:
        return ["nothing was published"]
    most = delay + 2 * segment
    terms = (
        (figures["delay_sd_s"] <= SPREAD, f"the delay varies by {figures['delay_sd_s']:.2f} s, more than {SPREAD} s"),
        (figures["delay_p99_s"] <= most, f"one segment in a hundred is {figures['delay_p99_s']:.1f} s behind"),
        *((not figures.get(key), f"{figures.get(key, 0):.0f} {key}") for key in ("holes", "slates", "lost", "doubled")),
        (figures.get("utterances", 1) > 0, "nobody was understood"),
        (figures.get("unvoiced", 0) <= UNVOICED, f"{figures.get('unvoiced', 0):.0%} of the phrases have no clip"),
    )
    return [words for kept, words in terms if not kept]


@dataclass
class Search:
    """Finds the largest load that is kept, by growing until it breaks and halving what is open."""

    most: int = 256
    kept: int = 0
    failed: int | None = None

    def next(self, guess: float) -> int | None:
        """The next load to try, `guess` being what the machine should carry; None when the answer is known."""
        if self.failed is not None:
            middle = (self.kept + self.failed) // 2
            return middle if self.kept < middle < self.failed else None
        if self.kept >= self.most:
            return None
        grown = max(self.kept + 1, min(round(0.8 * guess), 3 * self.kept)) if guess > self.kept else self.kept * 5 // 4
        return min(self.most, max(self.kept + 1, grown))

    def tell(self, load: int, kept: bool) -> None:
        """How a load went."""
        if kept:
            self.kept = max(self.kept, load)
        else:
            self.failed = load


def added(costs: Mapping[int, float]) -> list[tuple[int, float]]:
    """What each stream costs that was added in the lower and in the upper half, from the whole cost of each load.

    Loads between which few streams were added say nothing: what is measured varies by more than a stream.
    """
    loads = sorted(costs)
    if len(loads) < 3:
        return []
    middle = min(loads[1:-1], key=lambda load: abs(2 * load - loads[0] - loads[-1]))
    pairs = pairwise((loads[0], middle, loads[-1]))
    return [(after, (costs[after] - costs[before]) / (after - before)) for before, after in pairs]


def trend(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Growth of a value by least squares, per unit of time, and two standard errors of it; of three samples or more."""
    if len(times) < 3:
        raise ValueError("a trend needs three samples")
    at, value = np.asarray(times, float), np.asarray(values, float)
    at, value = at - at.mean(), value - value.mean()
    growth = float(at @ value / (at @ at))
    rest = value - growth * at
    return growth, 2 * float(np.sqrt(rest @ rest / (len(at) - 2) / (at @ at)))
