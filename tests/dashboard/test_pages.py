"""The dashboard over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.dashboard.pages import pages, sse
from services.dashboard.service import Settings, create
from shared.context import Event, Record
from shared.messages import Head


class Bus:
    """One running stream with one event."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.one = Record(stream="s1", url="https://example.com/a", state="running", languages=("es",), created_at=1.0)

    async def record(self, stream: str) -> tuple[str, Record] | None:
        return ("1", self.one) if stream == "s1" else None

    async def records(self) -> list[Record]:
        return [self.one]

    async def events(self, stream: str, after: str = "0") -> list[Event]:
        self.reads.append(after)
        message = Head(stream=stream, until=20.0, head=20.0)
        return [Event(id="1-0", at=1000.0, stage="downloader", lane=stream, message=message)] if after == "0" else []


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def closing() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def client(bus: Bus, closing: asyncio.Event, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(pages(lambda: bus, tmp_path, 0.05, closing))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_the_page_runs_no_script_but_its_own(client: httpx.AsyncClient) -> None:
    answer = await client.get("/dashboard")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "<script>" not in answer.text


async def test_streams_are_told_in_one_line_each(client: httpx.AsyncClient) -> None:
    (line,) = (await client.get("/dashboard/streams")).json()
    assert line["stream"] == "s1"
    assert (line["title"], line["health"], line["delay"]) == ("https://example.com/a", "starting", None)


async def test_the_feed_tells_the_history_and_then_the_status(
    client: httpx.AsyncClient, bus: Bus, closing: asyncio.Event
) -> None:
    asyncio.get_running_loop().call_later(0.2, closing.set)
    text = (await client.get("/dashboard/feed?stream=s1")).text
    first, second, *_ = text.split("\n\n")
    assert first.splitlines()[1] == "event: history"
    number, kind, data = second.splitlines()
    assert (number, kind) == ("id: 1-0", "event: status")
    status = json.loads(data.removeprefix("data: "))
    assert (status["head"], status["health"], status["languages"]) == (20.0, "starting", ["es"])
    assert bus.reads.count("0") == 1


async def test_a_feed_of_an_unknown_stream_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/dashboard/feed?stream=nobody")).status_code == 404


@pytest.mark.parametrize("file", ["..%2Fpages.py", "nothing.js", "%2e%2e%2fservice.py", "uPlot.esm.js"])
async def test_only_the_pages_own_files_are_served(client: httpx.AsyncClient, file: str) -> None:
    assert (await client.get(f"/dashboard/web/{file}")).status_code == 404


def test_an_event_is_written_as_the_standard_says() -> None:
    assert sse("status", "1-0", {"a": "b\nc"}) == 'id: 1-0\nevent: status\ndata: {"a": "b\\nc"}\n\n'


def test_the_service_is_no_stage() -> None:
    service = create(Settings())
    assert not service.is_stage
    assert service.router is not None
