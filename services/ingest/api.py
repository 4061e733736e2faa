"""The HTTP API under /v1."""

import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.types import Message as Received

from services.ingest import served, streams
from services.ingest.bodies import (
    LanguageList,
    LinkRequest,
    Links,
    LinkView,
    Pair,
    StreamDetail,
    StreamList,
    StreamPatch,
    StreamRequest,
    StreamView,
    UsageView,
)
from services.ingest.door import Bus, Door
from services.ingest.feed import follow
from services.ingest.keys import Key, Keys, bearer
from services.ingest.limits import Rate
from services.ingest.problems import HEADERS, MEDIA_TYPE, Problem, ProblemDocument
from services.ingest.served import lookup
from services.ingest.transcript import MEDIA_TYPES, Format, Transcript, transcript, written
from services.ingest.usage import Usage
from shared.context import Event, Record
from shared.links import Gate
from shared.status import Status

TAG = r"^([A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|\d{3}))?)?$"
"""A language tag, or nothing."""
SUBTITLES = (MEDIA_TYPES["srt"], MEDIA_TYPES["vtt"])
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

                response = await handle(Request(request.scope, receive))
                response.headers.update(HEADERS)
                return response

            return counted

    return Limited


LIMITED = limited(0)
"""Of routes that take no body."""


def after(last_event_id: str) -> str:
    """Returns the id behind which a feed goes on; what is no id of an event means the start."""
    return last_event_id if re.fullmatch(r"\d{1,15}(-\d{1,15})?", last_event_id) else "0"


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
        transcript=f"/v1/streams/{stream}/transcript",
    )


async def told(bus: Bus, stream: str) -> list[Event]:
    """Returns all events of a stream that are still kept, about the last 4,000."""
    found: list[Event] = []
    while events := await bus.events(stream, found[-1].id if found else "0"):
        found += events
    return found


def spoken_in(record: Record, language: str) -> str:
    """Returns a language of a stream, "" for the one that is spoken; raises Problem for one that it does not have."""
    known = (record.source_language, *record.languages)
    found = lookup(served.tag(language), known) if language else record.source_language
    if found is None:
        advice = f"This stream has no {language}. Ask for one of {', '.join(known)}, or add it with PATCH."
        raise Problem(422, "language-not-dubbed", advice, languages=list(known))
    return found


def behind_live(record: Record) -> float:
    """Returns the seconds that a viewer is behind the live head: the delay and a player's buffer of three segments."""
    return record.delay + 3 * record.segment


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
        subtitles_only=record.subtitles_only,
        profile=record.profile,
        delay=record.delay,
        next_delay=record.next_delay,
        behind_live=behind_live(record),
        longest=record.longest,
        glossary=list(record.glossary),
        speakers=record.casting,
        merged=record.merged,
        ducking=record.ducking,
        record=record.record,
        ads=record.ads,
        on_demand=record.on_demand,
        faces=record.faces,
        listen=record.listen,
        warnings=list(record.warnings),
        created_at=record.created_at,
        ended_at=record.ended_at or None,
        links=links(record.stream),
    )


