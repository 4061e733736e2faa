"""A proxy on loopback through which foreign code reaches the web: it dials only what the guard allows."""

import asyncio
import logging
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from shared import guard

log = logging.getLogger(__name__)

HEAD = 64 << 10
"""Bytes of the longest request head."""
MOST = 64 << 20
"""Bytes that one connection may bring."""
PATIENCE = 10.0
"""Seconds for a request head, and for a connection to be made."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """An HTTP proxy (RFC 9110, 7.3.2 and 9.3.6) while its context lasts.

    It looks names up itself and connects to the very addresses that were checked. Every redirect that its client
    follows is a new request here, and so is checked too.
    """

    def __init__(self, policy: guard.Policy) -> None:
        self._policy = policy
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.refusal = ""
        """Why something was last refused, in a sentence for the user."""
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._relay(head, reader, writer)
        except guard.Refused as error:
            self.refusal = str(error)
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except (OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            log.info("relayed request failed", extra={"reason": type(error).__name__})
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _relay(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, _, rest = head.partition(b"\r\n")
        method, target, version = first.decode("ascii").split(" ")
        if method == "CONNECT":
            upstream = await self._dial(f"https://{target}/")
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            upstream = await self._dial(target)
            parts = urlsplit(target)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            upstream[1].write(f"{method} {path} {version}\r\n".encode() + closing(rest))
        try:
            await both((reader, writer), upstream)
        finally:
            upstream[1].close()
            with suppress(OSError):
                await upstream[1].wait_closed()

    async def _dial(self, url: str) -> Streams:
        guard.check(url, self._policy)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        failure: Exception = OSError()
        async with asyncio.timeout(PATIENCE):
            for address in await guard.addresses(host, port, self._policy):
                try:
                    return await asyncio.open_connection(address, port)
                except OSError as error:
                    failure = error
        raise failure


def closing(fields: bytes) -> bytes:
    """Header fields for the server: without the proxy's own, and with an end to the connection after one answer."""
    own = (b"connection:", b"proxy-connection:", b"proxy-authorization:", b"keep-alive:")
    kept = [line for line in fields.split(b"\r\n") if line and not line.lower().startswith(own)]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""])


async def both(client: Streams, server: Streams) -> None:
    """Carry bytes both ways until the server ends, or the client is gone."""
    up = asyncio.create_task(carry(client[0], server[1]))
    try:
        await carry(server[0], client[1])
    finally:
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry bytes one way until the source ends; raises ValueError where there are too many."""
    total = 0
    while block := await source.read(1 << 16):
        total += len(block)
        if total > MOST:
            raise ValueError("the answer is too large")
        sink.write(block)
        await sink.drain()
