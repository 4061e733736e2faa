"""An ingest application over a bus that lives in memory."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.ingest.service import Settings, create
from shared.bus import Service
from shared.context import Event, Offer, Record, Voice
from shared.messages import Message, StreamStopped

VOICES = (
    Voice(name="es+m1", language="es", gender="m", pace=165),
    Voice(name="es+f2", language="es", gender="f", pace=165),
    Voice(name="ca+m1", language="ca", gender="m", pace=165),
)
OFFERS = {
    "asr": [Offer(spoken=("en",))],
    "translator": [Offer(pairs=(("en", "es"), ("en", "ca"), ("en", "gl")))],
    "voice": [Offer(voices=VOICES)],
}


@dataclass
class MemoryBus:
    """What the bus offers outside turns, without Redis."""

    found: dict[str, tuple[str, Record]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    posted: list[Message] = field(default_factory=list)
    told: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    offered: dict[str, list[Offer]] = field(default_factory=lambda: dict(OFFERS))
    rivals: list[Callable[[], None]] = field(default_factory=list)
    """Done just before the next posts, one each: what others do at the same time."""
    versions: Any = field(default_factory=lambda: count(1))

    async def record(self, stream: str) -> tuple[str, Record] | None:
        return self.found.get(stream)

    async def records(self) -> list[Record]:
        return [record for _, record in self.found.values()]

    async def post(self, record: Record, expected: str, *messages: Message) -> bool:
        if self.rivals:
            self.rivals.pop()()
        if self.found.get(record.stream, ("",))[0] != expected:
            return False
        self.put(record)
        self.posted.extend(messages)
        return True

    async def events(self, stream: str, after: str = "0") -> list[Event]:
        return [event for event in self.told[stream] if int(event.id) > int(after.partition("-")[0])][:2]

    async def offers(self) -> dict[str, list[Offer]]:
        return self.offered

    async def claim(self, digest: str, stream: str, instead_of: str = "") -> str:
        if self.owners.get(digest, instead_of) == instead_of:
            self.owners[digest] = stream
        return self.owners[digest]

    def put(self, record: Record) -> None:
        """Writes a record, whatever its version."""
        self.found[record.stream] = (str(next(self.versions)), record)

    def amend(self, stream: str, **changes: object) -> None:
        """Changes a record as a downloader does."""
        self.put(self.found[stream][1].model_copy(update=changes))

    def tell(self, stage: str, *messages: Message) -> None:
        """Appends events."""
        for message in messages:
            told = self.told[message.stream]
            told.append(Event(id=str(len(told) + 1), at=1e9, stage=stage, lane=message.stream, message=message))

    @property
    def stopped(self) -> list[str]:
        """Streams that were asked to stop."""
        return [message.stream for message in self.posted if isinstance(message, StreamStopped)]


Open = Callable[..., httpx.AsyncClient]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets silence and late voices pass at once."""
    sleep = asyncio.sleep
    monkeypatch.setattr("asyncio.sleep", lambda _: sleep(0))


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def served(bus: MemoryBus) -> AsyncIterator[Open]:
    """Opens clients of an API with these settings over the one bus."""
    clients: list[httpx.AsyncClient] = []
    services: list[Service] = []

    def open_client(**settings: Any) -> httpx.AsyncClient:
        service = create(Settings(**settings))
        service.bus = bus  # type: ignore[assignment]
        services.append(service)
        app = FastAPI()
        assert service.router
        app.include_router(service.router)
        for error, handler in service.exception_handlers.items():
            app.add_exception_handler(error, handler)
        clients.append(
            httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test")
        )
        return clients[-1]

    yield open_client
    for client in clients:
        await client.aclose()
    for hook in (hook for service in services for hook in service.stopping):
        await hook()


@pytest.fixture
def client(served: Open) -> httpx.AsyncClient:
    return served()
