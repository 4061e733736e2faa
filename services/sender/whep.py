"""The listen channel over HTTP: WHEP (draft-ietf-wish-whep), an offer in, an answer out, a resource to delete."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from fastapi import APIRouter, Request, Response

from services.sender.publish import dubbed
from services.sender.serving import OPEN, STREAM, problem
from shared.context import Event, Record
from shared.links import Gate, Refused
from shared.store import Store

if TYPE_CHECKING:
    from services.sender.listen import Listeners

SDP = "application/sdp"
LARGEST = 64 << 10
"""Bytes of an offer."""
MOST_SECTIONS, MOST_CANDIDATES = 4, 64
"""Of one offer: each section may take sockets of its own, and each candidate is an address that we send packets to."""
PATH = "/hls/{stream}/{language}/whep"
CROSS = OPEN | {
    "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Expose-Headers": "Location",
}


class Outside(Protocol):
    """What is used of the bus."""

    async def record(self, stream: str) -> tuple[str, Record] | None: ...

    async def events(self, stream: str, after: str = "0", wait: float = 0.0) -> list[Event]: ...

    async def want(self, stream: str, language: str) -> None: ...


class Door:
    """Where listeners come in; WebRTC is loaded with the first of them, as few deployments need it."""

    def __init__(self, bus: Callable[[], Outside], store: Store, most: int) -> None:
        self.bus, self._store, self._most = bus, store, most
        self._listeners: Listeners | None = None

    @property
    def listeners(self) -> "Listeners":
        """Everybody who listens to this process."""
        if self._listeners is None:
            from services.sender.listen import Listeners

            self._listeners = Listeners(self.bus, self._store, self._most)
        return self._listeners

    async def close(self) -> None:
        """Let everybody go."""
        if self._listeners:
            await self._listeners.close()


def router(door: Door, gate: Gate) -> APIRouter:
    """POST, DELETE and OPTIONS of /hls/{stream}/{language}/whep."""
    made = APIRouter(tags=["playback"])

    @made.post(PATH, include_in_schema=False)
    async def join(stream: str, language: str, request: Request) -> Response:
        from services.sender.listen import Full, Unfit

        try:
            name = gate.admit(stream).stream
        except Refused as refused:
            return problem(str(refused), 403)
        found = await door.bus().record(name) if STREAM.fullmatch(name) else None
        record = found[1] if found else None
        if record is None or record.state in ("ended", "failed"):
            return problem("This stream does not exist, or no longer.")
        if not record.listen:
            return problem("This stream has no listen channel: start it with listen.")
        if language not in dubbed(record):
            return problem("Nobody speaks this language here.")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != SDP:
            return problem(f"An offer is sent as {SDP}.", 415)
        offer = await _body(request)
        if offer is None:
            return problem(f"An offer has at most {LARGEST} bytes.", 413)
        if offer.count("\nm=") > MOST_SECTIONS or offer.count("\na=candidate:") > MOST_CANDIDATES:
            return problem(f"An offer has at most {MOST_SECTIONS} sections and {MOST_CANDIDATES} candidates.", 400)
        try:
            session, answer = await door.listeners.join(name, language, offer)
        except Full:
            refusal = problem("As many listen here as may: try again later, or another address.", 503)
            refusal.headers["Retry-After"] = "10"
            return refusal
        except Unfit as error:
            return problem(str(error), 400)
        return Response(answer, 201, CROSS | {"Location": f"{request.url.path}/{session}"}, SDP)

    @made.delete(PATH + "/{session}", include_in_schema=False)
    async def leave(session: str) -> Response:
        if not await door.listeners.leave(session):
            return problem("There is no such listener.")
        return Response(status_code=200, headers=CROSS)

    @made.options(PATH, include_in_schema=False)
    @made.options(PATH + "/{session}", include_in_schema=False)
    async def ask() -> Response:
        return Response(status_code=204, headers=CROSS | {"Accept-Post": SDP})

    return made


async def _body(request: Request) -> str | None:
    """The offer; None for one that is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            return None
    return body.decode(errors="replace")