def router(
    door: Door, bus: Callable[[], Bus], keys: Keys | None, largest: int, rate: Rate, usage: Usage, gate: Gate
) -> APIRouter:
    """Returns the API; without `keys` everybody may call, and `largest` is the most bytes of a request's body."""

    async def caller(request: Request, authorization: Annotated[str | None, Header()] = None) -> str:
        key = Key("") if keys is None else keys.find(bearer(authorization))
        if key is None:
            advice = 'Send a header "Authorization: Bearer KEY" with a key that the operator of this server gave you.'
            raise Problem(401, "key-needed", advice, headers={"WWW-Authenticate": "Bearer"})
        if not key.may(request.method):
            advice = "This key may look at streams, not start, change or end them. Use a key that may write."
            raise Problem(403, "key-only-reads", advice)
        if wait := rate.wait(key.hashed.hex(), time.monotonic()):
            advice = (
                f"This key may ask {rate.a_minute:.0f} times a minute. Ask again in {math.ceil(wait)} s, less often."
            )
            raise Problem(429, "too-many-requests", advice, headers={"Retry-After": str(math.ceil(wait))})
        usage.requests.labels(key.tenant).inc()
        return key.tenant

    Tenant = Annotated[str, Depends(caller)]
    Stream = Annotated[str, Path(max_length=64, examples=["5f0c2a9d71be"])]
    always = documented(401, 403, 429, 500)
    api = APIRouter(prefix="/v1", tags=["streams"], route_class=limited(largest), responses=always)
    statuses = Statuses(bus)

    async def detail(record: Record) -> StreamDetail:
        status = (await statuses.of(record)).view()
        return StreamDetail.model_validate({**view(record).model_dump(), "status": status})

    async def begun(starting: Awaitable[tuple[Record, bool]], tenant: str, response: Response) -> StreamView:
        try:
            record, new = await starting
        except Problem as refusal:
            usage.starts.labels(tenant, refusal.kind).inc()
            raise
        usage.starts.labels(tenant, "new" if new else "joined").inc()
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/v1/streams/{record.stream}"
        return view(record)

    joined: dict[int | str, dict[str, Any]] = {200: {"model": StreamView, "description": "Joined the running stream"}}

    @api.post("/streams", status_code=201, responses={**joined, **documented(409, 413, 422, 503)})
    async def start_stream(asked: StreamRequest, tenant: Tenant, response: Response) -> StreamView:
        """Starts dubbing a stream, or joins the running one of the same URL with the union of the languages."""
        return await begun(door.start(asked, tenant), tenant, response)

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
        """Changes languages, ducking, glossary and speakers from the next utterance on, the delay in a pause."""
        return view(await door.change(stream, patch, tenant))

    @api.delete("/streams/{stream}", status_code=204, responses=documented(404, 409, 422))
    async def stop_stream(stream: Stream, tenant: Tenant) -> None:
        """Ends a stream; its recording, if it has one, stays playable."""
        await door.stop(stream, tenant)

    @api.post("/streams/{stream}/restart", status_code=201, responses={**joined, **documented(404, 409, 413, 422, 503)})
    async def restart_stream(stream: Stream, tenant: Tenant, response: Response) -> StreamView:
        """Starts a stream that failed or ended anew, with the settings that it had; the new one has its own id."""
        return await begun(door.again(stream, tenant), tenant, response)

    @api.post("/streams/{stream}/links", status_code=201, responses=documented(404, 409, 413, 422))
    async def make_link(stream: Stream, tenant: Tenant, asked: LinkRequest | None = None) -> LinkView:
        """Makes a playback link: whoever has it may watch this one stream, without a key, until it expires."""
        _, record = await door.find(stream, tenant)
        if gate.links is None:
            advice = (
                "Playback links are not signed here. Set PLAYBACK_SECRET for ingest and sender, or use the plain ones."
            )
            raise Problem(409, "links-off", advice)
        usage.links.labels(tenant).inc()
        expires = int(gate.clock()) + (asked or LinkRequest()).seconds
        name = gate.links.sign(record.stream, expires)
        return LinkView(playlist=f"/hls/{name}/master.m3u8", watch=f"/watch/{name}", expires_at=expires)

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

    @api.get(
        "/streams/{stream}/transcript",
        response_model=Transcript,
        responses={
            200: {
                "description": "The transcript",
                "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in SUBTITLES},
            },
            **documented(404, 422),
        },
    )
    async def download_transcript(
        stream: Stream,
        tenant: Tenant,
        language: Annotated[
            str, Query(max_length=35, pattern=TAG, description="One of the stream's languages; else what is spoken.")
        ] = "",
        form: Annotated[Format, Query(alias="format")] = "json",
    ) -> Response:
        """Downloads what was said, as far as it is still kept: about the last 4,000 events, some minutes.

        `since` (in WebVTT a note) is the media time from which on nothing is missing.
        """
        _, record = await door.find(stream, tenant)
        wanted = spoken_in(record, language)
        text = written(transcript(record, wanted, await told(bus(), stream)), form)
        name = f'attachment; filename="{record.stream}.{wanted}.{form}"'
        return Response(text, media_type=MEDIA_TYPES[form], headers={"Content-Disposition": name})

    @api.get("/usage", tags=["usage"])
    async def show_usage(tenant: Tenant) -> UsageView:
        """Shows what the tenant has running, and how much it may have."""
        owned, now = await door.all(tenant), gate.clock()
        running = [record for record in owned if streams.running(record)]
        return UsageView(
            streams=len(running),
            most_streams=door.quota.streams or None,
            languages=sum(len(record.languages) for record in running),
            most_languages=door.quota.languages or None,
            minutes=round(sum(streams.minutes(record, now) for record in owned), 2),
            most_minutes=door.quota.minutes or None,
            requests_a_minute=rate.a_minute or None,
        )

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
        wanted = frozenset(filter(None, kinds.lower().split(",")))
        async for event in follow(bus(), stream, after(last_event_id), wanted):
            yield event

    return api
