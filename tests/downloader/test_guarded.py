import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.downloader import playlist
from services.downloader.pull import Address, Web
from shared import guard
from tests.downloader.broadcast import Origin

TARGETS = [
    "{inner}",
    "http://localhost:{port}/x",
    "http://127.1:{port}/x",
    "http://2130706433:{port}/x",
    "http://[::ffff:127.0.0.1]:{port}/x",
    "http://169.254.169.254/latest/",
    "file:///etc/hosts",
    "concat:/etc/hosts|/etc/hosts",
    "pipe:0",
    "data:text/plain,x",
    "//127.0.0.1:{port}/x",
    "http://u:p@127.0.0.1:{port}/x",
]
PLACES = {
    "segment": "#EXTINF:1,\n{url}",
    "key": '#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:1,\nslot0.ts',
    "map": '#EXT-X-MAP:URI="{url}"\n#EXTINF:1,\nslot0.ts',
    "range": "#EXTINF:1,\n#EXT-X-BYTERANGE:9@9\n{url}",
}


@pytest.mark.parametrize("place", PLACES)
async def test_nothing_that_a_playlist_names_leads_inside(origin: Origin, place: str) -> None:
    asked: list[str] = []

    async def trap(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_get("/{path:.*}", trap)
    origin.answers["slot0.ts"] = b"x"
    policy = guard.Policy.parse(origin.pair)
    async with TestServer(app) as inner, guard.session(policy) as client:
        for target in TARGETS:
            url = target.format(inner=inner.make_url("/x"), port=inner.port)
            text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{PLACES[place].format(url=url)}\n#EXT-X-ENDLIST\n"
            entry = playlist.media(text, origin.url("live.m3u8")).entries[0]
            with pytest.raises(guard.Refused):
                await Web(client, policy).segment(entry, Address(origin.url("live.m3u8")))
    assert not asked


async def test_the_secrets_of_a_playlist_do_not_go_to_other_hosts(origin: Origin) -> None:
    seen: list[str] = []

    def note(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie", "") + request.headers.get("X-Player", ""))
        return web.Response(body=b"x")

    origin.answers["slot0.ts"] = note
    async with TestServer(web.Application()) as other:
        policy = guard.Policy.parse(f"{origin.pair},{other.host}:{other.port}")
        headers = {"Cookie": "a=b;", "X-Player": "x"}
        part = playlist.Part(origin.url("slot0.ts"))
        async with guard.session(policy) as client:
            for base in (origin.url("live.m3u8"), str(other.make_url("/live.m3u8"))):
                await Web(client, policy).body(part, Address(base, headers))
    assert seen == ["a=b;x", "x"]
