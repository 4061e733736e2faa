"""A publisher's push, by RTMP or SRT: it may go and come back, and the media clock goes on."""

import asyncio
import logging
import math
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import av
from av.container import InputContainer

from services.downloader.demux import FORMATS, Fragment, Unusable
from services.downloader.files import Cutter, finished
from services.downloader.source import Cursor, Found, Opened, place
from shared.audio import TICKS, ticks

log = logging.getLogger(__name__)

LISTEN = 20.0
"""Seconds of one listening; then it begins anew."""
SILENT = 5.0
"""Seconds without a packet after which a publisher is gone."""
AWAY = 0.3
"""Seconds that a publisher must be away for its absence to count as lost media."""
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class Publisher:
    """A connection from which media comes."""

    container: InputContainer
    process: "subprocess.Popen[bytes] | None" = None

    def close(self) -> None:
        """Let the publisher and the port go."""
        self.container.close()
        end(self.process)


def end(process: "subprocess.Popen[bytes] | None") -> None:
    """Kill a program of ours."""
    if process:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def listen_rtmp(host: str, port: int, name: str, wait: float) -> Publisher:
    """Wait for a publisher for `wait` seconds; raises av.error.FFmpegError where none comes."""
    options = {"listen": "1", "protocol_whitelist": "rtmp,tcp", "format_whitelist": "flv", "analyzeduration": "2000000"}
    url = f"rtmp://{host}:{port}/live/{name}"
    return Publisher(av.open(url, "r", options=options, timeout=(wait, SILENT)))


def listen_srt(host: str, port: int, name: str, wait: float) -> Publisher:
    """Wait for a publisher by way of ffmpeg, which ends when the publisher does; raises av.error.FFmpegError."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise Unusable("SRT needs ffmpeg, which is not installed here.")
    url = f"srt://{host}:{port}?mode=listener&listen_timeout={round(wait * 1e6)}"
    quiet = ["-nostdin", "-loglevel", "quiet", "-analyzeduration", "1000000", "-f", "mpegts"]
    sink = ["-map", "0:v:0?", "-map", "0:a:0", "-c", "copy", "-flush_packets", "1", "-f", "mpegts", "pipe:1"]
    process = subprocess.Popen([program, *quiet, "-i", url, *sink], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "data"}
        return Publisher(av.open(process.stdout, "r", format="mpegts", options=options), process)
    except (av.error.FFmpegError, ValueError):
        end(process)
        raise


def following(cutter: Cutter) -> Fragment | None:
    """The next segment, or what is left once the publisher is gone."""
    try:
        return cutter.next()
    except av.error.FFmpegError:
        return cutter.rest()


OPENERS: dict[str, Callable[[str, int, str, float], Publisher]] = {"rtmp": listen_rtmp, "srt": listen_srt}
"""By protocol."""


class Push:
    """One publisher after another as one source; it ends after `patience` without one, once there was one."""

    def __init__(self, protocol: str, address: str, name: str, cursor: Cursor, patience: float) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise Unusable(f"Publishing by {protocol.upper()} is not switched on here.")
        if not NAME.fullmatch(name):
            raise Unusable("The name of a published stream has letters, digits, - and _ alone.")
        self._listen, self._host, self._port, self._name = OPENERS[protocol], host.strip("[]"), int(port), name
        self._cursor, self._patience = cursor, patience
        self._protocol = protocol
        self._opened = False

    async def events(self) -> AsyncIterator[tuple[Found, Cursor]]:
        """Opened at the first segment, then pieces, and a loss for every absence; raises Unusable."""
        gone = time.monotonic()
        while not self._delivered or time.monotonic() - gone < self._patience:
            wait = max(min(LISTEN, self._patience), 1.0)
            listening = asyncio.create_task(asyncio.to_thread(self._listen, self._host, self._port, self._name, wait))
            try:
                publisher = await asyncio.shield(listening)
            except av.error.FFmpegError as error:
                log.info("no publisher", extra={"reason": type(error).__name__})
                await asyncio.sleep(0.2)
                continue
            except asyncio.CancelledError:
                await self._hush(listening)
                raise
            try:
                async for found in self._follow(publisher):
                    gone = time.monotonic()
                    yield found, self._cursor.model_copy(deep=True)
            except av.error.FFmpegError as error:
                log.warning("publisher gone", extra={"reason": type(error).__name__})
            finally:
                await asyncio.to_thread(publisher.close)

    @property
    def _delivered(self) -> bool:
        return self._cursor.timeline.offset is not None

    async def _hush(self, listening: "asyncio.Task[Publisher]") -> None:
        """End the listening of a thread, which nothing but a connection wakes."""
        if self._protocol == "rtmp":
            with suppress(OSError):
                socket.create_connection((self._host, self._port), 1.0).close()
        with suppress(av.error.FFmpegError, asyncio.CancelledError):
            (await listening).close()

    async def _follow(self, publisher: Publisher) -> AsyncIterator[Found]:
        """One publisher, on the clock that goes on where the last one left it."""
        cutter, first = await finished(lambda: Cutter(publisher.container)), True
        while (found := await finished(lambda: following(cutter))) is not None:
            now, length = time.time(), found.duration / TICKS
            if not self._opened:
                self._opened = True
                yield Opened(True, max(math.ceil(length - 0.05), 2.0), self._name)
            away = now - length - (self._cursor.date or now)
            if first and away > AWAY:
                self._cursor.lose(ticks(away), "The publisher was away.")
            for event in place(found, self._cursor, tagged=first, date=now - length):
                yield event
            self._cursor.date, first = now, False
