"""What the sender makes of requests that mean harm: nothing outside the store is served, and nobody else is hurt."""

import asyncio
import random
import string
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from services.sender.service import Settings, create
from services.sender.whep import LARGEST, MOST_SECTIONS, SDP
from shared.store import open_store
from tests.sender.source import segment
from tests.sender.test_listen import offer
from tests.sender.test_service import STREAM, Stage, clip, head, stage

WHEP = f"/hls/{STREAM}/es/whep"
ROUTES = {
    ("GET", "/hls/{stream}/{name}"),
    ("HEAD", "/hls/{stream}/{name}"),
    ("GET", "/watch/{stream}"),
    ("GET", "/web/{file}"),
    ("POST", "/hls/{stream}/{language}/whep"),
    ("OPTIONS", "/hls/{stream}/{language}/whep"),
    ("DELETE", "/hls/{stream}/{language}/whep/{session}"),
    ("OPTIONS", "/hls/{stream}/{language}/whep/{session}"),
}
"""Every route of the sender, all of them tried below."""
CLIMBS = [
    "..", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "..%5c..%5cetc", "%252e%252e%252f", "%00",
    "%2fetc%2fpasswd", "v-900000.m4s%00.m3u8", ".hidden", "~root", "a" * 5000, "💥", "%ff%fe", "*",
    "{name}", "C:%5Cx.m4s", "..;", "init-..%2f..%2fx.mp4",
]  # fmt: skip
"""Names that lead out of a folder, or nowhere."""


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    open_store.cache_clear()


@pytest.fixture
async def sender() -> AsyncIterator[Stage]:
    """A running stream with a listen channel and a few published segments, beside a secret in the same store."""
    made = stage(languages=("es",), listen=True)
    for index in range(4):
        await made.say(await segment(made.store, STREAM, index))
    await made.say(await clip(made, 12.5, 1.0), head(18.0))
    await made.store.put("secret.m4s", b"secret")
    yield made
    for stop in made.service.stopping:
        await stop()


