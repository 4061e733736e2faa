"""Publishers by RTMP and SRT, one after another at one port."""

import asyncio
import logging
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import av
from av.container import InputContainer

from services.downloader.demux import OPTIONS, Fragment, Unusable
from services.downloader.files import Cutter, finished
from services.downloader.push import SILENT, checked

log = logging.getLogger(__name__)


class Connection:
    """A publisher whose packets libav reads."""

    def __init__(self, container: InputContainer, end: Callable[[], None] = lambda: None) -> None:
        self._container, self._end = container, end

    async def fragments(self) -> AsyncIterator[Fragment]:
        """Segments up to the end of the connection."""
        cutter = await finished(lambda: Cutter(self._container), self._end)
        while (found := await finished(lambda: following(cutter), self._end)) is not None:
            yield found

    def shut(self) -> None:
        """Let the publisher and the port go."""
        self._end()
        self._container.close()

    async def close(self) -> None:
        """The same, off the event loop."""
        await asyncio.to_thread(self.shut)


def following(cutter: Cutter) -> Fragment | None:
    """The next segment, or what is left once the publisher is gone."""
    try:
        return cutter.next()
    except av.error.FFmpegError:
        return cutter.rest()


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a program of ours."""
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def listen_rtmp(host: str, port: int, name: str, wait: float) -> Connection:
    """Wait for a publisher for `wait` seconds; raises av.error.FFmpegError where none comes."""
    options = {"listen": "1", "protocol_whitelist": "rtmp,tcp", "format_whitelist": "flv", "analyzeduration": "2000000"}
    url = f"rtmp://{host}:{port}/live/{name}"
    return Connection(av.open(url, "r", options=options, timeout=(wait, SILENT)))


def listen_srt(host: str, port: int, name: str, wait: float) -> Connection:
    """Wait for a publisher by way of ffmpeg, which ends when the publisher does; raises av.error.FFmpegError."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise Unusable("SRT needs ffmpeg, which is not installed here.")
    url = f"srt://{host}:{port}?mode=listener&listen_timeout={round(wait * 1e6)}"
    quiet = ["-nostdin", "-loglevel", "quiet", "-analyzeduration", "1000000", "-f", "mpegts"]
    sink = ["-map", "0:v:0?", "-map", "0:a:0", "-c", "copy", "-flush_packets", "1", "-f", "mpegts", "pipe:1"]
    process = subprocess.Popen([program, *quiet, "-i", url, *sink], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        return Connection(av.open(process.stdout, "r", format="mpegts", options=OPTIONS), lambda: end(process))
    except (av.error.FFmpegError, ValueError):
        end(process)
        raise


OPENERS: dict[str, Callable[[str, int, str, float], Connection]] = {"rtmp": listen_rtmp, "srt": listen_srt}
"""By protocol."""


class Port:
    """A port at which one stream is published."""

    def __init__(self, protocol: str, address: str, name: str, patience: float) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise Unusable(f"Publishing by {protocol.upper()} is not switched on here.")
        self._protocol, self._listen, self._name = protocol, OPENERS[protocol], checked(name)
        self._host, self._port = host.strip("[]"), int(port)
        self.patience = patience

    async def admit(self, wait: float) -> Connection | None:
        """The next publisher, None where none comes within `wait` seconds; raises Unusable."""
        listening = asyncio.create_task(asyncio.to_thread(self._listen, self._host, self._port, self._name, wait))
        try:
            return await asyncio.shield(listening)
        except av.error.FFmpegError as error:
            log.info("no publisher", extra={"reason": type(error).__name__})
            await asyncio.sleep(0.2)
            return None
        except asyncio.CancelledError:
            await self._hush(listening)
            raise

    async def _hush(self, listening: "asyncio.Task[Connection]") -> None:
        """End the listening of a thread, which nothing but a connection wakes."""
        if self._protocol == "rtmp":
            with suppress(OSError):
                socket.create_connection((self._host, self._port), 1.0).close()
        with suppress(av.error.FFmpegError, asyncio.CancelledError):
            (await listening).shut()
