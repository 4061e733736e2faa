import asyncio

import pytest

from services.sender import cleaning
from shared.store import Store, open_store


@pytest.fixture
def store() -> Store:
    open_store.cache_clear()
    return open_store("memory://")


async def fill(store: Store, stream: str, *names: str) -> None:
    for name in names:
        await store.put(f"{stream}/{name}", b"")


async def test_only_what_has_a_time_in_its_name_is_ever_swept(store: Store) -> None:
    names = ("v-900000.m4s", "es-clean-900000-ab12.m4s", "clip-es-900000-ab", "take-1080000-cd", "init-0123456789.mp4")
    await fill(store, "s", *names, "slate-900000.m4s", "es.m3u8")
    assert await cleaning.sweep(store, "s", 1000000) == 3
    assert sorted(await store.names("s")) == [
        "s/es.m3u8",
        "s/init-0123456789.mp4",
        "s/slate-900000.m4s",
        f"s/{names[3]}",
    ]


async def test_speech_that_is_mixed_can_go_alone(store: Store) -> None:
    await fill(store, "s", "v-900000.m4s", "clip-es-900000-ab", "take-900000-cd", "answer-900000-ef", "take-1080000-cd")
    assert await cleaning.sweep(store, "s", 1000000, cleaning.SPEECH) == 3
    assert sorted(await store.names("s")) == ["s/take-1080000-cd", "s/v-900000.m4s"]


async def test_a_stream_without_a_recording_is_gone_some_time_after_its_end(store: Store) -> None:
    for stream in ("short", "long", "recorded"):
        await fill(store, stream, "v-900000.m4s", "master.m3u8")
    await cleaning.note(store, "short", 1000.0)
    await cleaning.note(store, "long", 2000.0)
    assert await cleaning.clean(store, 4599.0, 3600.0) == []
    assert await cleaning.clean(store, 4600.0, 3600.0) == ["short"]
    assert await store.names("short") == []
    assert len(await store.names("long")) == 2
    assert await cleaning.clean(store, 1e9, 3600.0) == ["long"]
    assert len(await store.names("recorded")) == 2
    assert await cleaning.clean(store, 1e9, 3600.0) == []


async def test_a_process_looks_by_itself_and_goes_on_when_a_look_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, "s", "v-900000.m4s")
    await cleaning.note(store, "s", 1000.0)
    names, failures = store.names, [OSError("no bucket")]

    async def at_first_not(stream: str) -> list[str]:
        if failures:
            raise failures.pop()
        return await names(stream)

    monkeypatch.setattr(store, "names", at_first_not)
    monkeypatch.setattr(cleaning, "PERIOD", 0.001)
    looking = asyncio.create_task(cleaning.keep_clean(store, 60.0))
    async with asyncio.timeout(10):
        while await names("s"):
            await asyncio.sleep(0.005)
    looking.cancel()
    assert not failures
