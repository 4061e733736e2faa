"""Every placement policy on the same seeded hours, against the optimum of that hour.

`j` is the annoyance a phrase (`services.tts.placement.cost`); intervals are 95 %, by bootstrap over hours.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from loadtest.baselines import look_ahead, stretch, tune
from loadtest.optimum import clairvoyant
from loadtest.traces import PIPELINES, SCENARIOS, Arrival, cut, full_only, hour, stalled, timed
from services.tts.clock import Clock
from services.tts.placement import Affine, Array, Phrase, Placed, Planner, Policy, Track, commit, cost

HORIZON = 9.0
"""Seconds of look-ahead: what is left of 12 s after recognition, translation and speech."""
DELAY = 12.0
LONGEST = 8.0
SEGMENT = 2.0
HELD_OUT = (100, 101, 102)
PAST = 999
Rollout = Callable[[Sequence[Phrase]], list[Placed]]


@dataclass(frozen=True)
class Score:
    """One policy on all hours of a scenario."""

    j: Array
    """One entry an hour."""
    hours: list[list[Placed]]
    milliseconds: float
    """CPU time of a decision, mean."""

    @property
    def spoken(self) -> list[Placed]:
        """What was not dropped."""
        return [clip for clips in self.hours for clip in clips if clip.choice.rate]

    @property
    def drift(self) -> Array:
        """Seconds, of what was spoken."""
        return np.array([clip.drift for clip in self.spoken])

    @property
    def drops(self) -> float:
        """Share of phrases."""
        return 1 - len(self.spoken) / sum(map(len, self.hours))

    def above(self, rate: float) -> float:
        """Share of clips that are faster than a rate."""
        return float(np.mean([clip.choice.rate > rate + 1e-4 for clip in self.spoken]))

    def shortened(self) -> float:
        """Share of clips with the shorter wording."""
        return float(np.mean([clip.choice.wording > 0 for clip in self.spoken]))

    def row(self, best: Array) -> str:
        """A line of the table."""
        low, high = bootstrap(self.j)
        return (
            f"{self.j.mean():6.2f} [{low:5.2f},{high:6.2f}] {100 * regret(self.j, best):6.0f}% "
            f"{self.drift.mean():5.2f} {np.percentile(self.drift, 95):5.2f} {100 * self.above(1.15):6.1f}% "
            f"{100 * self.above(1.3):5.1f}% {100 * self.drops:5.2f}% {100 * self.shortened():5.1f}% "
            f"{self.milliseconds:6.3f}"
        )


def regret(j: Array, best: Array) -> float:
    """Cost over that of the clairvoyant optimum on the same hours, minus 1."""
    return float(j.mean() / best.mean() - 1)


def bootstrap(values: Array, denominator: Array | None = None, draws: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean over hours, or of a ratio of paired means."""
    picks = np.random.default_rng(0).integers(0, len(values), (draws, len(values)))
    means = values[picks].mean(axis=1) / (1.0 if denominator is None else denominator[picks].mean(axis=1))
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def learned(phrases: Sequence[Phrase]) -> Planner:
    """A planner that knows what usually comes."""
    planner = Planner()
    planner.learn([b.start - a.start for a, b in pairwise(phrases)], [phrase.speech for phrase in phrases[:-1]])
    return planner


def policies(scenario: str) -> dict[str, Rollout]:
    """What is compared; names with "shorter" have a second wording, and their own optimum."""
    held_out = [hour(scenario, seed) for seed in HELD_OUT]
    past = hour(scenario, PAST, seconds=7200)
    full, worded = learned(full_only(past)), learned(past)
    reactive, reactive_worded = tune(held_out, wordings=False), tune(held_out, wordings=True)

    def of(policy: Policy, seconds: float, wordings: bool) -> Rollout:
        return lambda phrases: look_ahead(phrases if wordings else full_only(phrases), policy, seconds)

    return {
        "stretch to slot <= 2x": of(stretch(2.0), 0.0, False),
        "stretch to slot <= 1.3x": of(stretch(1.3), 0.0, False),
        "tuned affine": of(reactive, 0.0, False),
        "planner": of(full, HORIZON, False),
        "optimum": lambda phrases: clairvoyant(full_only(phrases)),
        "tuned affine + shorter": of(reactive_worded, 0.0, True),
        "planner + shorter": of(worded, HORIZON, True),
        "optimum + shorter": clairvoyant,
    }


def run(rollout: Rollout, hours: Sequence[Sequence[Phrase]]) -> Score:
    """A policy on all hours."""
    began = time.process_time()
    clips = [rollout(phrases) for phrases in hours]
    spent = time.process_time() - began
    return Score(np.array([cost(each) for each in clips]), clips, 1e3 * spent / sum(map(len, clips)))


def played(arrivals: Sequence[Arrival], policy: Policy, delay: float = DELAY) -> tuple[list[Placed], float]:
    """An hour against the clock, by the rule of the service: (clips, share of phrases that no plan could have saved).

    The head steps from segment to segment; clips go out on every head and on every phrase that arrives.
    """
    clock, track, clips, late = Clock(), Track(), list[Placed](), 0
    waiting: list[Phrase] = []
    heads = np.arange(SEGMENT, arrivals[-1].phrase.end + delay + 60.0, SEGMENT).tolist()
    events = sorted(
        [(arrival.ready, 0, arrival.phrase) for arrival in arrivals] + [(head, 1, None) for head in heads],
        key=lambda event: event[:2],
    )
    for at, _, phrase in events:
        if phrase is None:
            clock = clock.grown(at - SEGMENT, at, SEGMENT).moved(at).sealed(delay, SEGMENT)
        else:
            waiting.append(phrase)
            late += clock.floor > phrase.start + 0.3
        for placed in commit(list(waiting), track, clock.floor, clock.horizon(delay, SEGMENT), policy):
            waiting.pop(0)
            track = track.after(placed)
            clips.append(placed)
    return clips, late / len(arrivals)


