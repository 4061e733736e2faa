"""What viewers fetch: playlists, segments and the watch page."""

import asyncio
import gzip
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from services.sender import playlist
from services.sender.front import Front, lasting, media_type
from services.sender.hot import Hot
from services.sender.playlist import Kind, Variant
from services.sender.publish import kept, spoken
from shared.audio import TICKS
from shared.cmaf import samples_of, track_of
from shared.context import Record, Row
from shared.links import Gate, Opened, Refused
from shared.store import Missing, Store

PLAYLIST = "application/vnd.apple.mpegurl"
TEXTS = {"vtt": "text/vtt; charset=utf-8", "json": "application/json"}
OPEN = {"Access-Control-Allow-Origin": "*"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob: data:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GUARDED = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.[a-z0-9.]+")
PAGES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "map": "text/plain"}
AGAIN = 5.0
"""Seconds after which interest in a language is said again."""
FRESH = 1.0
"""Seconds for which a record is taken as read."""


class Outside(Protocol):
    """What is used of the bus."""

    async def record(self, stream: str) -> tuple[str, Record] | None: ...

    async def log(self, stream: str, after: int = -1) -> list[Row]: ...

    async def want(self, stream: str, language: str) -> None: ...


@dataclass
class View:
    """One stream as its viewers see it, in RAM."""

    rows: list[Row] = field(default_factory=list)
    record: Record | None = None
    read_at: float = float("-inf")
    wanted_at: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Playlists made from these rows."""
    last: int = -1
    """Number of the newest row that was read."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Views:
    """The streams that somebody watches; those watched longest ago are forgotten."""

    def __init__(self, bus: Callable[[], Outside], window: float, most: int = 512) -> None:
        self._bus, self._window, self._most = bus, window, most
        self._views: OrderedDict[str, View] = OrderedDict()

    async def look(self, stream: str) -> View:
        """The stream with its newest rows."""
        view = self._views.setdefault(stream, View())
        self._views.move_to_end(stream)
        while len(self._views) > self._most:
            self._views.popitem(last=False)
        async with view.lock:
            now = time.monotonic()
            if now - view.read_at > FRESH:
                found = await self._bus().record(stream)
                view.record, view.read_at = (found[1] if found else None), now
            if view.record:
                new = [row for row in await self._bus().log(stream, view.last) if row.number > view.last]
                if new:
                    view.texts = {}
                view.rows += new
                view.last = view.rows[-1].number if view.rows else -1
                if not kept(view.record):
                    view.rows = list(playlist.window(view.rows, self._window))
        return view

    async def want(self, stream: str, view: View, rendition: str) -> None:
        """Somebody fetches this rendition, so its language is worth the work."""
        language = rendition.removeprefix("captions-").removesuffix("-clean")
        now = time.monotonic()
        if view.record and language in view.record.languages and now - view.wanted_at.get(language, -AGAIN) >= AGAIN:
            view.wanted_at[language] = now
            await self._bus().want(stream, language)


