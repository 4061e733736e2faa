"""The dashboard over HTTP: a page, its files, the list of streams, and one feed per stream."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from services.dashboard.busy import Loads
from services.dashboard.health import health, warnings
from services.dashboard.history import Follower
from shared.context import Event, Record

FOLLOWED = 64
WEB = Path(__file__).parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOSNIFF = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
HEADERS = {
    **NOSNIFF,
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
LIVE = {**NOSNIFF, "Cache-Control": "no-store"}


class Source(Protocol):
    """What the dashboard reads; the bus is one."""

    async def record(self, stream: str) -> tuple[str, Record] | None: ...

    async def records(self) -> Sequence[Record]: ...

    async def events(self, stream: str, after: str = "0") -> Sequence[Event]: ...


class Watch:
    """Follows streams for as many viewers as there are: each event is read once."""

    def __init__(self, source: Callable[[], Source], every: float, loads: Loads) -> None:
        self._source = source
        self._every = every
        self._loads = loads
        self._running = 1
        self._followers: OrderedDict[str, tuple[Follower, asyncio.Lock]] = OrderedDict()
        self._read: dict[str, float] = {}

    async def follow(self, record: Record) -> Follower:
        """Returns the stream's follower, at most `every` seconds old."""
        stream = record.stream
        follower, lock = self._followers.setdefault(stream, (Follower(stream), asyncio.Lock()))
        self._followers.move_to_end(stream)
        while len(self._followers) > FOLLOWED:
            forgotten, _ = self._followers.popitem(last=False)
            self._read.pop(forgotten, None)
        async with lock:
            if time.monotonic() - self._read.get(stream, 0.0) >= self._every / 2:
                follower.status = follower.status.under(record)
                while events := await self._source().events(stream, follower.status.event):
                    for event in events:
                        follower.push(event)
                self._read[stream] = time.monotonic()
        return follower

    async def record(self, stream: str) -> Record | None:
        """Returns the stream's record, None where there is none."""
        found = await self._source().record(stream)
        return found[1] if found else None

    async def glance(self) -> list[dict[str, object]]:
        """Returns one line per stream, the newest first."""
        records = sorted(await self._source().records(), key=lambda record: record.created_at, reverse=True)
        self._running = sum(record.state == "running" for record in records)
        return [await self._line(record) for record in records[:FOLLOWED]]

    async def view(self, record: Record) -> tuple[str, dict[str, object]]:
        """Returns the id of the last event, and everything the page shows of a stream."""
        status, loads = (await self.follow(record)).status, await self._loads.now()
        return status.event, status.view() | {
            "now": time.time(),
            "health": health(status, record.segment, time.time()),
            "languages": record.languages,
            "subtitled": record.subtitled,
            "names": {speaker: casting.name for speaker, casting in record.casting.items() if casting.name},
            "casting": {speaker: casting.model_dump() for speaker, casting in record.casting.items()},
            "merged": record.merged,
            "next_delay": record.next_delay,
            "loads": [load.model_dump() for load in loads],
            "warnings": [*warnings(status, loads, self._running), *status.warnings],
        }

    async def _line(self, record: Record) -> dict[str, object]:
        status = (await self.follow(record)).status
        return {
            "stream": record.stream,
            "title": status.title,
            "state": record.state,
            "health": health(status, record.segment, time.time()),
            "languages": record.languages,
            "contract": record.delay,
            "delay": status.delay,
        }


def pages(
    source: Callable[[], Source], modules: Path, every: float, closing: asyncio.Event, loads: Loads | None = None
) -> APIRouter:
    """Returns the routes; `modules` holds npm's packages, feeds tell news each `every` seconds and end at `closing`."""
    router = APIRouter(prefix="/dashboard", tags=["dashboard"])
    watch = Watch(source, every, loads or Loads((), every))
    files = {path.name: path for path in WEB.iterdir()} | {
        name: modules / "uplot" / "dist" / name for name in ("uPlot.esm.js", "uPlot.min.css")
    }

    @router.get("", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(WEB / "dashboard.html", headers=HEADERS)

    @router.get("/web/{file}", include_in_schema=False)
    async def static(file: str) -> Response:
        path = files.get(file)
        if path is None or not path.is_file():
            raise HTTPException(404, f"There is no file {file!r}; uPlot comes with `npm ci`.")
        return FileResponse(path, headers={**HEADERS, "Cache-Control": "no-cache"})

    @router.get("/streams")
    async def streams() -> Response:
        """Returns one line per stream, the newest first."""
        return JSONResponse(await watch.glance(), headers=LIVE)

    @router.get("/feed")
    async def feed(request: Request, stream: str = Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")) -> Response:
        """Sends the stream's history, then its status about once a second, as server-sent events."""
        record = await watch.record(stream)
        if record is None:
            raise HTTPException(404, f"There is no stream {stream!r}.")
        return StreamingResponse(
            told(watch, record, every, closing, request),
            media_type="text/event-stream",
            headers={**LIVE, "X-Accel-Buffering": "no"},
        )

    return router


async def told(
    watch: Watch, record: Record, every: float, closing: asyncio.Event, request: Request
) -> AsyncIterator[str]:
    """Yields the feed of one stream."""
    follower = await watch.follow(record)
    yield sse("history", follower.status.event, [sample.model_dump() for sample in follower.samples])
    while not closing.is_set() and not await request.is_disconnected():
        record = await watch.record(record.stream) or record
        number, view = await watch.view(record)
        yield sse("status", number, view)
        try:
            await asyncio.wait_for(closing.wait(), every)
        except TimeoutError:
            continue


def sse(kind: str, number: str, data: object) -> str:
    """Returns one server-sent event (HTML Living Standard, section 9.2)."""
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
