"""From what a person typed to a source that can be followed."""

import io
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp

from services.downloader.demux import Unusable
from services.downloader.files import File
from services.downloader.pull import Address, Puller, Web, sentence
from services.downloader.source import Cursor, Source
from shared import guard

LARGEST = 256 << 20
"""Bytes of the largest media file that is fetched whole."""


def local(url: str, folder: str) -> Path:
    """The file that `file:NAME` means inside `folder`; raises Unusable for anything outside it."""
    if not folder:
        raise Unusable("Local files are not allowed here.")
    root = Path(folder).resolve()
    path = (root / unquote(url.removeprefix("file:"))).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise Unusable("There is no such file.")
    return path


async def resolve(
    url: str,
    client: aiohttp.ClientSession,
    policy: guard.Policy,
    cursor: Cursor,
    *,
    folder: str = "",
    height: int = 720,
    patience: float = 60.0,
    start: float = 12.0,
) -> Source:
    """The source behind a user's URL: a playlist, a media file on the web, or `file:NAME`; raises Unusable."""
    if url.startswith("file:"):
        path = local(url, folder)
        return File(path.open("rb"), cursor, path.stem)
    address = Address(url)
    if not urlsplit(url).path.lower().endswith((".m3u8", ".m3u")):
        try:
            body, final = await guard.fetch(client, policy, url, limit=LARGEST)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unusable(sentence(error)) from error
        if not body.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"#EXTM3U"):
            return File(io.BytesIO(body), cursor)
        address = Address(final)

    async def again() -> Address:
        return address

    return Puller(again, Web(client, policy), cursor, height=height, patience=patience, start=start)
