"""Which URLs may be fetched for a user: the text of every hop is checked, then every address that is really dialled.

A check before the request alone would miss redirects, DNS answers that change between check and use, and URLs inside
playlists. So `fetch` checks the text of each hop, and `session` checks each resolved address at the socket.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Pair = tuple[str, int]

# `ipaddress.is_global` of Python 3.11 says True for some of these.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "64:ff9b::/96",  # NAT64: an IPv4 address in disguise
        "64:ff9b:1::/48",
        "2002::/16",  # 6to4: likewise
        "2001::/32",  # Teredo
        "192.0.0.0/24",
        "192.88.99.0/24",
    )
)
_INTERNAL = (".local", ".internal", ".svc", ".localhost", ".lan", ".home.arpa", ".cluster.local")
_REDIRECTS = (301, 302, 303, 307, 308)
_SECRETS = ("cookie", "authorization", "proxy-authorization")


class Refused(ValueError):
    """The URL or the address behind it may not be fetched; the text is a sentence for the user."""


def _literal(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator allows; the defaults suit a public service."""

    exceptions: frozenset[Pair] = frozenset()
    """Exact host (name or address) and port pairs that are allowed although they are inside."""
    ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    length: int = 2048
    """Characters of the longest URL."""

    @classmethod
    def parse(cls, allow: str) -> Self:
        """The policy with exceptions such as `127.0.0.1:8801,encoder.lan:8080,[::1]:80`; raises ValueError."""
        pairs = set()
        for entry in filter(None, (part.strip() for part in allow.split(","))):
            host, _, port = entry.rpartition(":")
            host = host.strip("[]").lower()
            if not host or not port.isdecimal():
                raise ValueError(f"{entry!r} is not host:port")
            pairs.add((_literal(host) or host, int(port)))
        return cls(exceptions=frozenset(pairs))

    def allows(self, address: str, port: int) -> bool:
        """Whether this IP address and port may be dialled."""
        ip = ipaddress.ip_address(address.split("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if (str(ip), port) in self.exceptions:
            return True
        if port not in self.ports or ip.is_multicast or ip.is_reserved or ip.is_unspecified or not ip.is_global:
            return False
        return not any(ip in network for network in _NEVER if network.version == ip.version)


def check(url: str, policy: Policy) -> None:
    """Refuse a URL by its text alone: scheme, credentials, host name, port, literal address; raises Refused."""
    if len(url) > policy.length:
        raise Refused("The URL is too long.")
    if "\\" in url or any(ord(letter) < 33 or ord(letter) == 127 for letter in url):
        raise Refused("The URL contains characters that are not allowed.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Refused("The URL is malformed.") from error
    if parts.scheme not in ("http", "https"):
        raise Refused("Only http and https URLs are allowed.")
    if "@" in parts.netloc:
        raise Refused("Credentials in the URL are not allowed.")
    if not host:
        raise Refused("The URL names no host.")
    port = (443 if parts.scheme == "https" else 80) if port is None else port
    literal = _literal(host)
    if (literal or host, port) in policy.exceptions:
        return
    if literal:
        if port in policy.ports and not policy.allows(literal, port):
            raise Refused("Addresses inside a private network are not allowed.")
    else:
        _check_name(host)
    if port not in policy.ports:
        raise Refused(f"Port {port} is not allowed.")


def _check_name(host: str) -> None:
    """Refuse names of inner networks and numbers that only a C library takes for addresses (WHATWG URL, 3.5)."""
    name = host.rstrip(".")
    last = name.rpartition(".")[2]
    if not host.isascii() or not last or last.isdecimal() or last.startswith("0x"):
        raise Refused("The host of the URL is malformed.")
    if "." not in name or name.endswith(_INTERNAL):
        raise Refused("Names inside a private network are not allowed.")


class _Resolver(AbstractResolver):
    """Resolves as usual and remembers which addresses belong to a host that the operator named."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._resolver = aiohttp.ThreadedResolver()
        self.named: set[Pair] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if (host.lower(), port) in self._policy.exceptions:
            self.named.update((entry["host"], port) for entry in found)
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def addresses(host: str, port: int, policy: Policy) -> list[str]:
    """The addresses of a host that may be dialled, for a client that dials them itself; raises Refused and OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    named = (host.lower(), port) in policy.exceptions
    allowed = [str(entry[4][0]) for entry in found if named or policy.allows(str(entry[4][0]), port)]
    if not allowed:
        raise Refused("The name of the URL leads to an address that is not allowed.")
    return list(dict.fromkeys(allowed))


def session(policy: Policy, timeout: float = 10.0) -> aiohttp.ClientSession:
    """An HTTP client that cannot reach a forbidden address, by whatever name or redirect; `timeout` is in seconds.

    aiohttp resolves, then asks `socket_factory` for a socket to each resolved address just before it connects to that
    very address: there is no second look-up that could be answered differently. Environment proxies are ignored.
    """
    resolver = _Resolver(policy)

    def open_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        host, port = str(address[0]), int(address[1])
        if (host, port) not in resolver.named and not policy.allows(host, port):
            raise Refused("The name of the URL leads to an address that is not allowed.")
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        resolver=resolver, socket_factory=open_socket, limit=64, limit_per_host=16, use_dns_cache=False
    )
    limits = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 5.0))
    return aiohttp.ClientSession(connector=connector, timeout=limits, trust_env=False)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Refused("The URL is malformed.") from error


def carried(headers: Mapping[str, str], origin: str, target: str) -> dict[str, str]:
    """What may go to `target` of the headers meant for `origin`: no cookies and no authorisation for another host."""
    same = urlsplit(origin)[:2] == urlsplit(target)[:2]
    return {name: value for name, value in headers.items() if same or name.lower() not in _SECRETS}


async def fetch(
    client: aiohttp.ClientSession,
    policy: Policy,
    url: str,
    headers: Mapping[str, str] | None = None,
    limit: int = 64 << 20,
    hops: int = 5,
) -> tuple[bytes, str]:
    """The body of `url` (at most `limit` bytes) and the URL it came from after redirects, each hop checked.

    Cookies and authorisation are dropped where a redirect leaves the host. Raises Refused, aiohttp.ClientError and
    TimeoutError.
    """
    sent = dict(headers or {})
    for _ in range(hops + 1):
        check(url, policy)
        async with client.get(url, headers=sent, allow_redirects=False) as response:
            if response.status in _REDIRECTS and "Location" in response.headers:
                target = _joined(url, response.headers["Location"])
                sent = carried(sent, url, target)
                url = target
                continue
            response.raise_for_status()
            body = bytearray()
            async for block in response.content.iter_chunked(1 << 16):
                body += block
                if len(body) > limit:
                    raise Refused("The response is too large.")
            return bytes(body), url
    raise Refused("There are too many redirects.")
