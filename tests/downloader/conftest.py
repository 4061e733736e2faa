"""The origin and the bench that the tests of the downloader share."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.downloader.broadcast import Bench, Origin


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.server.start_server()
    yield origin
    await origin.server.close()


@pytest.fixture
def bench(origin: Origin, tmp_path: Path) -> Callable[..., Bench]:
    def build(url: str, **settings: object) -> Bench:
        return Bench(origin, tmp_path, url if ":" in url else origin.url(url), **settings)

    return build
