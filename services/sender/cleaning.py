"""What goes when: objects behind the window while a stream runs, all that is left some time after its end."""

import asyncio
import logging
import re
import time

from shared.audio import TICKS
from shared.store import Store

log = logging.getLogger(__name__)

PERIOD = 300.0
"""Seconds between two looks for ended streams."""
SWEEP = 10 * TICKS
"""Ticks of media between two looks for old objects."""
TIMED = re.compile(r"(?!init|slate|card)[^/]*?-(\d{6,})(?:-[0-9a-f]+)?(?:\.\w+)?")
"""Names that carry their media time; whatever has none stays."""
SPEECH = re.compile(r"(?:answer|take|clip)-[^/]*")
"""What speech is made of, paid translations and sound before it is mixed: of no use behind the seal."""
ENDED = "ended"
"""Folder of notes that say which stream ended when, without a recording."""
NOTE = re.compile(rf"{ENDED}/(\d+)-(.+)")


async def sweep(store: Store, stream: str, before: int, which: re.Pattern[str] = TIMED) -> int:
    """Delete what lies before `before` ticks, of the objects with such names; returns how many."""
    if before <= 0:
        return 0
    old = [key for key in await store.names(stream) if which.fullmatch(_name(key)) and _ticks(key) < before]
    await store.delete(old)
    return len(old)


async def note(store: Store, stream: str, now: float) -> None:
    """Remember when a stream ended, epoch seconds, that nobody records."""
    await store.replace(f"{ENDED}/{round(now)}-{stream}", b"")


async def keep_clean(store: Store, keep: float) -> None:
    """Delete what nobody can play any more, for ever."""
    while True:
        (gone,) = await asyncio.gather(clean(store, time.time(), keep), return_exceptions=True)
        if isinstance(gone, BaseException):
            log.warning("ended streams cannot be deleted", extra={"error": repr(gone)})
        elif gone:
            log.info("ended streams deleted", extra={"streams": gone})
        await asyncio.sleep(PERIOD)


async def clean(store: Store, now: float, keep: float) -> list[str]:
    """Delete all of the streams that ended more than `keep` seconds ago without a recording; returns their names."""
    gone = []
    for key in await store.names(ENDED):
        found = NOTE.fullmatch(key)
        if found and int(found[1]) + keep <= now:
            await store.delete(await store.names(found[2]))
            # The note goes last: whoever is interrupted here begins anew.
            await store.delete([key])
            gone.append(found[2])
    return gone


def _name(key: str) -> str:
    return key.partition("/")[2]


def _ticks(key: str) -> int:
    found = TIMED.fullmatch(_name(key))
    return int(found[1]) if found else 1 << 62
