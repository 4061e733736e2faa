"""Clients of one Redis, of a cluster, or of the master that sentinels know."""

from typing import Any, cast
from urllib.parse import unquote, urlsplit

from faststream.redis import RedisBroker, RedisClusterBroker, RedisSentinelBroker
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, ReadOnlyError, TimeoutError

AGAIN = [BusyLoadingError, ConnectionError, ReadOnlyError, TimeoutError]


def connect(url: str) -> Redis:
    """Every script may be repeated, so after a broken connection the client simply tries again.

    `url` is redis:// or rediss://, redis+cluster:// for a cluster, or redis+sentinel://HOST:PORT,HOST:PORT/MASTER.
    """
    kind, plain = address(url)
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 20)
    if kind == "cluster":
        cluster = RedisCluster.from_url(plain, retry=retry, socket_timeout=5, socket_connect_timeout=2)
        return cast(Redis, cluster)
    options: dict[str, Any] = {"retry": retry, "retry_on_error": AGAIN, "socket_connect_timeout": 2}
    if kind == "sentinel":
        watchers: Any = Sentinel(sentinels(plain), socket_timeout=2)  # type: ignore[no-untyped-call]
        return cast(Redis, watchers.master_for(master(plain), **credentials(plain), **options))
    return Redis.from_pool(BlockingConnectionPool.from_url(plain, max_connections=64, timeout=5, **options))


def broker(url: str) -> RedisBroker:
    """FastStream's side of the same Redis; types are the business of the stages, so it injects nothing."""
    kind, plain = address(url)
    options: dict[str, Any] = {"logger": None, "graceful_timeout": 1, "apply_types": False}
    if kind == "cluster":
        return RedisClusterBroker(plain, **options)
    # The first failure of a read must not wait for FastStream, which either sleeps or asks again at once.
    options |= {"retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 20), "retry_on_error": AGAIN}
    if kind == "sentinel":
        options |= credentials(plain)
        return RedisSentinelBroker(sentinels=sentinels(plain), sentinel_master_name=master(plain), **options)
    return RedisBroker(plain, **options)


def address(url: str) -> tuple[str, str]:
    """What stands behind the URL ("", "cluster" or "sentinel"), and the URL in the scheme that clients know."""
    scheme, _, rest = url.partition("://")
    plain, _, kind = scheme.partition("+")
    if plain not in ("redis", "rediss") or kind not in ("", "cluster", "sentinel"):
        raise ValueError("REDIS_URL starts with redis://, rediss://, redis+cluster:// or redis+sentinel://")
    return kind, f"{plain}://{rest}"


def sentinels(url: str) -> list[tuple[str, int]]:
    """Host and port of every sentinel in the URL."""
    hosts = url.partition("://")[2].partition("/")[0].rpartition("@")[2].split(",")
    return [(host.partition(":")[0], int(host.partition(":")[2] or 26379)) for host in hosts]


def credentials(url: str) -> dict[str, Any]:
    """User, password and TLS of the master that the sentinels name; the sentinels themselves are asked without."""
    parts = urlsplit(url)
    words = {"username": parts.username, "password": parts.password}
    known = {name: unquote(word) for name, word in words.items() if word}
    return known | ({"ssl": True} if parts.scheme == "rediss" else {})


def master(url: str) -> str:
    """The name under which the sentinels know the master."""
    return url.partition("://")[2].partition("/")[2] or "mymaster"
