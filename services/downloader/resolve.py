"""From what a person typed to a source that can be followed."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp

from services.downloader import listen, radio
from services.downloader.demux import Unusable
from services.downloader.files import File
from services.downloader.pull import Address, Puller, Resolve, Web, sentence
from services.downloader.push import Door, Push
from services.downloader.sites import Site, Sites
from services.downloader.source import Cursor, Source
from shared import guard

LARGEST = 256 << 20
"""Bytes of the largest media file that is fetched whole."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a source may be reached, and for how long it is waited for."""

    client: aiohttp.ClientSession
    policy: guard.Policy
    sites: Sites
    """Asked for pages; one without resolvers is never asked."""
    folder: str = ""
    """Of the files that `file:NAME` may name."""
    patience: float = 60.0
    """Seconds without a new segment after which a source has ended."""
    start: float = 12.0
    """Seconds in which a source must deliver its first segment."""
    publisher: float = 600.0
    """Seconds that a first publisher is waited for."""
    ports: Mapping[str, str] = field(default_factory=dict)
    """Protocol (rtmp, srt) to the `host:port` at which publishers are let in."""
    whip: Callable[[str, float], Door] | None = None
    """Opens the door of a stream for publishers by WHIP."""


def local(url: str, folder: str) -> Path:
    """The file that `file:NAME` means inside `folder`; raises Unusable for anything outside it."""
    if not folder:
        raise Unusable("Local files are not allowed here.")
    root = Path(folder).resolve()
    path = (root / unquote(url.removeprefix("file:"))).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise Unusable("There is no such file.")
    return path


async def resolve(url: str, ways: Ways, cursor: Cursor) -> Source:
    """The source behind a user's URL; raises Unusable.

    A playlist or a media file is taken as it is; a page goes to the resolvers; `file:NAME` is a file of the
    folder; `rtmp:NAME`, `srt:NAME` and `whip:NAME` wait for a publisher; an answer without an end is a station.
    """
    if url.startswith("file:"):
        path = local(url, ways.folder)
        return File(path.open("rb"), cursor, path.stem)
    protocol, _, name = url.partition(":")
    if protocol in (*listen.OPENERS, "whip"):
        return Push(opened(protocol, name, ways), name, cursor, ways.patience)
    if urlsplit(url).path.lower().endswith((".m3u8", ".m3u")):
        return presentation(fixed(Address(url)), ways, cursor)
    try:
        answer = await radio.knock(ways.client, ways.policy, url)
        if radio.endless(answer):
            station = radio.Station(ways.client, ways.policy, answer, ways.start)
            return Push(station, answer.headers.get("icy-name", ""), cursor, ways.patience)
        answer.close()
        body, final = await guard.fetch(ways.client, ways.policy, url, limit=LARGEST)
    except guard.Refused as error:
        raise Unusable(sentence(error)) from error
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        if not ways.sites.resolvers or not isinstance(error, aiohttp.ClientResponseError):
            raise Unusable(sentence(error)) from error
        body, final = b"<", url
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"#EXTM3U"):
        return presentation(fixed(Address(final)), ways, cursor)
    if not start.startswith(b"<") or not ways.sites.resolvers:
        return File(io.BytesIO(body), cursor)
    found = await ways.sites.look_up(url)
    if found.kind == "hls":
        return presentation(refreshed(found, ways.sites, url), ways, cursor)
    try:
        body, _ = await guard.fetch(ways.client, ways.policy, found.url, found.headers, limit=LARGEST)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Unusable(sentence(error)) from error
    return File(io.BytesIO(body), cursor, described(found).title)


def opened(protocol: str, name: str, ways: Ways) -> Door:
    """Where the publishers of a stream come in; raises Unusable."""
    if protocol != "whip":
        return listen.Port(protocol, ways.ports.get(protocol, ""), name, ways.publisher)
    if ways.whip is None:
        raise Unusable("Publishing by WHIP is not switched on here.")
    return ways.whip(name, ways.publisher)


def described(site: Site) -> Address:
    """What a resolver found, for the puller."""
    title = " - ".join(filter(None, (site.uploader, site.title)))
    return Address(site.url, site.headers, title, site.language, site.sound, site.expires)


def presentation(again: Resolve, ways: Ways, cursor: Cursor) -> Puller:
    """Follows an HLS presentation."""
    web = Web(ways.client, ways.policy)
    return Puller(again, web, cursor, height=ways.sites.height, patience=ways.patience, start=ways.start)


def fixed(address: Address) -> Resolve:
    """An address that stays as it is."""

    async def again() -> Address:
        return address

    return again


def refreshed(first: Site, sites: Sites, url: str) -> Resolve:
    """What a resolver has found, and from the second time on what it finds then."""
    known = [described(first)]

    async def again() -> Address:
        return known.pop() if known else described(await sites.look_up(url))

    return again
