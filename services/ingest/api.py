"""The HTTP API under /v1."""

import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.types import Message as Received

from services.ingest.bodies import (
    LanguageList,
    Links,
    Pair,
    StreamDetail,
    StreamList,
    StreamPatch,
    StreamRequest,
    StreamView,
)
from services.ingest.door import Bus, Door
from services.ingest.feed import follow
from services.ingest.keys import Keys, bearer
from services.ingest.problems import MEDIA_TYPE, Problem, ProblemDocument
from shared.context import Record
from shared.status import Status

REMEMBERED = 256
"""Streams whose status is kept, so that a second look folds only what is new."""


class Statuses:
    """The folded status of streams, kept so that each event is folded once in this process."""

    def __init__(self, bus: Callable[[], Bus]) -> None:
        self._bus = bus
        self._known: dict[str, Status] = {}

    async def of(self, record: Record) -> Status:
        """Returns the status of a stream by now."""
        status = self._known.pop(record.stream, Status(stream=record.stream))
        while events := await self._bus().events(record.stream, status.event):
            for event in events:
                status = status.fold(event)
        self._known[record.stream] = status
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return status.under(record)


def limited(most: int) -> type[APIRoute]:
    """Returns a kind of route that reads at most `most` bytes of a request's body."""

    class Limited(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def counted(request: Request) -> Response:
                size = 0

                async def receive() -> Received:
                    nonlocal size
                    message = await request.receive()
                    size += len(message.get("body", b""))
                    if size > most:
                        raise Problem(413, "too-large", f"Send at most {most} bytes: fewer terms, or shorter ones.")
                    return message

                return await handle(Request(request.scope, receive))

            return counted

    return Limited


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the error answers of an endpoint for the OpenAPI document."""
    schema = {"schema": ProblemDocument.model_json_schema()}
    return {status: {"description": "Problem", "content": {MEDIA_TYPE: schema}} for status in statuses}


def links(stream: str) -> Links:
    """Returns where a stream is seen, heard and followed."""
    return Links(
        playlist=f"/hls/{stream}/master.m3u8",
        watch=f"/watch/{stream}",
        dashboard=f"/dashboard?stream={stream}",
        events=f"/v1/streams/{stream}/events",
    )


def view(record: Record) -> StreamView:
    """Returns a record as callers see it."""
    return StreamView(
        id=record.stream,
        url=record.url,
        state=record.state,
        reason=record.reason,
        live=record.live,
        title=record.title,
        source_language=record.source_language,
        languages=list(record.languages),
        subtitled=list(record.subtitled),
        profile=record.profile,
        delay=record.delay,
        behind_live=record.delay + 3 * record.segment,
        longest=record.longest,
        glossary=list(record.glossary),
        speakers=record.casting,
        merged=record.merged,
        ducking=record.ducking,
        record=record.record,
        ads=record.ads,
        on_demand=record.on_demand,
        warnings=list(record.warnings),
        created_at=record.created_at,
        links=links(record.stream),
    )


def router(door: Door, bus: Callable[[], Bus], keys: Keys, require_key: bool, largest: int) -> APIRouter:
    """Returns the API; `largest` is the most bytes of a request's body."""

    def tenant(authorization: Annotated[str | None, Header()] = None) -> str:
        if not require_key:
            return ""
        owner = keys.tenant(bearer(authorization))
        if owner is None:
            advice = 'Send a header "Authorization: Bearer KEY" with a key that the operator of this server gave you.'
            raise Problem(401, "key-needed", advice, headers={"WWW-Authenticate": "Bearer"})
        return owner

    Tenant = Annotated[str, Depends(tenant)]
    Stream = Annotated[str, Path(max_length=64, examples=["5f0c2a9d71be"])]
    api = APIRouter(prefix="/v1", tags=["streams"], route_class=limited(largest), responses=documented(401))
    statuses = Statuses(bus)

    async def detail(record: Record) -> StreamDetail:
        status = (await statuses.of(record)).view()
        return StreamDetail.model_validate({**view(record).model_dump(), "status": status})

    @api.post(
        "/streams",
        status_code=201,
        responses={
            200: {"model": StreamView, "description": "Joined the running stream"},
            **documented(409, 413, 422, 503),
        },
    )
    async def start_stream(asked: StreamRequest, tenant: Tenant, response: Response) -> StreamView:
        """Starts dubbing a stream, or joins the running one of the same URL with the union of the languages."""
        record, new = await door.start(asked, tenant)
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/v1/streams/{record.stream}"
        return view(record)

    @api.get("/streams", responses=documented(422))
    async def list_streams(
        tenant: Tenant, state: Literal["starting", "running", "ended", "failed"] | None = None
    ) -> StreamList:
        """Lists streams, the newest first."""
        records = await door.all(tenant)
        return StreamList(streams=[view(record) for record in records if state in (None, record.state)])

    @api.get("/streams/{stream}", responses=documented(404, 422))
    async def show_stream(stream: Stream, tenant: Tenant) -> StreamDetail:
        """Shows a stream: settings, state, why it failed, lag of each stage, delay, ear-voice span, links."""
        _, record = await door.find(stream, tenant)
        return await detail(record)

    @api.patch("/streams/{stream}", responses=documented(404, 409, 413, 422, 503))
    async def change_stream(stream: Stream, patch: StreamPatch, tenant: Tenant) -> StreamView:
        """Changes languages, ducking, glossary, speakers and merges, from the next utterance on."""
        return view(await door.change(stream, patch, tenant))

    @api.delete("/streams/{stream}", status_code=204, responses=documented(404, 409, 422))
    async def stop_stream(stream: Stream, tenant: Tenant) -> None:
        """Ends a stream; its recording, if it has one, stays playable."""
        await door.stop(stream, tenant)

    @api.get("/languages", tags=["languages"])
    async def list_languages(tenant: Tenant) -> LanguageList:
        """Lists what the running engines serve: dub or subtitles only, and the voices."""
        offered = await door.served()
        pairs = [
            Pair(source=source, target=target, serves="dub" if voices else "subtitles", voices=list(voices))
            for source, target in offered.spoken_pairs()
            for voices in [offered.voices_of(target)]
        ]
        return LanguageList(spoken=sorted(offered.sources()), detects=offered.detects, pairs=pairs)

    async def known(stream: Stream, tenant: Tenant) -> str:
        await door.find(stream, tenant)
        return stream

    @api.get("/streams/{stream}/events", response_class=EventSourceResponse, responses=documented(404, 422))
    async def follow_stream(
        stream: Annotated[str, Depends(known)],
        kinds: Annotated[str, Query(max_length=256, description="Kinds to send, with commas; all if empty.")] = "",
        last_event_id: Annotated[str, Header(max_length=64)] = "",
    ) -> AsyncIterator[ServerSentEvent]:
        """Sends what the stages say as server-sent events; goes on after `Last-Event-ID` and ends with the stream."""
        after = last_event_id if re.fullmatch(r"\d+(-\d+)?", last_event_id) else "0"
        wanted = frozenset(filter(None, kinds.lower().split(",")))
        async for event in follow(bus(), stream, after, wanted):
            yield event

    return api
