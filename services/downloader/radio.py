"""Media over HTTP without an end, such as internet radio: fetched by us, read by libav from memory."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from urllib.parse import urljoin

import aiohttp
import av

from services.downloader.demux import OPTIONS, Fragment
from services.downloader.files import finished
from services.downloader.listen import Connection
from services.downloader.push import SILENT
from shared import guard

log = logging.getLogger(__name__)

ENDLESS = ("audio/mpeg", "audio/aac", "audio/aacp", "audio/ogg", "application/ogg", "video/mp2t", "video/x-flv")
"""Content types that may have no end."""
HOPS = 5
WAITING = 8 << 20
"""Bytes that may wait for libav; a server that sends faster is made to wait."""
AGAIN = 1.0
"""Seconds after which a station that hung up is connected to again."""
SCAN = {"probesize": "131072", "analyzeduration": "1000000"}
_MOVED = (301, 302, 303, 307, 308)


async def knock(client: aiohttp.ClientSession, policy: guard.Policy, url: str) -> aiohttp.ClientResponse:
    """The answer of a URL with its body still unread, every redirect checked; raises Refused and ClientError."""
    patient = aiohttp.ClientTimeout(total=None, sock_connect=SILENT, sock_read=SILENT)
    for _ in range(HOPS + 1):
        guard.check(url, policy)
        response = await client.get(url, allow_redirects=False, timeout=patient)
        if response.status in _MOVED and "Location" in response.headers:
            url = urljoin(url, response.headers["Location"])
            response.close()
            continue
        try:
            response.raise_for_status()
        except aiohttp.ClientResponseError:
            response.close()
            raise
        return response
    raise guard.Refused("There are too many redirects.")


def endless(response: aiohttp.ClientResponse) -> bool:
    """Whether an answer is a continuous stream, by what its server says."""
    told = "Content-Length" in response.headers or "Accept-Ranges" in response.headers
    icy = any(name.lower().startswith("icy-") for name in response.headers)
    return icy or (not told and response.content_type in ENDLESS)


class Pipe:
    """A file of which the event loop writes one end, and a thread reads the other."""

    def __init__(self) -> None:
        self._blocks: SimpleQueue[bytes] = SimpleQueue()
        self._left = b""
        self._over = False
        self.waiting = 0

    def write(self, block: bytes) -> None:
        """Some bytes; none at all are the end."""
        self.waiting += len(block)
        self._blocks.put(block)

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end, or after a silence."""
        if not self._left and not self._over:
            with suppress(Empty):
                self._left = self._blocks.get(timeout=SILENT)
            self._over = not self._left
        taken, self._left = self._left[:size], self._left[size:]
        self.waiting -= len(taken)
        return taken


class Broadcast:
    """One connection to the station."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response, self._pipe = response, Pipe()
        self._filling = asyncio.create_task(self._fill())
        self._connection: Connection | None = None

    async def fragments(self) -> AsyncIterator[Fragment]:
        """Segments up to the end of the connection; raises av.error.FFmpegError where there is no media in it."""
        container = await finished(lambda: av.open(self._pipe, "r", options=OPTIONS | SCAN), self._end)
        self._connection = Connection(container, self._end)
        async for found in self._connection.fragments():
            yield found

    async def close(self) -> None:
        """Hang up."""
        self._filling.cancel()
        await asyncio.gather(self._filling, return_exceptions=True)
        self._response.close()
        if self._connection:
            await self._connection.close()

    async def _fill(self) -> None:
        try:
            async for block in self._response.content.iter_any():
                self._pipe.write(block)
                while self._pipe.waiting > WAITING:
                    await asyncio.sleep(0.05)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("station gone", extra={"reason": type(error).__name__})
        finally:
            self._end()

    def _end(self) -> None:
        self._pipe.write(b"")


class Station:
    """A URL that is connected to again and again."""

    def __init__(
        self, client: aiohttp.ClientSession, policy: guard.Policy, first: aiohttp.ClientResponse, patience: float
    ) -> None:
        self._client, self._policy, self._url = client, policy, str(first.url)
        self._first: aiohttp.ClientResponse | None = first
        self.patience = patience

    async def admit(self, wait: float) -> Broadcast | None:
        """The next connection; None where there is none."""
        response, self._first = self._first, None
        if response is None:
            await asyncio.sleep(AGAIN)
        try:
            async with asyncio.timeout(wait):
                return Broadcast(response or await knock(self._client, self._policy, self._url))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.info("no station", extra={"reason": type(error).__name__})
            return None
