"""The PCM ring: the last minute of a stream's sound, read by media time."""

from typing import Any

from redis.asyncio import Redis

from shared.audio import EAR
from shared.context import Pcm

WIDTH = 2
LONGEST_MS = 2_000
"""No chunk is longer, so the one that holds a moment starts at most this much before it."""


async def listen(redis: Redis, key: str, start: float, end: float) -> Pcm:
    """The sound in [start, end) seconds of media time, with silence where the ring has none."""
    first, last = round(start * EAR), round(end * EAR)
    sound = bytearray(max(0, last - first) * WIDTH)
    earliest = max(0, round(start * 1000) - LONGEST_MS)
    found: Any = await redis.xrange(key, earliest, round(end * 1000))
    for name, fields in found:
        at = int(name.partition(b"-")[0]) * EAR // 1000 - first
        skip = max(0, -at)
        chunk = fields[b"pcm"][skip * WIDTH :][: max(0, last - first - max(0, at)) * WIDTH]
        place = max(0, at) * WIDTH
        sound[place : place + len(chunk)] = chunk
    return Pcm(start=start, samples=bytes(sound))
