import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.sender import serving
from services.sender.front import FOREVER, Front, Message
from services.sender.hot import Hot
from shared.links import Gate, Links
from shared.store import Store, open_store

OBJECT = "s1/es-900000-0123456789abcdef.m4s"


@pytest.fixture
def store() -> Store:
    open_store.cache_clear()
    return open_store("memory://")


class Behind:
    """The application behind, which says 418 to everything."""

    async def __call__(self, scope: Message, receive: object, send: Callable[[Message], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def client(front: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://test")


async def test_only_media_in_ram_is_answered_at_once(store: Store) -> None:
    behind, hot = Behind(), Hot(store, 1000)
    await store.put(OBJECT, b"sound")
    await store.put("s1/captions-es-900000-0123456789abcdef.vtt", b"WEBVTT")
    front = Front(behind, hot, Gate(None, False, time.time))
    async with client(front) as http:
        assert (await http.get(f"/hls/{OBJECT}")).status_code == 418
        await hot.get(OBJECT)
        await hot.get("s1/captions-es-900000-0123456789abcdef.vtt")
        found = await http.get(f"/hls/{OBJECT}")
        assert (found.status_code, found.content) == (200, b"sound")
        assert found.headers["content-type"] == "audio/mp4"
        assert found.headers["cache-control"] == FOREVER
        assert found.headers["access-control-allow-origin"] == "*"
        for path in ("captions-es-900000-0123456789abcdef.vtt", "es.m3u8", "es-900000-0123456789abcdee.m4s"):
            assert (await http.get(f"/hls/s1/{path}")).status_code == 418
        assert (await http.head(f"/hls/{OBJECT}")).status_code == 418


async def test_a_link_opens_what_is_in_ram_until_it_expires(store: Store) -> None:
    now = [1000.0]
    links = Links((b"0123456789abcdef",))
    behind, hot = Behind(), Hot(store, 1000)
    await store.put(OBJECT, b"sound")
    await hot.get(OBJECT)
    front = Front(behind, hot, Gate(links, True, lambda: now[0]))
    name = OBJECT.partition("/")[2]
    async with client(front) as http:
        link = links.sign("s1", 1060)
        found = await http.get(f"/hls/{link}/{name}")
        assert (found.status_code, found.headers["cache-control"]) == (200, "public, max-age=60, immutable")
        assert (await http.get(f"/hls/{OBJECT}")).status_code == 418
        now[0] = 1060.0
        assert (await http.get(f"/hls/{link}/{name}")).status_code == 418


@pytest.fixture
async def served(store: Store, tmp_path: Path) -> AsyncIterator[FastAPI]:
    def nowhere() -> serving.Outside:
        raise RuntimeError("only objects are served")

    app = FastAPI()
    app.include_router(serving.router(nowhere, store, 60.0, tmp_path, tmp_path))
    async with app.router.lifespan_context(app):
        yield app


async def test_an_object_is_the_same_from_the_store_and_from_ram(store: Store, served: FastAPI) -> None:
    await store.put(OBJECT, b"sound")
    async with client(served) as http:
        first = await http.get(f"/hls/{OBJECT}")
        await store.delete([OBJECT])
        second = await http.get(f"/hls/{OBJECT}")
        assert isinstance(served.middleware_stack, Front)
        assert (first.status_code, second.status_code) == (200, 200)
        assert (first.content, dict(first.headers)) == (second.content, dict(second.headers))
        assert (await http.get("/hls/s1/other-900000-0123456789abcdef.m4s")).status_code == 404
