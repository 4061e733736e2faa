"""Every placement policy on the same seeded hours, against the optimum of that hour.

`j` is the annoyance a phrase (`services.tts.placement.cost`); intervals are 95 %, by bootstrap over hours.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from loadtest.baselines import look_ahead, stretch, tune
from loadtest.optimum import clairvoyant
from loadtest.report import parser, tell
from loadtest.traces import PIPELINES, SCENARIOS, Arrival, cut, full_only, hour, read, stalled, timed
from services.tts.clock import Clock
from services.tts.placement import Affine, Array, Phrase, Placed, Planner, Policy, Track, commit, cost
from services.tts.priors import FULL, SHORTER

HORIZON = 9.0
"""Seconds of look-ahead: what is left of 12 s after recognition, translation and speech."""
DELAY = 12.0
LONGEST = 8.0
SEGMENT = 2.0
HELD_OUT = (100, 101, 102)
PAST = 999
Rollout = Callable[[Sequence[Phrase]], list[Placed]]
RIVALS = (
    ("planner", "stretch to slot <= 1.3x"),
    ("planner", "tuned affine"),
    ("planner + shorter", "tuned affine + shorter"),
    ("planner + shorter", "planner"),
)


class Hour(NamedTuple):
    """What one policy made of one hour."""

    clips: list[Placed]
    seconds: float
    """CPU time of all its decisions."""


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

    def intervals(self, best: Array) -> str:
        """95 % intervals of what the table says, by bootstrap over hours."""
        low, high = bootstrap(self.j, best)
        drift = [np.array([clip.drift for clip in clips if clip.choice.rate]) for clips in self.hours]
        rate = [np.array([clip.choice.rate for clip in clips]) for clips in self.hours]
        spans = {
            "drift s": interval(drift, lambda found: float(found.mean())),
            "p95 s": interval(drift, lambda found: float(np.percentile(found, 95))),
            ">1.15x %": interval(rate, lambda found: 100 * float((found[found > 0] > 1.15 + 1e-4).mean())),
            ">1.3x %": interval(rate, lambda found: 100 * float((found > 1.3 + 1e-4).mean())),
            "drop %": interval(rate, lambda found: 100 * float((found == 0).mean())),
        }
        told = [f"{name} [{least:.2f}, {most:.2f}]" for name, (least, most) in spans.items()]
        return "  ".join([f"regret % [{100 * (low - 1):.0f}, {100 * (high - 1):.0f}]", *told])

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


def interval(hours: Sequence[Array], of: Callable[[Array], float], draws: int = 400) -> tuple[float, float]:
    """95 % interval of a figure of all phrases, by bootstrap over their hours."""
    picks = np.random.default_rng(0).integers(0, len(hours), (draws, len(hours)))
    low, high = np.percentile([of(np.concatenate([hours[k] for k in row])) for row in picks], (2.5, 97.5))
    return float(low), float(high)


def learned(phrases: Sequence[Phrase]) -> Planner:
    """A planner that knows what usually comes."""
    planner = Planner()
    planner.learn([b.start - a.start for a, b in pairwise(phrases)], [phrase.speech for phrase in phrases[:-1]])
    return planner


@cache
def planners(scenario: str) -> tuple[Planner, Planner]:
    """Without and with shorter wordings, taught by two hours of the scenario that are not measured."""
    past = hour(scenario, PAST, seconds=7200)
    return learned(full_only(past)), learned(past)


@cache
def policies(scenario: str) -> dict[str, Rollout]:
    """What is compared; names with "shorter" have a second wording, and their own optimum."""
    held_out = [hour(scenario, seed) for seed in HELD_OUT]
    return compared(*planners(scenario), tune(held_out, wordings=False), tune(held_out, wordings=True))


def compared(full: Planner, worded: Planner, reactive: Affine, reactive_worded: Affine) -> dict[str, Rollout]:
    """The planner between the rules to beat and the optimum, without and with a second wording."""

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


def run(rollout: Rollout, phrases: Sequence[Phrase]) -> Hour:
    """A policy on one hour."""
    began = time.process_time()
    clips = rollout(phrases)
    return Hour(clips, time.process_time() - began)


def rolled(scenario: str, seed: int) -> dict[str, Hour]:
    """Every policy on one hour of a scenario."""
    phrases = hour(scenario, seed)
    return {name: run(rollout, phrases) for name, rollout in policies(scenario).items()}


def scored(hours: Iterable[dict[str, Hour]]) -> dict[str, Score]:
    """Every policy on all hours."""
    found = list(hours)
    return {
        name: Score(
            np.array([cost(each[name].clips) for each in found]),
            [each[name].clips for each in found],
            1e3 * sum(each[name].seconds for each in found) / sum(len(each[name].clips) for each in found),
        )
        for name in found[0]
    }


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


class Played(NamedTuple):
    """An hour against the clock."""

    j: float
    drift: Array
    late: float


def clocked(scenario: str, seed: int, stalls: bool) -> Played:
    """The commit rule under a clock that ticks once a segment: push source, 12 s of delay, phrases of at most 8 s."""
    arrivals = timed(cut(hour(scenario, seed), LONGEST), PIPELINES["fast"], seed)
    clips, late = played(stalled(arrivals, 10.0) if stalls else arrivals, cut_planner(scenario))
    return Played(cost(clips), np.array([clip.drift for clip in clips if clip.choice.rate]), late)


@cache
def cut_planner(scenario: str) -> Planner:
    """Taught by hours whose phrases are cut at the longest utterance."""
    return learned(cut(hour(scenario, PAST, seconds=7200), LONGEST))


def measure(hours: int, scenarios: Sequence[str], jobs: int) -> dict[str, float]:
    """The figures, after printing the table; keys that end in `.full` are without shorter wordings."""
    figures: dict[str, float] = {}
    spent: list[float] = []
    # Workers begin afresh: a fork may take a lock of a numeric library's thread along, and then waits for ever.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for scenario in scenarios:
            scores = scored(pool.map(rolled, repeat(scenario), range(hours)))
            clocks = {
                name: list(pool.map(clocked, repeat(scenario), range(hours), repeat(bool(name))))
                for name in ("", ".stalls")
            }
            figures |= told(scenario, scores)
            spent.append(scores["planner + shorter"].milliseconds)
            for name, runs in clocks.items():
                drift = np.concatenate([each.drift for each in runs])
                j, late = np.mean([each.j for each in runs]), np.mean([each.late for each in runs])
                print(
                    f"  clock, D {DELAY:.0f}{name:8s} J {j:.2f}  EVS sd {drift.std():.2f}  p99 D + "
                    f"{np.percentile(drift, 99):.2f}  late {100 * late:.2f} %",
                    flush=True,
                )
                figures |= {
                    f"j_clock.{scenario}{name}": float(j),
                    f"ear_voice_sd_s.{scenario}{name}": float(drift.std()),
                    f"ear_voice_p99_s.{scenario}{name}": DELAY + float(np.percentile(drift, 99)),
                    f"late_share.{scenario}{name}": float(late),
                }
    figures["decision_ms"] = float(np.mean(spent))
    return figures


def recorded(file: Path, delay: float) -> dict[str, float]:
    """The figures of a trace that `dub --trace` wrote: real phrases, real arrivals, rules tuned on `base`.

    The hour's own arrivals are played under the clock too. There is one trace, so there are no intervals.
    """
    arrivals = read(file)
    phrases = [arrival.phrase for arrival in arrivals]
    held_out = [hour("base", seed) for seed in HELD_OUT]
    rules = tune(held_out, wordings=False), tune(held_out, wordings=True)
    rivals = compared(Planner(tail=FULL), Planner(tail=SHORTER), *rules)
    figures = told("recorded", scored([{name: run(rollout, phrases) for name, rollout in rivals.items()}]))
    clips, late = played(arrivals, Planner(tail=SHORTER), delay)
    drift = np.array([clip.drift for clip in clips if clip.choice.rate])
    print(f"  clock, D {delay:.0f}  J {cost(clips):.2f}  EVS sd {drift.std():.2f}  late {100 * late:.2f} %")
    return figures | {"ear_voice_sd_s.recorded": float(drift.std()), "late_share.recorded": late}


def told(scenario: str, scores: dict[str, Score]) -> dict[str, float]:
    """The figures of a scenario, after printing its table."""
    figures: dict[str, float] = {}
    print(f"\n{scenario:24s}      J [95 % over h]   regret drift   p95  >1.15x >1.3x  drop  short  ms", flush=True)
    for name, score in scores.items():
        best = scores["optimum + shorter" if "shorter" in name else "optimum"].j
        print(f"{name:24s} {score.row(best)}", flush=True)
    for name in ("planner", "planner + shorter") if len(scores["planner"].hours) > 1 else ():
        print(f"  {name}: {scores[name].intervals(scores[name.replace('planner', 'optimum')].j)}", flush=True)
    for mine, theirs in RIVALS:
        low, high = bootstrap(scores[theirs].j, scores[mine].j)
        ratio = scores[theirs].j.mean() / scores[mine].j.mean()
        print(f"  J({theirs}) / J({mine}) = {ratio:.2f} [{low:.2f}, {high:.2f}]", flush=True)
    for suffix, words in (("", " + shorter"), (".full", "")):
        rule, optimum = scores[f"tuned affine{words}"], scores[f"optimum{words}"]
        figures |= _figures(f"{scenario}{suffix}", scores[f"planner{words}"], rule.j, optimum.j)
    return figures


def _figures(name: str, mine: Score, rule: Array, best: Array) -> dict[str, float]:
    figures = {
        f"j.{name}": float(mine.j.mean()),
        f"j_optimum.{name}": float(best.mean()),
        f"regret.{name}": regret(mine.j, best),
        f"gain_vs_affine.{name}": float(rule.mean() / mine.j.mean()),
        f"over_1_15.{name}": mine.above(1.15),
        f"over_1_3.{name}": mine.above(1.3),
        f"drops.{name}": mine.drops,
        f"drift_mean_s.{name}": float(mine.drift.mean()),
        f"drift_p95_s.{name}": float(np.percentile(mine.drift, 95)),
        f"shortened.{name}": mine.shortened(),
    }
    if len(best) > 1:
        low, high = bootstrap(rule, mine.j)
        least, most = bootstrap(mine.j, best)
        figures |= {f"gain_low.{name}": low, f"gain_high.{name}": high}
        figures |= {f"regret_low.{name}": least - 1, f"regret_high.{name}": most - 1}
    return figures


def priors() -> None:
    """What `services/tts/priors.py` and the defaults of `Affine` hold."""
    past = hour("base", PAST, seconds=7200)
    for name, phrases in (("FULL", full_only(past)), ("SHORTER", past)):
        print(name, tuple(round(value, 3) for value in learned(phrases).tail.tolist()))
    for wordings in (False, True):
        rule: Affine = tune([hour("base", seed) for seed in HELD_OUT], wordings=wordings)
        print(rule)


def main(argv: Sequence[str] | None = None) -> int:
    """`placement [--hours 20] [--scenarios base,fast] [--trace FILE] [--json FILE] [--priors]`."""
    found = parser("placement", __doc__)
    found.add_argument("--hours", type=int, default=20, help="of each scenario")
    found.add_argument("--scenarios", type=_names, default=list(SCENARIOS), help=f"of {','.join(SCENARIOS)}")
    found.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    found.add_argument("--trace", type=Path, metavar="FILE", help="a trace that `dub --trace` wrote, instead")
    found.add_argument("--delay", type=float, default=DELAY, help="of the trace under the clock")
    found.add_argument("--priors", action="store_true", help="print the constants that the service starts with")
    options = found.parse_args(argv)
    if options.priors:
        priors()
        return 0
    if options.trace:
        figures = recorded(options.trace, options.delay)
    else:
        figures = measure(options.hours, options.scenarios, options.jobs)
    tell("placement", figures, options)
    return 0


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SCENARIOS):
        raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return names
