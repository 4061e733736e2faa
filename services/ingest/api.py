"""The HTTP API under /v1."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.ingest import served, streams
from services.ingest.bodies import (
    LanguageList,
    LinkRequest,
    LinkView,
    Pair,
    StreamDetail,
    StreamList,
    StreamPatch,
    StreamRequest,
    StreamView,
    UsageView,
)
from services.ingest.chronicle import Chronicler
from services.ingest.door import Bus, Door
from services.ingest.feed import after, follow
from services.ingest.keys import Keys
from services.ingest.limits import Rate
from services.ingest.problems import Problem
from services.ingest.routes import REFUSED, caller, documented, limited
from services.ingest.served import lookup
from services.ingest.transcript import MEDIA_TYPES, Format, Transcript, transcript, written
from services.ingest.usage import Usage
from services.ingest.views import owned
from shared.context import Record
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


def spoken_in(record: Record, language: str) -> str:
    """Returns a language of a stream, "" for the one that is spoken; raises Problem for one that it does not have."""
    known = (record.source_language, *record.languages)
    found = lookup(served.tag(language), known) if language else record.source_language
    if found is None:
        advice = f"This stream has no {language}. Ask for one of {', '.join(known)}, or add it with PATCH."
        raise Problem(422, "language-not-dubbed", advice, languages=list(known))
    return found


def router(
    door: Door,
    bus: Callable[[], Bus],
    keys: Keys | None,
    largest: int,
    rate: Rate,
    usage: Usage,
    gate: Gate,
    chronicler: Chronicler,
) -> APIRouter:
    """Returns the API; without `keys` everybody may call, and `largest` is the most bytes of a request's body."""

    Tenant = Annotated[str, Depends(caller(keys, rate, usage))]
    Stream = Annotated[str, Path(max_length=64, examples=["5f0c2a9d71be"])]
    always = documented(*REFUSED)
    api = APIRouter(prefix="/v1", tags=["streams"], route_class=limited(largest), responses=always)
    statuses = Statuses(bus)

    async def detail(record: Record) -> StreamDetail:
        status = (await statuses.of(record)).view()
        return StreamDetail.model_validate({**owned(record).model_dump(), "status": status})

    async def begun(starting: Awaitable[tuple[Record, bool]], tenant: str, response: Response) -> StreamView:
        try:
            record, new = await starting
        except Problem as refusal:
            usage.starts.labels(tenant, refusal.kind).inc()
            raise
        usage.starts.labels(tenant, "new" if new else "joined").inc()
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/v1/streams/{record.stream}"
        return owned(record)

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
        return StreamList(streams=[owned(record) for record in records if state in (None, record.state)])

    @api.get("/streams/{stream}", responses=documented(404, 422))
    async def show_stream(stream: Stream, tenant: Tenant) -> StreamDetail:
        """Shows a stream: settings, state, why it failed, lag of each stage, delay, ear-voice span, links."""
        _, record = await door.find(stream, tenant)
        return await detail(record)

    @api.patch("/streams/{stream}", responses=documented(404, 409, 413, 422, 503))
    async def change_stream(stream: Stream, patch: StreamPatch, tenant: Tenant) -> StreamView:
        """Changes languages, ducking, glossary and speakers from the next utterance on, the delay in a pause."""
        return owned(await door.change(stream, patch, tenant))

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
        """Downloads what was said since the stream began.

        `since` (in WebVTT a note) is the media time from which on nothing is missing: 0 unless no ingest was running.
        """
        _, record = await door.find(stream, tenant)
        wanted = spoken_in(record, language)
        text = written(transcript(record, wanted, await chronicler.read(record.stream)), form)
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
