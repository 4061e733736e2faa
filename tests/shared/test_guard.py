import pytest
from aiohttp import ClientResponseError, InvalidUrlClientError, web
from aiohttp.test_utils import TestServer

from shared.guard import Policy, Refused, addresses, check, fetch, session

HOSTILE = [
    "file:///etc/hosts",
    "concat:http://a.example|file:///etc/hosts",
    "gopher://a.example/",
    "ftp://a.example/",
    "javascript:alert(1)",
    "",
    "a.example/live.m3u8",
    "//a.example/live.m3u8",
    "http:///x",
    "http://",
    "http://u:p@a.example/",
    "http://u@a.example/",
    "http://@a.example/",
    "http://a.example:6379/",
    "http://a.example:99999/",
    "http://a.example:x/",
    "http://a.example\\@127.0.0.1/",
    "http://a.example/\r\nHost: b",
    "http://a.example/a b",
    "http://a.example/\x7f",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://redis/",
    "http://api.default.svc/",
    "http://db.internal/",
    "http://printer.local/",
    "http://router.lan/",
    "http://x.localhost/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://127.0.0.0x1/",
    "http://１２７.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://[::1/",
    "http://169.254.169.254/latest/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://a.example/" + "a" * 2048,
    "FILE:///etc/hosts",
    "data:text/plain,x",
    "pipe:0",
    "rtmp://a.example/live",
    "rtsp://a.example/live",
    "udp://239.0.0.1:1234",
    "subfile:,start,0,end,9,,:/etc/hosts",
    "crypto:http://a.example/",
    "hls+http://a.example/live.m3u8",
    "tcp://a.example:80",
    "http:a.example",
    "http:///etc/hosts",
    "http://[::127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/latest/",
    "http://[::]/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://127.0.1/",
    "http://192.168.1.1/",
    "http://172.31.255.255/",
    "http://198.18.0.1/",
    "http://255.255.255.255/",
    "http://224.0.0.251/",
    "http://metadata.google.internal/",
    "http://METADATA.GOOGLE.INTERNAL./",
    "http://kubernetes.default.svc.cluster.local/",
    "http://a.example:22/",
    "http://a.example:0/",
    "http://a.example:-1/",
    "http://a.example:25/",
    "http://a.example@127.0.0.1:6379/",
    "http://127.0.0.1#.a.example/",
    "http://a.example/\t",
    "http://\u2488\u2488.a/",
    "http://./",
    "http://../",
]
FORBIDDEN = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *(
        "::1",
        "::",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:a00:1::",
        "2001::1",
        "fd00::1",
        "fe80::1",
    ),
    *(
        "fe80::1%eth0",
        "224.0.0.1",
        "ff02::1",
        "192.0.0.192",
        "198.18.0.1",
        "255.255.255.255",
        "192.88.99.1",
        "::7f00:1",
    ),
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_by_its_text(url: str) -> None:
    with pytest.raises(Refused, match=r"\.$"):
        check(url, Policy())


@pytest.mark.parametrize(
    "url", ["https://live.example.com/a.m3u8?token=a", "http://a.example:8080/", "http://8.8.8.8/"]
)
def test_a_public_url_passes(url: str) -> None:
    check(url, Policy())


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_inner_address_is_never_dialled(address: str) -> None:
    assert not Policy().allows(address, 80)


def test_a_public_address_is_dialled_on_web_ports_alone() -> None:
    assert Policy().allows("8.8.8.8", 443)
    assert not Policy().allows("8.8.8.8", 22)


def test_an_exception_is_an_exact_pair() -> None:
    policy = Policy.parse("127.0.0.1:8801, encoder.lan:9000,[::1]:80")
    for url in ("http://127.0.0.1:8801/x", "http://encoder.lan:9000/", "http://[::1]/"):
        check(url, policy)
    assert policy.allows("127.0.0.1", 8801)
    assert policy.allows("::ffff:127.0.0.1", 8801)
    for url in ("http://127.0.0.1:8802/", "http://127.0.0.2:8801/", "http://encoder.lan/", "http://[::1]:81/"):
        with pytest.raises(Refused):
            check(url, policy)