def router(
    bus: Callable[[], Outside],
    store: Store,
    window: float,
    web: Path,
    hlsjs: Path,
    memory: int = 64 << 20,
    gate: Gate | None = None,
) -> APIRouter:
    """The HTTP side: /hls/{stream}/..., /watch/{stream} and /web/...; `memory` bytes of objects are kept in RAM.

    A stream stands in the path by its name or as a signed link, as far as the gate admits it; without one all may play.
    """
    gate = gate or Gate(None, False, time.time)
    views, hot = Views(bus, window), Hot(store, memory)

    @asynccontextmanager
    async def ahead(app: FastAPI) -> AsyncIterator[None]:
        app.middleware_stack = Front(app.middleware_stack or app.build_middleware_stack(), hot, gate)
        yield

    made = APIRouter(tags=["playback"], lifespan=ahead)

    async def hls(request: Request) -> Response:
        """A playlist or an object of a stream: master.m3u8, <rendition>.m3u8, and what they name."""
        name = request.path_params["name"]
        try:
            opened = gate.admit(request.path_params["stream"])
        except Refused as refused:
            return problem(str(refused), 403)
        stream = opened.stream
        if not STREAM.fullmatch(stream) or not FILE.fullmatch(name):
            return problem("There is no such name.")
        stem, _, suffix = name.rpartition(".")
        if suffix == "m3u8":
            return await _playlist(opened, stem, request)
        if suffix not in TEXTS and suffix not in ("m4s", "mp4"):
            return problem("There is no such object.")
        try:
            body = await hot.get(f"{stream}/{name}")
        except Missing:
            return problem("This object does not exist, or no longer.")
        kind = TEXTS.get(suffix) or media_type(name)
        return _answer(request, body, kind, lasting(opened.expires, gate.clock), text=suffix in TEXTS)

    made.add_route("/hls/{stream}/{name}", hls, methods=["GET", "HEAD"], include_in_schema=False)

    async def _playlist(opened: Opened, rendition: str, request: Request) -> Response:
        stream = opened.stream
        view = await views.look(stream)
        record = view.record
        if record is None or record.state in ("ended", "failed"):
            try:
                body = await store.get(f"{stream}/{rendition}.m3u8")
            except Missing:
                pass
            else:
                cache = "public, max-age=3600" if opened.expires is None else "no-cache"
                return _answer(request, body, PLAYLIST, cache, text=True)
        if record is None or not view.rows:
            return problem("This stream does not exist." if record is None else "Nothing is published yet.")
        newest = view.rows[-1].body
        if rendition != "master" and rendition not in newest.objects:
            return problem("This stream has no such rendition.")
        await views.want(stream, view, rendition)
        text = view.texts.get(rendition)
        if text is None:
            rows, texts = view.rows, view.texts
            text = await master(store, rows, record) if rendition == "master" else media(rows, rendition, record)
            texts[rendition] = text
        return _answer(request, text.encode(), PLAYLIST, "no-cache", text=True)

    @made.get("/watch/{stream}", response_class=FileResponse, include_in_schema=False)
    async def watch(stream: str) -> Response:
        return FileResponse(web / "watch.html", headers={**GUARDED, "Cache-Control": "no-cache"})

    @made.get("/web/{file}", response_class=FileResponse, include_in_schema=False)
    def asset(file: str) -> Response:
        path = web / file
        if file == "hls.min.js" and hlsjs.is_file():
            path = hlsjs
        if not FILE.fullmatch(file) or file.rpartition(".")[2] not in PAGES or not path.is_file():
            return problem("There is no such file.")
        headers = {**GUARDED, "Cache-Control": "max-age=300"}
        return FileResponse(path, media_type=PAGES[file.rpartition(".")[2]], headers=headers)

    return made


def media(rows: Sequence[Row], rendition: str, record: Record, *, final: bool = False) -> str:
    """The playlist of a rendition as it stands, or for good."""
    kind = Kind.VOD if final else Kind.EVENT if kept(record) else Kind.LIVE
    return playlist.media_playlist(rows, rendition, playlist.target_of(rows, record.segment), kind)


async def master(store: Store, rows: Sequence[Row], record: Record) -> str:
    """The multivariant playlist; bit rates are measured on the newest segments."""
    return playlist.multivariant(await _variant(store, rows), playlist.menu(rows[-1].body, spoken(record)))


async def finish(store: Store, stream: str, record: Record, rows: Sequence[Row], window: float) -> None:
    """Store the playlists of a stream that is over; the multivariant one comes last."""
    lasting = rows if kept(record) else playlist.window(rows, window)
    for rendition in lasting[-1].body.objects:
        text = media(lasting, rendition, record, final=True)
        await store.replace(f"{stream}/{rendition}.m3u8", text.encode())
    await store.replace(f"{stream}/master.m3u8", (await master(store, lasting, record)).encode())


async def _variant(store: Store, rows: Sequence[Row]) -> Variant:
    rates = [await _rate(store, row) for row in rows[-4:]]
    # A slate at the end says nothing about the stream's picture.
    row = next((row for row in reversed(rows) if not row.body.slate), rows[-1]).body
    picture = track_of(await store.get(row.inits["video"]))
    _, samples = samples_of(await store.get(row.objects["video"]))
    codec = track_of(await store.get(row.inits["original"])).codec
    peak = max(rates)
    sound = ",".join(dict.fromkeys([codec, "mp4a.40.2"]))
    return Variant(
        codecs=f"{picture.codec},{sound}",
        bandwidth=peak * 5 // 4,
        average=sum(rates) // len(rates),
        width=picture.width,
        height=picture.height,
        rate=len(samples) * TICKS / row.duration,
    )


async def _rate(store: Store, row: Row) -> int:
    """Bits a second of the picture with the costliest sound."""
    body = row.body
    sounds = {key for name, key in body.objects.items() if name in body.inits and name != "video"}
    costliest = max([len(await store.get(key)) for key in sounds])
    return (len(await store.get(body.objects["video"])) + costliest) * 8 * TICKS // body.duration


def _answer(request: Request, body: bytes, kind: str, cache: str, *, text: bool) -> Response:
    headers = {**OPEN, "Cache-Control": cache}
    if not text:
        return Response(body, media_type=kind, headers=headers)
    headers |= {"ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"', "Vary": "Accept-Encoding"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, 5, mtime=0), "gzip"
    return Response(body, media_type=kind, headers=headers)


def problem(detail: str, status: int = 404) -> Response:
    """What is missing, or not for this viewer, as RFC 9457 has it."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    headers = {**OPEN, "Cache-Control": "max-age=1"}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")