def client(sender: Stage) -> httpx.AsyncClient:
    app = FastAPI()
    assert sender.service.router
    app.include_router(sender.service.router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test")


def routes(place: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route, those of routers within routers too."""
    for route in place.routes:
        if hasattr(route, "methods"):
            yield from ((method, route.path) for method in route.methods)
        else:
            yield from routes(route.original_router)


def test_every_route_is_known_to_this_page() -> None:
    app = FastAPI(openapi_url=None)
    router = create(Settings(store="memory://")).router
    assert router
    app.include_router(router)
    assert set(routes(app)) == ROUTES


@pytest.mark.parametrize(
    "path", ["/hls/{0}/{1}", "/hls/{0}/master.m3u8", f"/hls/{STREAM}/{{0}}", "/web/{0}", "/{0}/{1}"]
)
async def test_no_name_leads_out_of_its_folder(sender: Stage, path: str) -> None:
    async with client(sender) as viewer:
        for name in CLIMBS:
            for method in ("GET", "HEAD", "POST", "DELETE"):
                response = await viewer.request(method, path.format(quote(name, safe="%/.;~"), "secret.m4s"))
                assert response.status_code in (403, 404, 405), (method, name, response.status_code)
                assert b"secret" not in response.content
                assert b"root:" not in response.content


def mutations(sdp: str, count: int) -> list[bytes]:
    """Offers that were good once."""
    chance = random.Random(3)
    lines = sdp.splitlines()
    made: list[bytes] = [
        b"", b"\0" * 100, b"v=0", b"\xff\xfe", b"v=0\r\n" * 5000, sdp.encode("utf-16"), b"m=" * 9000,
        b"a=" + b"9" * 60_000, sdp.replace("UDP", "💥").encode(), sdp.replace("mid:0", "mid:" + "x" * 9000).encode(),
    ]  # fmt: skip
    for _ in range(count):
        changed = list(lines)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(changed))
            match chance.randrange(6):
                case 0:
                    del changed[at]
                    changed = changed or ["v=0"]
                case 1:
                    changed.insert(at, changed[chance.randrange(len(changed))])
                case 2:
                    changed[at] = changed[at][: chance.randrange(len(changed[at]) + 1)]
                case 3:
                    changed[at] += "".join(chance.choices(string.printable, k=9))
                case 4:
                    changed[at] = "".join(chance.choice((c, c, c, "9", " ", ":", "-")) for c in changed[at])
                case _:
                    other = chance.randrange(len(changed))
                    changed[at], changed[other] = changed[other], changed[at]
        made.append("\r\n".join(changed).encode(errors="replace"))
    return made


async def test_offers_that_are_none_are_refused_and_leave_nobody_behind(sender: Stage) -> None:
    peer, sdp = await offer()
    await peer.close()
    seen: set[int] = set()
    async with client(sender) as viewer:
        for body in mutations(sdp, 60):
            response = await viewer.post(WHEP, content=body, headers={"Content-Type": SDP})
            assert response.status_code in (201, 400, 413), (response.status_code, body[:300])
            seen.add(response.status_code)
            if response.status_code == 201:
                assert (await viewer.delete(response.headers["location"])).status_code == 200
        assert {400, 201} <= seen
        good = await viewer.post(WHEP, content=sdp, headers={"Content-Type": SDP})
        assert good.status_code == 201


async def test_an_offer_of_many_sections_costs_no_sockets(sender: Stage) -> None:
    peer, sdp = await offer()
    await peer.close()
    start = sdp.index("m=audio")
    many = sdp[:start] + sdp[start:] * (MOST_SECTIONS + 1)
    candidates = sdp + "".join(f"a=candidate:{n} 1 udp 1 10.0.0.1 {n} typ host\r\n" for n in range(1, 900))
    async with client(sender) as viewer:
        for body in (many, candidates):
            assert len(body) < LARGEST
            response = await viewer.post(WHEP, content=body, headers={"Content-Type": SDP})
            assert (response.status_code, "sections" in response.text) == (400, True)


async def test_a_body_without_end_is_not_read_to_its_end(sender: Stage) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 16_384
            yield b"v=0\r\n" * 3277
            await asyncio.sleep(0)

    async with client(sender) as viewer:
        async with asyncio.timeout(10):
            response = await viewer.post(WHEP, content=endless(), headers={"Content-Type": SDP})
    assert response.status_code == 413
    assert read <= 2 * LARGEST


async def test_streams_languages_and_listeners_that_are_made_up_do_not_exist(sender: Stage) -> None:
    peer, sdp = await offer()
    await peer.close()
    async with client(sender) as viewer:
        joined = await viewer.post(WHEP, content=sdp, headers={"Content-Type": SDP})
        session = joined.headers["location"].rpartition("/")[2]
        forged = [session[:-1], session + "a", session[::-1], session.swapcase(), "*", *CLIMBS]
        for name in CLIMBS:
            for path in (
                f"/hls/{quote(name, safe='%/.;~')}/es/whep",
                f"/hls/{STREAM}/{quote(name, safe='%/.;~')}/whep",
            ):
                response = await viewer.post(path, content=sdp, headers={"Content-Type": SDP})
                assert response.status_code in (403, 404, 405), path
        for name in forged:
            assert (await viewer.delete(f"{WHEP}/{quote(name, safe='%/.;~')}")).status_code in (404, 405)
        assert (await viewer.delete(f"{WHEP}/{session}")).status_code == 200


@pytest.mark.parametrize("kind", ["", "text/plain", "application/sdp2", "application/json; x=application/sdp"])
async def test_what_is_no_offer_by_its_type_is_not_read(sender: Stage, kind: str) -> None:
    async with client(sender) as viewer:
        response = await viewer.post(WHEP, content=b"v=0", headers={"Content-Type": kind} if kind else {})
        assert response.status_code == 415
