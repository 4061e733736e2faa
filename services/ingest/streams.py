"""What a stream is: its identity, its delay, its languages, and whether it still runs."""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit, urlunsplit

from shared.context import Record

Profile = Literal["live", "balanced", "quality"]

SHORTEST_DELAY = 2.0
LONGEST_DELAY = 120.0
STOPPED = "Stopped by request."
"""Reason in the record of a stream that somebody ended."""
SPENT = "The minutes that its owner may have within a day are used up."
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How far the dub is behind the live head, and how long an utterance may get; seconds."""

    delay: float
    longest: float


PROFILES: dict[Profile, Timing] = {
    "live": Timing(8.0, 6.0),
    "balanced": Timing(12.0, 8.0),
    "quality": Timing(16.0, 12.0),
}


def timing(profile: Profile, delay: float | None) -> Timing:
    """Returns the timing of a profile, or that of a delay in seconds, which outranks the profile."""
    return PROFILES[profile] if delay is None else Timing(delay, longest(delay))


def longest(delay: float) -> float:
    """Returns the longest utterance, in seconds, that a delay in seconds leaves time to translate and speak."""
    return next((seconds for below, seconds in ((8.0, 4.5), (12.0, 6.0), (16.0, 8.0)) if delay < below), 12.0)


PUSHED = ("rtmp:", "srt:", "whip:")
"""Sources that are not fetched but published to us, under a name."""


def canonical(url: str) -> str:
    """Returns the one spelling of a URL: host in lower case, no default port, no fragment, one form for YouTube.

    The query stays, since it may name the stream. Raises ValueError for a port that is no number.
    """
    if url.startswith(("file:", *PUSHED)):
        return url
    parts = urlsplit(url.strip())
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    watched = video(host, parts.path, parts.query)
    if watched:
        return f"https://www.youtube.com/watch?v={watched}"
    named = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(scheme)
    place = named if parts.port in (None, default) else f"{named}:{parts.port}"
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit((scheme, user + at + place, parts.path or "/", parts.query, ""))


def video(host: str, path: str, query: str) -> str:
    """Returns the id of the YouTube video that a URL names, "" if it names none."""
    if host == "youtu.be":
        return path.strip("/")
    if host.removeprefix("www.").removeprefix("m.") != "youtube.com":
        return ""
    kind, _, name = path.strip("/").partition("/")
    return name if kind == "live" else parse_qs(query).get("v", [""])[0] if kind == "watch" else ""


def digest(tenant: str, url: str) -> str:
    """Returns the key under which a tenant's stream of this URL is found; tenants never share a stream."""
    return hashlib.sha256(f"{tenant}\n{canonical(url)}".encode()).hexdigest()


def running(record: Record) -> bool:
    """Whether somebody who asks for the same URL joins this stream instead of starting a new one."""
    return record.state in ("starting", "running") and not record.ended_at


def over(record: Record) -> bool:
    """Whether nothing more will come of this stream."""
    return record.state in ("ended", "failed")


def minutes(record: Record, now: float) -> float:
    """Returns for how many minutes of the last 24 hours a stream ran; `now` is epoch seconds."""
    until = record.ended_at or now
    return max(0.0, min(until, now) - max(record.created_at, now - DAY)) / 60


def whole(delay: float, segment: float) -> float:
    """Returns a delay rounded up to whole segments, both in seconds; as it is where their length is not known yet."""
    return round(math.ceil(delay / segment - 1e-6) * segment, 3) if segment else delay


def union(languages: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Returns all languages of both, each once, in the order in which they were first asked for."""
    return tuple(dict.fromkeys((*languages, *more)))


def merged(speakers: dict[str, str]) -> dict[str, str]:
    """Returns for each merged speaker the one it finally is; raises ValueError when speakers are merged in a circle."""
    return {speaker: _final(speaker, speakers) for speaker in speakers}


def _final(speaker: str, speakers: dict[str, str]) -> str:
    seen = [speaker]
    while seen[-1] in speakers:
        seen.append(speakers[seen[-1]])
        if seen[-1] in seen[:-1]:
            raise ValueError(f"speakers {' -> '.join(seen)} are merged in a circle")
    return seen[-1]
