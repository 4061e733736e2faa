"""A stream's health in one word and a sentence."""

from collections.abc import Iterator, Sequence
from typing import Literal

from services.dashboard.busy import Load, advice
from shared.status import Status

Health = Literal["starting", "good", "late", "silent", "ended", "failed"]
SLACK = 1.0
"""Segments' worth of delay over the contract that is no illness."""
SILENCE = 15.0
"""Seconds without an event after which a running stream is silent."""
PATIENCE = 20.0
"""Seconds of media after which every stage should have said something."""
TOLERATED = 0.1
"""Share of sentences that may be lost without a word."""
UPSTREAM = ("downloader", "asr", "segmenter", "speaker", "translator", "voice")


def health(status: Status, segment: float, now: float) -> Health:
    """Returns how a stream with segments of `segment` seconds fares at `now` (epoch seconds)."""
    if status.state == "failed":
        return "failed"
    if status.state == "ended":
        return "ended"
    if status.delay is None:
        return "starting"
    if now - status.at > SILENCE:
        return "silent"
    # The seal moves by whole segments, so head minus seal swings by one of them around the contract.
    return "late" if status.delay > status.contract + segment + SLACK else "good"


def warnings(status: Status, loads: Sequence[Load] = (), streams: int = 1) -> list[str]:
    """Returns what an operator should know and may do while so many streams run, the worst first, in words."""
    if status.state != "running":
        return []
    slowest = bottleneck(status, loads, streams)
    return [*([slowest] if slowest else []), *_silent(status), *_late(status)]


def bottleneck(status: Status, loads: Sequence[Load] = (), streams: int = 1) -> str | None:
    """Returns what to know about the slowest stage, the first whose lag endangers the contract, and what would help."""
    if status.delay is None or status.state != "running":
        return None
    before = 0.0
    for stage in UPSTREAM:
        lanes = [name for name, lane in status.stages.items() if lane.stage == stage]
        lag = max((status.lag(name) for name in lanes if status.at_work(name)), default=before)
        if lag > status.contract and lag - before > status.contract / 2:
            known = f"{stage} is the bottleneck: {lag:.0f} s behind, {lag - before:.0f} s of them its own."
            return f"{known} {advice(stage, loads, streams)}".rstrip()
        before = max(before, lag)
    return None


def _silent(status: Status) -> Iterator[str]:
    # Lanes of one language are silent when nobody listens to it; these are not.
    for stage in (*UPSTREAM[:5], "sender"):
        if stage not in status.stages:
            if status.head > PATIENCE:
                yield f"No {stage} has taken this stream. Is one running?"
        elif status.silence(stage) > SILENCE:
            yield f"{stage} has said nothing for {status.silence(stage):.0f} s. Is a replica running?"


def _late(status: Status) -> Iterator[str]:
    for dub in status.dubs.values():
        heard = dub.voiced + dub.dropped
        if dub.late >= 3 and dub.late > heard * TOLERATED:
            yield f"{dub.language}: {dub.late} of {heard} sentences came too late. A longer delay would save them."
        if dub.failed >= 3 and dub.failed > heard * TOLERATED:
            yield f"{dub.language}: {dub.failed} of {heard} sentences failed. The log of translator and voice says why."