def measure(hours: int = 4, seeds: Sequence[int] = (), scenarios: Sequence[str] = tuple(SCENARIOS)) -> dict[str, float]:
    """The figures, after printing the table; keys that end in `.full` are without shorter wordings."""
    figures: dict[str, float] = {}
    spent: list[float] = []
    for scenario in scenarios:
        traces = [hour(scenario, seed) for seed in (seeds or range(hours))]
        scores = {name: run(rollout, traces) for name, rollout in policies(scenario).items()}
        print(f"\n{scenario:24s}      J [95 % over h]   regret drift   p95  >1.15x >1.3x  drop  short  ms", flush=True)
        for name, score in scores.items():
            best = scores["optimum + shorter" if "shorter" in name else "optimum"].j
            print(f"{name:24s} {score.row(best)}", flush=True)
        for mine, theirs in (
            ("planner", "stretch to slot <= 1.3x"),
            ("planner", "tuned affine"),
            ("planner + shorter", "tuned affine + shorter"),
            ("planner + shorter", "planner"),
        ):
            low, high = bootstrap(scores[theirs].j, scores[mine].j)
            ratio = scores[theirs].j.mean() / scores[mine].j.mean()
            print(f"  J({theirs}) / J({mine}) = {ratio:.2f} [{low:.2f}, {high:.2f}]", flush=True)
        for suffix, words in (("", " + shorter"), (".full", "")):
            rule, optimum = scores[f"tuned affine{words}"], scores[f"optimum{words}"]
            figures |= _figures(f"{scenario}{suffix}", scores[f"planner{words}"], rule.j, optimum.j)
        spent.append(scores["planner + shorter"].milliseconds)
        figures |= clocked(scenario, traces)
    figures["decision_ms"] = float(np.mean(spent))
    return figures


def clocked(scenario: str, traces: Sequence[Sequence[Phrase]]) -> dict[str, float]:
    """The commit rule under a clock that ticks once a segment: push source, 12 s of delay, phrases of at most 8 s."""
    planner = learned(cut(hour(scenario, PAST, seconds=7200), LONGEST))
    pipeline, figures = PIPELINES["fast"], dict[str, float]()
    arrivals = [timed(cut(phrases, LONGEST), pipeline, seed) for seed, phrases in enumerate(traces)]
    for name, mail in (("", arrivals), (".stalls", [stalled(each, 10.0) for each in arrivals])):
        runs = [played(each, planner) for each in mail]
        drift = np.array([clip.drift for clips, _ in runs for clip in clips if clip.choice.rate])
        j, late = np.mean([cost(clips) for clips, _ in runs]), np.mean([share for _, share in runs])
        print(
            f"  clock, D {DELAY:.0f}{name:8s} J {j:.2f}  EVS sd {drift.std():.2f}  p99 D + "
            f"{np.percentile(drift, 99):.2f}  late {100 * late:.2f} %",
            flush=True,
        )
        figures |= {
            f"ear_voice_sd_s.{scenario}{name}": float(drift.std()),
            f"late_share.{scenario}{name}": float(late),
        }
    return figures


def _figures(name: str, mine: Score, rule: Array, best: Array) -> dict[str, float]:
    return {
        f"j.{name}": float(mine.j.mean()),
        f"regret.{name}": regret(mine.j, best),
        f"gain_vs_affine.{name}": float(rule.mean() / mine.j.mean()),
        f"over_1_15.{name}": mine.above(1.15),
        f"over_1_3.{name}": mine.above(1.3),
        f"drops.{name}": mine.drops,
        f"drift_p95_s.{name}": float(np.percentile(mine.drift, 95)),
        f"shortened.{name}": mine.shortened(),
    }


def priors() -> None:
    """What `services/tts/priors.py` and the defaults of `Affine` hold."""
    past = hour("base", PAST, seconds=7200)
    for name, phrases in (("FULL", full_only(past)), ("SHORTER", past)):
        print(name, tuple(round(value, 3) for value in learned(phrases).tail.tolist()))
    for wordings in (False, True):
        rule: Affine = tune([hour("base", seed) for seed in HELD_OUT], wordings=wordings)
        print(rule)


def main(argv: Sequence[str] | None = None) -> None:
    """`placement [--hours 4] [--scenarios base,fast] [--json FILE] [--priors]`."""
    parser = argparse.ArgumentParser(prog="placement", description=main.__doc__)
    parser.add_argument("--hours", type=int, default=4)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--priors", action="store_true", help="print the constants that the service starts with")
    asked = parser.parse_args(argv)
    if asked.priors:
        priors()
        return
    figures = measure(asked.hours, scenarios=asked.scenarios.split(","))
    if asked.json:
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
        options = {"hours": asked.hours, "scenarios": asked.scenarios}
        report = {"measure": "placement", "machine": machine, "options": options, "figures": figures}
        asked.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
