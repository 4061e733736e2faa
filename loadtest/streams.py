"""Many live streams through a mesh of real processes: what they cost, and whether each keeps its delay.

python -m loadtest streams --streams 4 --seconds 20
python -m loadtest streams --find-max
python -m loadtest streams --streams 4 --kill-third
python -m loadtest streams --streams 6 --cost asr=0.5:wait:2 --replicas asr=4
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from loadtest import costs
from loadtest.capacity import USABLE, Search, added, broken, replicas
from loadtest.chaos import script
from loadtest.coding import SEGMENT
from loadtest.costs import UNITS
from loadtest.fleet import FOLLOWED, SERVICES, SINGLE, STAGES, Fleet, Load, Reading, Stream, fleet
from loadtest.published import Listed, delays, holes, late_until
from loadtest.report import parser, show, tell
from shared.messages import Clip, Dropped
from shared.status import spread

SETTLED = 6.0
"""Seconds behind a stream's first segment from which on it is in step."""
START = 45.0
"""Seconds that a first segment may take beside the delay."""
LATE = 1.0
"""Seconds more than usual with which a segment is late after a kill."""
QUIET = 25.0
"""Seconds that are watched after a kill."""
PIECE = [[number, str(number), number / 7] for number in range(2000)]
"""What is written and read as JSON to see how fast the machine is at the moment."""
OWNER = {"voice": "tts", "place": "tts"}
"""Service of a stage that bears another name."""


@dataclass
class Step:
    """One load, measured."""

    streams: int
    before: Reading
    after: Reading
    figures: dict[str, float]
    reasons: list[str]
    """Terms of the contract that were broken."""

    @property
    def seconds(self) -> float:
        return self.after.at - self.before.at

    def cpu(self) -> dict[str, float]:
        """CPU seconds a second by service, Redis with them."""
        found = {name: self.after.cpu[name] - self.before.cpu.get(name, 0.0) for name in self.after.cpu}
        found["redis"] = self.after.redis["cpu"] - self.before.redis["cpu"]
        return {name: value / self.seconds for name, value in found.items()}

    def around(self) -> float:
        """CPU seconds a second of the load test itself."""
        spent = self.after.origin + self.after.meter - self.before.origin - self.before.meter
        return spent / self.seconds

    def busy(self) -> dict[str, float]:
        """Busy slots by stage."""
        known = self.before.stages
        return {
            stage: self.after.stages[stage].since(known[stage]).busy / self.seconds
            for stage in STAGES
            if stage in known
        }


async def settle(mesh: Fleet, streams: Sequence[Stream]) -> None:
    """Wait until these streams are published and in step, or are so late that they never will be."""
    end = time.monotonic() + mesh.load.delay + START
    while time.monotonic() < end and any(stream.edge.last is None for stream in streams):
        await asyncio.sleep(0.25)
    await asyncio.sleep(SETTLED)


async def calmed(mesh: Fleet, usual: float) -> None:
    """Wait until every stream is in time: a load that was too much leaves work behind."""
    end = time.monotonic() + START
    while time.monotonic() < end:
        await asyncio.sleep(1.0)
        newest = [stream.edge.listed[-1] for stream in mesh.streams if stream.edge.listed]
        fresh = [each for each in newest if time.time() - each.at < SETTLED and each.delay < usual + LATE]
        if len(fresh) == len(mesh.streams):
            await asyncio.sleep(SETTLED)
            return


async def measured(mesh: Fleet, seconds: float, words: Sequence[str] | None) -> Step:
    """Measure the load that there is for so long."""
    before = await mesh.read()
    pace = await paced(seconds)
    after = await mesh.read()
    for stream in mesh.streams:
        await stream.read(mesh.bus)
    figures = published(mesh, before.at, after.at) | followed(mesh, before.at, after.at, words) | {"pace_ms": pace}
    step = Step(len(mesh.streams), before, after, figures, [])
    step.figures |= spent(step)
    step.reasons = broken(step.figures, mesh.load.delay, SEGMENT)
    return step


async def paced(seconds: float) -> float:
    """Wait, and say how many milliseconds of CPU the same piece of work takes meanwhile (median, twice a second)."""
    found, end = list[float](), time.monotonic() + seconds
    while time.monotonic() < end or not found:
        start = time.thread_time()
        json.loads(json.dumps(PIECE))
        found.append(1000 * (time.thread_time() - start))
        await asyncio.sleep(0.5)
    return median(found)


