"""POST /v1/clips, with a small program in the place of the mesh."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from services.ingest import problems
from services.ingest.clips import WAITING, Clip, Clips, router
from services.ingest.keys import keys
from services.ingest.limits import Rate
from services.ingest.routes import caller
from services.ingest.usage import process_usage

VIDEO = b"\0\0\0\x18ftypmp42" + bytes(2000)
DUBS = """
import pathlib, sys, time
print("dubbing 40 %", file=sys.stderr, flush=True)
source, target = map(pathlib.Path, sys.argv[1:])
while "slow" in source.parts[-1:] or (source.exists() and b"wait" in source.read_bytes()): time.sleep(0.05)
if source.exists() and b"bad" in source.read_bytes(): sys.exit("The source has no sound.")
target.write_bytes(b"a film")
target.with_suffix(".es.srt").write_text("1")
"""


def command(clip: Clip) -> Sequence[str]:
    return [sys.executable, "-c", DUBS, clip.source, str(clip.folder / "clip.mp4")]


def guard(url: str) -> None:
    if "127.0.0.1" in url:
        raise ValueError("This address is inside.")


@pytest_asyncio.fixture
async def clips() -> AsyncIterator[Clips]:
    made = Clips(1, command)
    yield made
    await made.stop()


@pytest.fixture
def client(clips: Clips) -> httpx.AsyncClient:
    known = keys(f"{name}={hashlib.sha256(name.encode()).hexdigest()}" for name in ("ann", "bob"))
    app = FastAPI()
    app.include_router(router(clips, caller(known, Rate(0), process_usage()), guard, 4000))
    problems.install(app)
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": "Bearer ann"})


async def finished(client: httpx.AsyncClient, name: str) -> dict[str, object]:
    async with asyncio.timeout(30):
        while True:
            found: dict[str, object] = (await client.get(f"/v1/clips/{name}")).json()
            if found["state"] in ("done", "failed"):
                return found
            await asyncio.sleep(0.05)


async def test_an_upload_is_dubbed_and_fetched_by_its_link_without_a_key(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/clips?to=es,ca&burn=es", content=VIDEO)
    assert answer.status_code == 202
    made = await finished(client, answer.json()["id"])
    assert made["state"] == "done"
    assert made["progress"] == 1
    assert set(made["files"]) == {"clip.mp4", "clip.es.srt"}  # type: ignore[call-overload]
    film = await client.get(made["files"]["clip.mp4"], headers={"Authorization": ""})  # type: ignore[index]
    assert film.content == b"a film"
    assert film.headers["content-type"] == "video/mp4"


async def test_a_url_is_dubbed_too(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/clips", json={"url": "https://example.com/a.mp4", "languages": ["es"]})
    assert (await finished(client, answer.json()["id"]))["state"] == "done"


async def test_a_clip_that_fails_says_why_and_its_upload_is_gone(client: httpx.AsyncClient, clips: Clips) -> None:
    answer = await client.post("/v1/clips", content=VIDEO + b"bad")
    made = await finished(client, answer.json()["id"])
    assert (made["state"], made["reason"], made["files"]) == ("failed", "The source has no sound.", {})
    assert left(clips, made["id"]) == []


@pytest.mark.parametrize(
    ("body", "query", "status", "kind"),
    [
        (VIDEO + bytes(3000), "", 413, "too-large"),
        (b"plain words", "", 422, "not-media"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "", 422, "not-media"),
        (b"", "", 422, "not-media"),
        (VIDEO, "?to=klingon-in-full", 422, "invalid"),
        (VIDEO, "?to=", 422, "invalid"),
    ],
)
async def test_what_cannot_be_taken_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, clips: Clips, body: bytes, query: str, status: int, kind: str
) -> None:
    answer = await client.post(f"/v1/clips{query}", content=body)
    assert answer.status_code == status
    assert answer.json()["type"].endswith(kind)
    assert folders(clips) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"url": "http://127.0.0.1/a.mp4", "languages": ["es"]}, "url-refused"),
        ({"languages": ["es"]}, "invalid"),
        ({"url": "https://example.com/a.mp4"}, "invalid"),
        ({"url": "https://example.com/a.mp4", "languages": ["es"], "more": 1}, "invalid"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(client: httpx.AsyncClient, body: object, kind: str) -> None:
    answer = await client.post("/v1/clips", json=body)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(kind)


async def test_a_clip_is_its_owners_alone(client: httpx.AsyncClient) -> None:
    name = (await client.post("/v1/clips", content=VIDEO)).json()["id"]
    bob = {"Authorization": "Bearer bob"}
    assert (await client.get(f"/v1/clips/{name}", headers=bob)).status_code == 404
    assert (await client.delete(f"/v1/clips/{name}", headers=bob)).status_code == 404
    assert (await client.post("/v1/clips", content=VIDEO, headers={"Authorization": ""})).status_code == 401
    await finished(client, name)
    assert (await client.get(f"/v1/clips/{name}/source")).status_code == 404
    assert (await client.get(f"/v1/clips/{name}/..%2Fsource")).status_code == 404


async def test_a_clip_that_is_forgotten_ends_and_leaves_nothing(client: httpx.AsyncClient, clips: Clips) -> None:
    name = (await client.post("/v1/clips", content=VIDEO + b"wait")).json()["id"]
    async with asyncio.timeout(20):
        while not (await client.get(f"/v1/clips/{name}")).json()["progress"]:
            await asyncio.sleep(0.05)
    assert (await client.delete(f"/v1/clips/{name}")).status_code == 204
    assert (await client.get(f"/v1/clips/{name}")).status_code == 404
    assert folders(clips) == []


async def test_more_than_can_wait_are_refused(client: httpx.AsyncClient) -> None:
    answers = [(await client.post("/v1/clips", content=VIDEO + b"wait")).status_code for _ in range(WAITING + 3)]
    assert answers[-1] == 429
    assert answers.count(202) >= WAITING


def folders(clips: Clips) -> list[str]:
    """Clips that have a folder."""
    return sorted(path.name for path in clips.root.iterdir()) if clips.root else []


def left(clips: Clips, name: object) -> list[Path]:
    """Files of one clip."""
    assert clips.root
    return list((clips.root / str(name)).iterdir())
