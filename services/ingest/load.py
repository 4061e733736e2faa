"""Whether the mesh keeps up with what it has, so that a new stream does not make every other one late."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from services.ingest import streams
from shared.context import Event, Offer, Record
from shared.status import Status

LOOK = 15.0
"""Seconds of events that tell how far the stages are."""
YOUNG = 30.0
"""Seconds in which a new stream is still getting into step."""
MOST = 32
"""Streams that are looked at, the newest first."""
STAGES = ("asr", "segmenter", "speaker", "translator", "voice")


class Source(Protocol):
    """What is read of the bus."""

    async def events(self, stream: str, after: str = "0") -> list[Event]: ...


def full(offers: Mapping[str, Sequence[Offer]]) -> str:
    """Returns in words the first stage of which no replica has memory for one more stream, "" if there is none."""
    for stage, replicas in offers.items():
        if all(offer.full for offer in replicas):
            return f"{stage}: {replicas[0].full}"
    return ""


async def overload(bus: Source, records: Iterable[Record], most: float, now: float) -> str:
    """Returns in words what keeps the mesh from taking one more stream, "" if nothing does.

    `most` is how many of its delays a running live stream may be behind; 0: any number.
    """
    looked_at = [record for record in records if most and _tells(record, now)]
    for record in sorted(looked_at, key=lambda record: -record.created_at)[:MOST]:
        # Ids of events are the milliseconds of the bus's clock.
        events = await bus.events(record.stream, f"{round((now - LOOK) * 1000)}-0")
        if why := behind(record, events, most):
            return why
    return ""


def _tells(record: Record, now: float) -> bool:
    # A file is read as fast as its sentences are spoken: being behind its end means nothing.
    return record.live is True and streams.running(record) and now - record.created_at > YOUNG


def behind(record: Record, events: Iterable[Event], most: float) -> str:
    """Returns the first stage that the last events of a stream show to be too far behind, in words."""
    status = Status(stream=record.stream)
    for event in events:
        status = status.fold(event)
    for stage in STAGES:
        lags = [status.lag(name) for name, lane in status.stages.items() if lane.stage == stage]
        if status.head and lags and max(lags) > most * record.delay:
            return f"{stage} is {max(lags):.0f} s behind the head of a running stream"
    return ""
