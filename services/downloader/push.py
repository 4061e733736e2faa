"""Sources that come to us, or that never end: publishers may go and come back, and the media clock goes on."""

import logging
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

import av

from services.downloader.demux import Fragment, Unusable
from services.downloader.source import Cursor, Found, Opened, place
from shared.audio import TICKS, ticks

log = logging.getLogger(__name__)

LISTEN = 20.0
"""Seconds of one waiting; then it begins anew."""
SILENT = 5.0
"""Seconds without a packet after which a publisher is gone."""
AWAY = 0.3
"""Seconds that a publisher must be away for its absence to count as lost media."""
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Publisher(Protocol):
    """A connection from which media comes."""

    def fragments(self) -> AsyncIterator[Fragment]:
        """Segments in order, up to the end of the connection; raises av.error.FFmpegError where it breaks."""
        ...

    async def close(self) -> None:
        """Let the publisher go."""
        ...


class Door(Protocol):
    """Where publishers come in."""

    patience: float
    """Seconds that the first one is waited for."""

    async def admit(self, wait: float) -> Publisher | None:
        """The next publisher, None where none comes within `wait` seconds; raises Unusable."""
        ...


def checked(name: str) -> str:
    """The name of a published stream; raises Unusable."""
    if not NAME.fullmatch(name):
        raise Unusable("The name of a published stream has letters, digits, - and _ alone.")
    return name


class Push:
    """One publisher after another as one source; it ends after `patience` without one, once there was one."""

    def __init__(self, door: Door, title: str, cursor: Cursor, patience: float) -> None:
        self._door, self._title, self._cursor, self._patience = door, title, cursor, patience
        self.wait = door.patience
        """Seconds in which its first segment is expected."""
        self._opened = False

    async def events(self) -> AsyncIterator[tuple[Found, Cursor]]:
        """Opened at the first segment, then pieces, and a loss for every absence; raises Unusable."""
        gone = time.monotonic()
        while not self._delivered or time.monotonic() - gone < self._patience:
            publisher = await self._door.admit(max(min(LISTEN, self._patience), 1.0))
            if publisher is None:
                continue
            try:
                async with aclosing(self._follow(publisher)) as finds:
                    async for found in finds:
                        gone = time.monotonic()
                        yield found, self._cursor.model_copy(deep=True)
            except av.error.FFmpegError as error:
                log.warning("publisher gone", extra={"reason": type(error).__name__})
            finally:
                await publisher.close()

    @property
    def _delivered(self) -> bool:
        return self._cursor.timeline.offset is not None

    async def _follow(self, publisher: Publisher) -> AsyncGenerator[Found, None]:
        """One publisher, on the clock that goes on where the last one left it."""
        first = True
        async for found in publisher.fragments():
            now, length = time.time(), found.duration / TICKS
            if not self._opened:
                self._opened = True
                yield Opened(True, max(math.ceil(length - 0.05), 2.0), self._title)
            away = now - length - (self._cursor.date or now)
            if first and away > AWAY:
                self._cursor.lose(ticks(away), "The publisher was away.")
            for event in place(found, self._cursor, tagged=first, date=now - length):
                yield event
            self._cursor.date, first = now, False
