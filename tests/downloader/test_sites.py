import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.downloader.demux import Unusable
from services.downloader.relay import Relay
from services.downloader.resolve import described
from services.downloader.sites import Site, Sites
from services.downloader.trouble import Trouble, classify
from shared.guard import Policy
from shared.messages import MediaSegment
from tests.downloader.broadcast import Bench, Origin, playlist, transport

Build = Callable[..., Bench]

MASTER = (
    "#EXTM3U\n"
    "#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080\nbig.m3u8\n"
    "#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=1280x720\nmiddle.m3u8\n"
)


def sites(origin: Origin, *resolvers: str, generic: bool = False) -> Sites:
    return Sites(Policy.parse(origin.pair), resolvers or ("streamlink",), generic=generic, limit=90)


async def test_streamlink_finds_the_variant_of_the_wanted_height(origin: Origin) -> None:
    origin.answers |= {"live.m3u8": MASTER, "middle.m3u8": playlist(2), "big.m3u8": playlist(2)}
    found = await sites(origin).look_up(f"hls://{origin.url('live.m3u8')}")
    assert (found.kind, found.url, found.sound) == ("hls", origin.url("middle.m3u8"), "")
    assert "User-Agent" in found.headers


async def test_streamlink_finds_picture_and_sound_apart(origin: Origin) -> None:
    origin.answers["live.m3u8"] = (
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",DEFAULT=YES,AUTOSELECT=YES,URI="sound.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360,AUDIO="a"\npicture.m3u8\n'
    )
    found = await sites(origin).look_up(f"hls://{origin.url('live.m3u8')}")
    assert found.url == origin.url("picture.m3u8")
    assert found.sound in ("", origin.url("sound.m3u8"))


async def test_a_page_is_played_by_way_of_ytdlp(origin: Origin, bench: Build) -> None:
    page = '<html><head><title>Evening news</title></head><video src="live.m3u8"></video></html>'
    origin.answers |= {f"slot{number}.ts": transport(number) for number in range(3)}
    origin.answers |= {
        "watch": lambda request: web.Response(text=page, content_type="text/html"),
        "live.m3u8": lambda request: web.Response(text=playlist(3), content_type="application/vnd.apple.mpegurl"),
    }
    running = bench("watch", resolvers="streamlink,yt-dlp", generic=True)
    said = await running.run()
    assert running.record.reason == ""
    assert "Evening news" in running.record.title
    assert len([message for message in said if isinstance(message, MediaSegment)]) == 3


async def test_a_page_that_nobody_knows_is_no_media(origin: Origin, bench: Build) -> None:
    origin.answers["page"] = "<html>"
    running = bench("page", resolvers="streamlink,yt-dlp")
    await running.run()
    assert (running.record.state, running.record.reason) == ("failed", Trouble.NOT_MEDIA)


async def test_a_resolver_reaches_no_address_that_the_guard_refuses(origin: Origin) -> None:
    origin.answers["live.m3u8"] = MASTER
    closed = Sites(Policy(), ("streamlink", "yt-dlp"), generic=True)
    with pytest.raises(Unusable, match="is not allowed"):
        await closed.look_up(f"hls://{origin.url('live.m3u8')}")
    assert not origin.asked


async def test_a_redirect_inside_a_resolver_is_refused_too(origin: Origin) -> None:
    async with TestServer(web.Application()) as inner:

        def away(request: web.Request) -> web.Response:
            raise web.HTTPFound(str(inner.make_url("/live.m3u8")))

        origin.answers["live.m3u8"] = away
        with pytest.raises(Unusable, match="is not allowed"):
            await sites(origin).look_up(f"hls://{origin.url('live.m3u8')}")


async def test_a_resolver_that_hangs_is_ended(origin: Origin) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(4)
        return web.Response()

    origin.answers["live.m3u8"] = hang
    slow = Sites(Policy.parse(origin.pair), ("streamlink",), limit=1.5)
    with pytest.raises(Unusable, match="in time"):
        await slow.look_up(f"hls://{origin.url('live.m3u8')}")


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/", "http://localhost/", "http://169.254.169.254/", "file:///x"])
async def test_the_relay_refuses_forbidden_targets(target: str) -> None:
    async with Relay(Policy()) as relay, aiohttp.ClientSession() as client:
        if target.startswith("http"):
            async with client.get(target, proxy=relay.url) as answer:
                assert answer.status == 403
        port = int(relay.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"CONNECT {target.removeprefix('http://').strip('/')}:443 HTTP/1.1\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"403"
        writer.close()
        assert relay.refusal.endswith(".")


async def test_the_relay_carries_a_tunnel_to_an_allowed_address(origin: Origin) -> None:
    origin.answers["hello"] = "hello"
    async with Relay(Policy.parse(origin.pair)) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(relay.url.rpartition(":")[2]))
        writer.write(f"CONNECT {origin.pair} HTTP/1.1\r\n\r\n".encode())
        assert b"200" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /hello HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()


@pytest.mark.parametrize(
    "rubbish", [b"\r\n\r\n", b"GET\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"\xff \xff x\r\n\r\n"]
)
async def test_the_relay_survives_rubbish(rubbish: bytes) -> None:
    async with Relay(Policy()) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(relay.url.rpartition(":")[2]))
        writer.write(rubbish + b"\r\n\r\n")
        assert (await reader.readline()).split()[1] in (b"403", b"502")
        writer.close()


SAID = {
    "ERROR: [youtube] x: This live event will begin in 3 hours.": Trouble.NOT_LIVE_YET,
    "ERROR: [youtube] x: Premieres in 10 minutes": Trouble.NOT_LIVE_YET,
    "ERROR: [twitch:stream] x: The channel is not currently live": Trouble.ENDED,
    "ERROR: [youtube] x: This live stream recording is not available: the stream has ended": Trouble.ENDED,
    "ERROR: [youtube] x: Private video. Sign in if you've been granted access to this video": Trouble.LOGIN,
    "ERROR: [youtube] x: Video unavailable. This video has been removed by the uploader": Trouble.PRIVATE,
    "ERROR: [youtube] x: Sign in to confirm your age. This video may be inappropriate": Trouble.LOGIN,
    "ERROR: [youtube] x: Sign in to confirm you’re not a bot. Use --cookies": Trouble.BOT,
    "Unable to open URL: https://x (429 Client Error: Too Many Requests for url": Trouble.BOT,
    "ERROR: x: The uploader has not made this video available in your country": Trouble.GEO,
    "ERROR: x: This video is DRM protected": Trouble.DRM,
    "Unable to open URL: https://x (403 Client Error: Forbidden for url": Trouble.PRIVATE,
    "Unsupported stream type DASHStream": Trouble.FORM,
    "ERROR: x: The read operation timed out": Trouble.TIMEOUT,
    "No playable streams found": Trouble.NOT_MEDIA,
    "": Trouble.NOT_MEDIA,
}


@pytest.mark.parametrize("text", SAID)
def test_what_a_library_says_becomes_a_sentence_with_advice(text: str) -> None:
    assert classify(text) is SAID[text]


def test_every_class_of_trouble_is_a_sentence() -> None:
    assert all(trouble.endswith(".") for trouble in Trouble)


def test_the_expiry_of_a_signed_url_is_known() -> None:
    assert Site(kind="hls", url="https://a.example/expire/1700000000/x.m3u8").expires == 1_700_000_000
    assert described(Site(kind="hls", url="https://a.example/x.m3u8?expires=1700000000")).expires == 1_700_000_000
    assert Site(kind="hls", url="https://a.example/x.m3u8").expires is None
