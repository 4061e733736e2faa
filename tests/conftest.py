"""What all tests share."""

from collections.abc import Iterator

import pytest

from loadtest.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real redis-server: consumer groups and Lua cannot be faked."""
    with RedisServer() as server:
        yield server
