"""Signed playback links: one segment of a path that names a stream, an expiry and a signature over both.

Everything in a presentation is named relative to its playlist, so what stands in front of the master playlist stands in
front of all that it leads to: playlists, segments and subtitles are covered without rewriting any of them.
"""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

SHORTEST = 16
"""Characters of the shortest secret that is taken."""
MARK = "~"
SIGNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,127})~(\d{1,11})~([A-Za-z0-9_-]{22})")


class Refused(Exception):
    """A link that opens nothing, with why, in words for the person who has it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link leads to."""

    stream: str
    expires: int | None = None
    """Epoch seconds; None: never, as playback is open to all."""


@dataclass(frozen=True, slots=True)
class Links:
    """The secrets of a deployment: the first signs, each of them opens, so that secrets can be changed in two steps."""

    secrets: tuple[bytes, ...]

    @classmethod
    def parse(cls, text: str) -> "Links | None":
        """Returns the links of secrets with commas between, None of none; raises ValueError for one that is short."""
        listed = [secret.strip() for secret in text.split(",") if secret.strip()]
        if any(len(secret) < SHORTEST for secret in listed):
            raise ValueError(f"A playback secret has at least {SHORTEST} characters: openssl rand -hex 24 makes one.")
        return cls(tuple(secret.encode() for secret in listed)) if listed else None

    def sign(self, stream: str, expires: int) -> str:
        """Returns the path segment that opens a stream until `expires`, epoch seconds."""
        return f"{stream}{MARK}{expires}{MARK}{_signature(self.secrets[0], stream, expires)}"

    def open(self, segment: str, now: float) -> Opened:
        """Returns what a path segment leads to at `now`, epoch seconds; raises Refused."""
        found = SIGNED.fullmatch(segment)
        if found is None:
            raise Refused("This is no playback link. Ask whoever runs the stream for one.")
        stream, expires = found[1], int(found[2])
        expected = [_signature(secret, stream, expires) for secret in self.secrets]
        if not any(hmac.compare_digest(one, found[3]) for one in expected):
            raise Refused("This playback link was not made here. Ask whoever runs the stream for one.")
        if now >= expires:
            raise Refused("This playback link has expired. Ask whoever gave it to you for a new one.")
        return Opened(stream, expires)


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may play: everybody, or, where it is closed, those with a link."""

    links: Links | None
    closed: bool
    clock: Callable[[], float]
    """Epoch seconds."""

    def admit(self, segment: str) -> Opened:
        """Returns what a path segment, a link or the bare name of a stream, leads to; raises Refused."""
        if MARK in segment:
            if self.links is None:
                raise Refused("This playback link was not made here. Ask whoever runs the stream for one.")
            return self.links.open(segment, self.clock())
        if self.closed:
            raise Refused("This needs a playback link. POST /v1/streams/ID/links makes one.")
        return Opened(segment)


def loopback(host: str) -> bool:
    """Whether a server bound to this host is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _signature(secret: bytes, stream: str, expires: int) -> str:
    """128 bits of HMAC-SHA256 (RFC 2104) in 22 characters of base64url."""
    made = hmac.new(secret, f"dragoman playback\n{stream}\n{expires}".encode(), hashlib.sha256).digest()[:16]
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
