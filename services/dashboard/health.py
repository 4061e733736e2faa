"""A stream's health in one word and a sentence."""

from typing import Literal

from shared.status import Status

Health = Literal["starting", "good", "late", "silent", "ended", "failed"]
SLACK = 1.0
"""Segments' worth of delay over the contract that is no illness."""
SILENCE = 15.0
"""Seconds without an event after which a running stream is silent."""
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


def bottleneck(status: Status) -> str | None:
    """Returns what to know about the slowest stage: the first whose lag endangers the contract, in words."""
    if status.delay is None or status.state != "running":
        return None
    before = 0.0
    for stage in UPSTREAM:
        lags = [status.lag(name) for name, lane in status.stages.items() if lane.stage == stage]
        lag = max(lags, default=before)
        if lag > status.contract and lag - before > status.contract / 2:
            return f"{stage} is the bottleneck: {lag:.0f} s behind, {lag - before:.0f} s of them its own."
        before = max(before, lag)
    return None