def published(mesh: Fleet, start: float, end: float) -> dict[str, float]:
    """Delay and holes of what was listed in [start, end)."""
    seen = mesh.listed(start, end)
    every = [each for listed in seen.values() for each in listed]
    found = {"streams": float(len(mesh.streams)), "segments": float(len(every)), **delays(every)}
    spreads = [float(np.std([each.delay for each in listed])) for listed in seen.values() if len(listed) > 2]
    if spreads:
        found["delay_sd_within_s"] = fmean(spreads)
    sources = [late for stream in mesh.streams for at, late in stream.sources if start <= at < end]
    if sources and every:
        # What the delay is made of: until the source was read, D, and until the segment was sealed and listed.
        found["source_s"] = fmean(sources)
        found["seal_s"] = found["delay_mean_s"] - mesh.load.delay - found["source_s"]
    # A stream that lists nothing has a hole too.
    silent = sum(not listed for listed in seen.values()) if end - start > 3 * SEGMENT else 0
    found["holes"] = float(silent + sum(holes(listed) for listed in seen.values()))
    found["looks_failed"] = float(sum(stream.edge.failures for stream in mesh.streams))
    return found


def followed(mesh: Fleet, start: float, end: float, words: Sequence[str] | None) -> dict[str, float]:
    """Every word of every stream, from recognition to clip, up to now; the share without a clip in [start, end)."""
    found = dict.fromkeys(("lost", "doubled", "disordered", "slates"), 0.0)
    clips = dropped = 0
    for stream in mesh.streams:
        verdict = stream.verdict(words, mesh.load.languages)
        found["lost"] += verdict.lost
        found["doubled"] += verdict.doubled
        found["disordered"] += verdict.disordered
        found["slates"] += verdict.holes
        for fault in verdict.faults:
            print(f"{stream.name}: {fault}")
        within = [event.message for event in stream.events if start <= event.at < end]
        clips += sum(isinstance(message, Clip) for message in within)
        dropped += sum(isinstance(message, Dropped) for message in within)
    if clips + dropped:
        found["unvoiced"] = dropped / (clips + dropped)
    found["utterances"] = float(sum(len(stream.figures.utterances) for stream in mesh.streams))
    return found


def spent(step: Step) -> dict[str, float]:
    """CPU, memory and Redis, a stream."""
    cpu, many, redis, before = step.cpu(), max(1, step.streams), step.after.redis, step.before.redis
    found = {"cpu_per_stream": sum(cpu.values()) / many, "around_cpu_per_stream": step.around() / many}
    found |= {f"cpu.{name}": value / many for name, value in cpu.items() if name not in SINGLE}
    found["rss_mb"] = sum(step.after.rss.values())
    found["redis_mb"] = redis["bytes"] / 1e6
    for key, name in (("commands", "redis_commands"), ("sent", "redis_out_bytes"), ("received", "redis_in_bytes")):
        found[f"{name}_per_s"] = (redis[key] - before[key]) / step.seconds / many
    return found


