"""Hot objects, answered before the framework sees the request: this is where the requests are."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from services.sender.hot import Hot
from shared.links import Gate, Refused

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
"""ASGI."""

PREFIX = "/hls/"
FOREVER = "public, max-age=31536000, immutable"
VIDEO = ("v-", "in", "vi")
"""How names begin that hold pictures, or the head of any track."""


class Front:
    """Sends media that is in RAM; everything else, refusals too, is for the application behind."""

    def __init__(self, app: App, hot: Hot, gate: Gate) -> None:
        self._app, self._hot, self._gate = app, hot, gate

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        found = self._find(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        start, body = found
        await send(start)
        await send({"type": "http.response.body", "body": body})

    def _find(self, path: str) -> tuple[Message, bytes] | None:
        if not path.startswith(PREFIX) or not path.endswith((".m4s", ".mp4")):
            return None
        segment, _, name = path[len(PREFIX) :].partition("/")
        try:
            opened = self._gate.admit(segment)
        except Refused:
            return None
        body = self._hot.peek(f"{opened.stream}/{name}")
        if body is None:
            return None
        headers = [
            (b"content-type", media_type(name).encode()),
            (b"content-length", b"%d" % len(body)),
            (b"access-control-allow-origin", b"*"),
            (b"cache-control", lasting(opened.expires, self._gate.clock).encode()),
        ]
        return {"type": "http.response.start", "status": 200, "headers": headers}, body


def media_type(name: str) -> str:
    """Of a media object, by its name."""
    return "video/mp4" if name.startswith(VIDEO) else "audio/mp4"


def lasting(expires: int | None, clock: Callable[[], float]) -> str:
    """How long an object may be kept on its way: no cache serves it behind the end of its link, epoch seconds."""
    return FOREVER if expires is None else f"public, max-age={max(0, int(expires - clock()))}, immutable"
