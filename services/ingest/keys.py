"""Who may ask: API keys, of which only hashes are kept."""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Tenants and the SHA-256 hashes of their keys."""

    hashes: tuple[tuple[str, bytes], ...] = ()

    def tenant(self, key: str) -> str | None:
        """Returns whose key this is; takes the same time whichever hash it is compared with."""
        offered = hashlib.sha256(key.encode()).digest()
        found = [tenant for tenant, known in self.hashes if hmac.compare_digest(known, offered)]
        return found[0] if found else None


def keys(listed: Iterable[str]) -> Keys:
    """Returns the keys of a list of `tenant=hash`, each hash a SHA-256 in hexadecimal; raises ValueError for others."""
    return Keys(tuple(_entry(entry) for entry in listed))


def _entry(entry: str) -> tuple[str, bytes]:
    tenant, _, hashed = entry.strip().partition("=")
    known = bytes.fromhex(hashed) if tenant else b""
    if len(known) != hashlib.sha256().digest_size:
        raise ValueError("An entry of INGEST_KEYS is a tenant, an equals sign and a SHA-256 in hexadecimal.")
    return tenant, known


def bearer(authorization: str | None) -> str:
    """Returns the token of an Authorization header (RFC 6750, section 2.1), "" if it has none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def loopback(host: str) -> bool:
    """Whether a server bound to this host is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