def told(step: Step, load: Load, base: Step | None) -> dict[str, float]:
    """Print what stages and services cost and how many replicas the rule gives them; how well `base` foretold it."""
    cpu, busy, many = step.cpu(), step.busy(), max(1, step.streams)
    found: dict[str, float] = {}
    stages: list[list[object]] = []
    for stage, used in busy.items():
        service = OWNER.get(stage, stage)
        now = step.after.stages[stage].since(step.before.stages[stage])
        has = max(1, load.replicas.get(service, 1))
        workers = load.costs[service].workers if service in load.costs and stage != "place" else now.slots / has
        cost, lag = used / many, 1000 * now.lag / now.turns if now.turns else 0.0
        found[f"cost.{stage}"] = cost
        if base and cost and base.busy().get(stage):
            found[f"foretold.{stage}"] = base.busy()[stage] / base.streams / cost
        # The downloader's turn lasts as long as its stream: what it needs is a slot for each.
        needs = -(-many // round(workers)) + 1 if stage == "downloader" else replicas(many, cost, workers)
        stages.append(
            [stage, has, workers, 1000 * cost, used / has / workers, lag, now.turns / step.seconds / many, needs]
        )
    heads = ("stage", "replicas", "workers each", "busy ms", "ratio", "mail waits ms", "turns", "replicas by rule")
    show(f"{many} streams: stages, a stream and second", heads, stages)
    services: list[list[object]] = []
    for name, value in sorted(cpu.items(), key=lambda item: -item[1]):
        has = max(1, load.replicas.get(name, 1))
        memory = step.after.rss.get(name, step.after.redis["bytes"] / 1e6) / has
        services.append([name, has, 1000 * value / many, value / has, memory, replicas(many, value / many, 1.0)])
    show(
        f"{many} streams: services, a stream and second",
        ("service", "replicas", "CPU ms", "of a core", "MB each", "replicas by rule"),
        services,
    )
    cores = os.cpu_count() or 1
    whole = step.figures["cpu_per_stream"] + step.figures["around_cpu_per_stream"]
    found["model_streams"] = USABLE * cores / whole
    return found


def drifts(stream: Stream) -> tuple[float, ...]:
    """Clip start minus utterance start of all clips so far, seconds."""
    said = stream.figures.utterances
    known = [clip for clip in stream.figures.clips.values() if clip.utterance in said]
    return tuple(clip.start - said[clip.utterance].start for clip in known)


async def compared(mesh: Fleet, step: Step) -> dict[str, float]:
    """What the dashboard says of the same time, beside what was measured."""
    feeds = await mesh.dashboard()
    start, end = step.before.at, step.after.at
    samples = [
        sample["delay"]
        for feed in feeds.values()
        for sample in feed.get("history", [])
        if start <= sample["at"] < end and sample["delay"] is not None
    ]
    statuses = [feed["status"] for feed in feeds.values() if "status" in feed]
    rows: list[tuple[str, float, float]] = []
    seen = [each.delay for listed in mesh.listed(start, end).values() for each in listed]
    for name, of in (("mean", np.mean), ("p50", np.median), ("p95", lambda each: np.percentile(each, 95))):
        if samples and seen:
            rows.append((f"delay_{name}_s", float(of(seen)), float(of(samples))))
    # The dashboard's spans are of all clips so far, and so are these.
    spans = [status["ear_voice"] for status in statuses if status.get("ear_voice")]
    for stream in mesh.streams:
        await stream.read(mesh.bus)
    mine = [spread(drifts(stream)) for stream in mesh.streams]
    if spans and (known := [each.shifted(mesh.load.delay) for each in mine if each]):
        for name in ("mean", "p50", "p95"):
            here, there = fmean(getattr(each, name) for each in known), fmean(each[name] for each in spans)
            rows.append((f"ear_voice_{name}_s", here, there))
    told = sum(len(stream.figures.utterances) for stream in mesh.streams)
    rows.append(("utterances", float(told), float(sum(each["utterances"] for each in statuses))))
    show(
        "the dashboard beside the measure",
        ("figure", "measured", "dashboard", "difference"),
        [(name, here, there, f"{there / here - 1:+.1%}" if here else "") for name, here, there in rows],
    )
    found = {f"dashboard.{name}": there for name, _, there in rows}
    found["dashboard.off"] = max((abs(there / here - 1) for _, here, there in rows if here), default=0.0)
    return found


async def largest(mesh: Fleet, options: argparse.Namespace, words: Sequence[str] | None) -> tuple[list[Step], int]:
    """Grow the load until the contract breaks, then halve what is open; the loads that kept it, and the largest."""
    search, kept, guess = Search(options.most), [], 1.0
    while (load := search.next(guess)) is not None:
        if load < len(mesh.streams):
            await mesh.drop(mesh.streams[load:])
            await asyncio.sleep(mesh.load.delay)
        new = load - len(mesh.streams)
        await mesh.add(new)
        await settle(mesh, mesh.streams[-new:] if new else [])
        step = await measured(mesh, options.seconds, words)
        search.tell(load, not step.reasons)
        whole = step.figures["cpu_per_stream"] + step.figures["around_cpu_per_stream"]
        guess = (os.cpu_count() or 1) / whole
        delay = step.figures.get("delay_mean_s", float("nan")), step.figures.get("delay_sd_s", float("nan"))
        line = f"{load} streams: delay {delay[0]:.2f} ± {delay[1]:.2f} s, CPU {whole:.3f} a stream"
        line += f" (pace {step.figures['pace_ms']:.1f} ms)"
        print(line, "" if not step.reasons else "broken: " + "; ".join(step.reasons), flush=True)
        if not step.reasons:
            kept.append(step)
    return sorted(kept, key=lambda step: step.streams), search.kept


async def killed(mesh: Fleet, options: argparse.Namespace, step: Step, words: Sequence[str] | None) -> dict[str, float]:
    """SIGKILL a third of all replicas and replace none; how long until every segment is on time again."""
    usual = step.figures["delay_mean_s"]
    at = time.time()
    victims = mesh.kill_third(random.Random(options.seed))
    print(f"killed {', '.join(victims)}", flush=True)
    await asyncio.sleep(QUIET)
    after: dict[str, list[Listed]] = mesh.listed(at, time.time())
    # What is not listed at all would be missing here, but not in the holes.
    ends = [late_until(listed, usual + LATE) for listed in after.values()]
    for stream in mesh.streams:
        await stream.read(mesh.bus)
    found = {"kills": float(len(victims)), "contract_recovery_s": max([end - at for end in ends if end], default=0.0)}
    found["kill_delay_max_s"] = max((each.delay for listed in after.values() for each in listed), default=float("nan"))
    known = published(mesh, at, time.time()) | followed(mesh, at, time.time(), words)
    return found | {key: known[key] for key in ("holes", "slates", "lost", "doubled", "disordered")}


def load_of(options: argparse.Namespace, table: str) -> Load:
    """What the options ask for. Raises ValueError."""
    known = dict(options.replicas)
    if strange := set(known) - {*SERVICES, "all"}:
        raise ValueError(f"no service is called {', '.join(sorted(strange))}; there are {', '.join(SERVICES)}")
    every = known.pop("all", 2 if options.kill_third else 1)
    many = {name: 1 if name in SINGLE else every for name in SERVICES} | known
    most = options.most if options.find_max else options.streams
    many["downloader"] = max(many["downloader"], -(-most // FOLLOWED) + (1 if options.kill_third else 0))
    scripted = options.engines == "scripted"
    return Load(
        replicas=many,
        scripted=scripted,
        costs=costs.parsed(options.cost),
        languages=tuple(options.to.split(",")),
        delay=options.delay,
        recording="tone" if scripted else "broadcast",
        table=table if scripted else "",
        together=options.together,
    )


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    found = parser("streams", __doc__)
    found.add_argument("--streams", type=int, default=2, help="live streams at once")
    found.add_argument("--seconds", type=float, default=20, help="of measuring, for each load")
    found.add_argument("--replicas", type=shares, default={}, help="such as asr=2,sender=2, or all=2")
    found.add_argument("--engines", choices=("scripted", "embedded"), default="scripted")
    known = ", ".join(costs.ENGINES)
    text = f"what a scripted engine costs: {known}, or {'|'.join(UNITS)}=SECONDS; :wait and :WORKERS may follow"
    found.add_argument("--cost", action="append", default=[], metavar="ENGINE", help=text)
    found.add_argument("--find-max", action="store_true", help="find the most streams that keep the contract")
    found.add_argument("--most", type=int, default=48, help="streams that --find-max tries at most")
    found.add_argument("--kill-third", action="store_true", help="then kill a third of all replicas")
    found.add_argument("--together", action="store_true", help="all services in one process")
    found.add_argument("--delay", type=float, default=12.0, help="seconds behind live")
    found.add_argument("--to", default="es", help="languages, such as es,ca")
    found.add_argument("--seed", type=int, default=1, help="of the choice whom to kill")
    return found.parse_args(argv)


def shares(text: str) -> dict[str, int]:
    """`asr=2,sender=3` as a mapping; ValueError."""
    return {name: int(number) for name, _, number in (part.partition("=") for part in text.split(","))}


async def streams(options: argparse.Namespace) -> dict[str, float]:
    """One run: the load, or the search for the largest one, and what the options add to it."""
    words, table = script()
    load = load_of(options, table)
    said = words if load.scripted else None
    async with fleet(load) as mesh:
        if options.find_max:
            kept, most = await largest(mesh, options, said)
            if not kept:
                return {"max_streams": 0.0}
            if len(mesh.streams) != most:
                await mesh.drop(mesh.streams[most:])
                await mesh.add(most - len(mesh.streams))
                await settle(mesh, mesh.streams)
            base, step = kept[0], kept[-1]
            await calmed(mesh, step.figures["delay_mean_s"])
        else:
            await mesh.add(options.streams)
            await settle(mesh, mesh.streams)
            step = await measured(mesh, options.seconds, said)
            base, kept, most = None, [step], 0
        found = dict(step.figures) | told(step, load, base)
        found["kept"] = float(not step.reasons)
        for reason in step.reasons:
            print(f"broken: {reason}")
        if options.find_max:
            found |= {"max_streams": float(most)} | growth(kept)
        found |= await compared(mesh, step)
        if options.kill_third:
            found |= await killed(mesh, options, step, said)
        return found


def growth(kept: Sequence[Step]) -> dict[str, float]:
    """What added streams cost in the lower and in the upper half of the loads, at the pace of the first load."""
    wholes = {step.streams: step.figures["cpu_per_stream"] * step.streams for step in kept}
    paces = {step.streams: step.figures["pace_ms"] / kept[0].figures["pace_ms"] for step in kept}
    alike = {streams: whole / paces[streams] for streams, whole in wholes.items()}
    show(
        "CPU of the mesh, a second",
        ("streams", "in all", "machine's pace", "at the first pace", "a stream"),
        [(n, wholes[n], paces[n], alike[n], alike[n] / n) for n in sorted(wholes)],
    )
    if len(steps := added(alike)) < 2:
        return {}
    (middle, first), (_, last) = steps
    return {"added_from": middle, "added_first_cpu": first, "added_last_cpu": last, "added_ratio": last / first}


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    figures = asyncio.run(streams(options))
    tell("streams", figures, options)
    return int(any(figures.get(key) for key in ("lost", "doubled")) or not figures.get("kept", 1))
