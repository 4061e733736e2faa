"""The events of a stream as server-sent events."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection

from fastapi.sse import ServerSentEvent

from services.ingest import streams
from services.ingest.door import Bus
from shared.context import Event

POLL = 0.25
"""Seconds between two looks at the events of a silent stream."""
QUIET = 5.0
"""Seconds without an event after which a stream that is over has said everything: until then Head comes each second."""


def kind(event: Event) -> str:
    """Returns the name under which an event is sent: that of its message, in lower case."""
    return type(event.message).__name__.lower()


def after(last_event_id: str) -> str:
    """Returns the id behind which a feed goes on; what is no id of an event means the start."""
    return last_event_id if re.fullmatch(r"\d{1,15}(-\d{1,15})?", last_event_id) else "0"


async def follow(
    bus: Bus, stream: str, after: str, kinds: Collection[str], poll: float = POLL, quiet: float = QUIET
) -> AsyncIterator[ServerSentEvent]:
    """Yields the events of a stream behind the id `after`, of these kinds or of all, until it is over and silent."""
    silent = 0.0
    while silent < quiet or not await _over(bus, stream):
        # Not a blocking read: each would hold one of the connections that the stages of this process need.
        events = await bus.events(stream, after)
        for event in events:
            after = event.id
            if not kinds or kind(event) in kinds:
                told = event.model_dump(mode="json", exclude={"id"})
                yield ServerSentEvent(id=event.id, event=kind(event), data=told)
        silent = 0.0 if events else silent + poll
        if not events:
            await asyncio.sleep(poll)


async def _over(bus: Bus, stream: str) -> bool:
    found = await bus.record(stream)
    return found is None or streams.over(found[1])