@pytest.mark.parametrize("allow", ["127.0.0.1", "host:", ":80", "a:b"])
def test_an_exception_without_a_port_is_an_error(allow: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Policy.parse(allow)


def server(log: list[str]) -> TestServer:
    async def answer(request: web.Request) -> web.Response:
        log.append(request.path)
        match request.path:
            case "/inside":
                raise web.HTTPFound("http://127.0.0.1:1/secret")
            case "/scheme":
                raise web.HTTPFound("file:///etc/hosts")
            case "/loop":
                raise web.HTTPFound("/loop")
            case "/there":
                raise web.HTTPFound("/here")
            case "/here":
                return web.Response(text=request.headers.get("Cookie", "") + "ok")
            case "/big":
                return web.Response(body=bytes(2000))
        raise web.HTTPNotFound

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return TestServer(app)


async def test_each_hop_of_a_redirect_is_checked() -> None:
    log: list[str] = []
    async with server(log) as origin:
        policy = Policy.parse(f"{origin.host}:{origin.port}")
        base = str(origin.make_url("/"))
        async with session(policy) as client:
            assert await fetch(client, policy, base + "there", {"Cookie": "a=b;"}) == (b"a=b;ok", base + "here")
            for path in ("inside", "scheme", "loop"):
                with pytest.raises(Refused):
                    await fetch(client, policy, base + path)
            with pytest.raises(Refused, match="too large"):
                await fetch(client, policy, base + "big", limit=1000)
            with pytest.raises(ClientResponseError):
                await fetch(client, policy, base + "nothing")
    assert log.count("/loop") == 6


async def test_a_redirect_to_a_hostile_url_is_not_followed() -> None:
    targets = [url for url in HOSTILE if "://" in url and ":///" not in url and url.isascii() and url.isprintable()]
    targets = [url for url in targets if url != "http://"]
    asked: list[str] = []

    async def away(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": targets[int(request.path[1:])]})

    app = web.Application()
    app.router.add_get("/{number:.*}", away)
    async with TestServer(app) as origin:
        policy = Policy.parse(f"{origin.host}:{origin.port}")
        async with session(policy) as client:
            for number in range(len(targets)):
                with pytest.raises(Refused):
                    await fetch(client, policy, str(origin.make_url(f"/{number}")))
    assert asked == [f"/{number}" for number in range(len(targets))]
    assert len(asked) >= 60


async def test_addresses_for_another_dialler_are_checked_too() -> None:
    assert await addresses("127.0.0.1", 8801, Policy.parse("127.0.0.1:8801")) == ["127.0.0.1"]
    assert "127.0.0.1" in await addresses("localhost", 8801, Policy.parse("localhost:8801"))
    for host, port in (("localhost", 80), ("127.0.0.1", 80), ("127.1", 80), ("8.8.8.8", 22)):
        with pytest.raises(Refused):
            await addresses(host, port, Policy())


async def test_secrets_stay_with_their_host() -> None:
    async with server([]) as second:

        async def away(request: web.Request) -> web.Response:
            raise web.HTTPFound(str(second.make_url("/here")))

        app = web.Application()
        app.router.add_get("/", away)
        async with TestServer(app) as first:
            policy = Policy.parse(f"{first.host}:{first.port},{second.host}:{second.port}")
            async with session(policy) as client:
                body, _ = await fetch(client, policy, str(first.make_url("/")), {"Cookie": "secret=1"})
    assert body == b"ok"


async def test_the_address_is_checked_at_the_socket_whatever_the_name() -> None:
    log: list[str] = []
    async with server(log) as origin:
        policy = Policy(ports=frozenset({origin.port or 0}))
        async with session(policy) as client:
            for host in ("localhost", "127.0.0.1", "2130706433", "127.1"):
                with pytest.raises((Refused, InvalidUrlClientError)):
                    await client.get(f"http://{host}:{origin.port}/here")
    assert not log


async def test_a_name_that_the_operator_allows_is_dialled_where_it_leads() -> None:
    async with server([]) as origin:
        policy = Policy.parse(f"localhost:{origin.port}")
        async with session(policy) as client:
            body, _ = await fetch(client, policy, f"http://localhost:{origin.port}/here")
    assert body == b"ok"
