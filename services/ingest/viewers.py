"""What viewers may know of a stream: behind a playback link, or behind its bare name where playback is open to all."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.ingest.bodies import ViewerView
from services.ingest.door import Bus
from services.ingest.feed import after, follow
from services.ingest.problems import Problem
from services.ingest.routes import LIMITED, documented
from services.ingest.views import watched
from shared.context import Record
from shared.links import Gate, Refused

TOLD = frozenset({"utterance", "translation", "clip"})
"""Kinds of events that viewers may follow: what they hear and read anyway."""


def router(bus: Callable[[], Bus], gate: Gate) -> APIRouter:
    """Returns the routes, which ask for no key."""
    api = APIRouter(prefix="/v1/watch", tags=["watch"], route_class=LIMITED, responses=documented(403, 404, 422, 500))

    async def admitted(link: Annotated[str, Path(max_length=192, examples=["5f0c2a9d71be"])]) -> Record:
        try:
            opened = gate.admit(link)
        except Refused as refused:
            raise Problem(403, "link-refused", str(refused)) from refused
        found = await bus().record(opened.stream) if opened.stream.replace("-", "").replace("_", "").isalnum() else None
        if found is None:
            raise Problem(404, "no-such-stream", "This stream does not exist, or no longer. Ask for a new link.")
        return found[1]

    Admitted = Annotated[Record, Depends(admitted)]

    @api.get("/{link}")
    async def watch_stream(record: Admitted) -> ViewerView:
        """Shows what a viewer may know: state, title, languages, names of speakers."""
        return watched(record)

    @api.get("/{link}/events", response_class=EventSourceResponse)
    async def watch_events(
        record: Admitted,
        kinds: Annotated[str, Query(max_length=256, description="Of utterance, translation, clip; all if empty.")] = "",
        last_event_id: Annotated[str, Header(max_length=64)] = "",
    ) -> AsyncIterator[ServerSentEvent]:
        """Sends what was said and how it was translated as server-sent events, for captions that appear at once."""
        asked = frozenset(filter(None, kinds.lower().split(",")))
        wanted = asked & TOLD if asked else TOLD
        if asked and not wanted:
            return
        async for event in follow(bus(), record.stream, after(last_event_id), wanted):
            yield event

    return api
