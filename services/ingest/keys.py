"""Who may ask: API keys, of which only hashes are kept."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Scope = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key."""

    tenant: str
    scope: Scope = "write"
    """read: look at streams; write: start, change and end them as well."""
    hashed: bytes = b""
    """SHA-256."""

    def may(self, method: str) -> bool:
        """Whether this key may make requests with this HTTP method."""
        return self.scope == "write" or method in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys that open the door."""

    known: tuple[Key, ...] = ()

    def find(self, offered: str) -> Key | None:
        """Returns what is known of a key; takes the same time whichever one it is compared with."""
        hashed = hashlib.sha256(offered.encode("utf-8", "surrogateescape")).digest()
        found = [key for key in self.known if hmac.compare_digest(key.hashed, hashed)]
        return found[0] if found else None


def keys(listed: Iterable[str]) -> Keys:
    """Returns the keys of a list of `tenant=hash` and `tenant:read=hash`; raises ValueError for anything else."""
    return Keys(tuple(_entry(entry) for entry in listed))


def _entry(entry: str) -> Key:
    owner, _, hashed = entry.strip().partition("=")
    tenant, colon, scope = owner.partition(":")
    known = bytes.fromhex(hashed) if tenant else b""
    if len(known) != hashlib.sha256().digest_size or (colon and scope not in ("read", "write")):
        raise ValueError(
            "An entry of INGEST_KEYS is a tenant, :read where the key may only look, an equals sign and a SHA-256 in"
            " hexadecimal."
        )
    return Key(tenant, "read" if scope == "read" else "write", known)


def bearer(authorization: str | None) -> str:
    """Returns the token of an Authorization header (RFC 6750, section 2.1), "" if it has none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
