"""A presentation behind signed links: everything that a link leads to opens, and nothing opens without one."""

import random
import re
import string
import time

import httpx
import pytest
from fastapi import FastAPI

from services.sender.service import Settings, create
from shared.links import Links
from shared.store import Store, open_store
from tests.sender.source import segment
from tests.sender.test_service import STREAM, Stage, clip, head, stage

SECRET = "a secret of more than sixteen characters"
LINKS = Links((SECRET.encode(),))


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    open_store.cache_clear()


async def published(**record: object) -> Stage:
    """A running stream with a dub and subtitles, a few segments of it published."""
    sender = stage(languages=("es",), **record)
    for index in range(5):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(await clip(sender, 12.5, 1.0), head(18.0))
    return sender


def closed(sender: Stage, **settings: object) -> httpx.AsyncClient:
    """The same stream behind a sender that asks for links."""
    service = create(Settings(store="memory://", secret=SECRET, require_link=True, **settings))  # type: ignore[arg-type]
    service.bus = sender.service.bus
    app = FastAPI()
    assert service.router
    app.include_router(service.router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test")


def named(playlist: str) -> list[str]:
    """Every address in a playlist."""
    lines = [line for line in playlist.splitlines() if line and not line.startswith("#")]
    return [*re.findall(r'URI="([^"]+)"', playlist), *lines]


async def test_a_link_covers_all_that_its_master_playlist_leads_to_and_the_bare_names_open_nothing() -> None:
    sender = await published()
    link = LINKS.sign(STREAM, int(time.time()) + 60)
    async with closed(sender) as viewer:
        root = httpx.URL(f"http://test/hls/{link}/master.m3u8")
        found, todo = {str(root)}, [root]
        while todo:
            url = todo.pop()
            response = await viewer.get(url)
            assert response.status_code == 200, url
            bare = await viewer.get(str(url).replace(link, STREAM))
            assert bare.status_code == 403
            assert "POST /v1/streams" in bare.json()["detail"]
            if url.path.endswith(".m3u8"):
                fresh = {str(url.join(name)) for name in named(response.text)} - found
                found |= fresh
                todo += [httpx.URL(name) for name in sorted(fresh)]
    kinds = {name.rpartition(".")[2] for name in found}
    assert kinds == {"m3u8", "m4s", "vtt"} or kinds == {"m3u8", "m4s", "mp4", "vtt"}
    assert len(found) > 15


async def test_a_link_that_has_expired_opens_nothing_any_more_and_no_cache_outlives_it() -> None:
    sender = await published()
    link = LINKS.sign(STREAM, int(time.time()) + 30)
    async with closed(sender) as viewer:
        media = (await viewer.get(f"/hls/{link}/video.m3u8")).text
        response = await viewer.get(f"/hls/{link}/{named(media)[-1]}")
        (age,) = re.findall(r"max-age=(\d+)", response.headers["cache-control"])
        assert 0 < int(age) <= 30
        late = LINKS.sign(STREAM, int(time.time()) - 1)
        for name in ("master.m3u8", "video.m3u8", named(media)[-1]):
            response = await viewer.get(f"/hls/{late}/{name}")
            assert (response.status_code, "expired" in response.text) == (403, True)


async def test_where_playback_is_open_a_bad_link_is_still_refused() -> None:
    sender = await published()
    async with sender.http() as viewer:
        assert (await viewer.get(f"/hls/{STREAM}/master.m3u8")).status_code == 200
        link = LINKS.sign(STREAM, int(time.time()) + 60)
        assert (await viewer.get(f"/hls/{link}/master.m3u8")).status_code == 403


def test_playback_is_closed_by_default_where_others_reach_the_server() -> None:
    assert not Settings(host="127.0.0.1").gate.closed
    assert Settings(host="0.0.0.0").gate.closed
    assert not Settings(host="0.0.0.0", require_link=False).gate.closed


def forged(chance: random.Random, names: list[str]) -> str:
    """A path under /hls that no honest player asks for."""
    now = int(time.time())
    good = LINKS.sign(STREAM, now + 60)
    name, expires, signature = good.split("~")
    links = [
        STREAM, LINKS.sign(STREAM, now - 1), LINKS.sign("other", now + 60), Links((b"x" * 20,)).sign(STREAM, now + 60),
        f"{name}~{now + 9999}~{signature}", f"{name}~{expires}~{signature[::-1]}", f"{name}~{expires}", f"~{good}",
        f"{good}~{good}", f"{name}%7E{expires}~", "..%2f" + good, "%2e%2e", name + "%00", "~" * 300, "💥~1~" + "a" * 22,
        f"{name}~{'9' * 400}~{signature}",
    ]  # fmt: skip
    noise = "".join(chance.choices(string.ascii_letters + string.digits + "._-~%", k=chance.randrange(1, 40)))
    files = [*names, "master.m3u8", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", f"{noise}.m4s", "%00.vtt", "a" * 4000]
    return f"/{chance.choice(['hls', 'hls', 'hls', 'web'])}/{chance.choice(links)}/{chance.choice(files)}"


async def test_a_thousand_forged_and_replayed_requests_are_served_nothing() -> None:
    sender = await published()
    store: Store = sender.store
    names = [name.partition("/")[2] for name in await store.names(STREAM)][:6]
    chance, seen = random.Random(8), dict[int, int]()
    async with closed(sender) as viewer:
        for _ in range(1000):
            path = forged(chance, [*names, "video.m3u8", "es.m3u8"])
            response = await viewer.request(chance.choice(["GET", "HEAD", "POST"]), path)
            seen[response.status_code] = seen.get(response.status_code, 0) + 1
            assert response.status_code in (403, 404, 405), path
    assert set(seen) == {403, 404, 405}
