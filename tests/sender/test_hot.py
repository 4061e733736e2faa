import pytest

from services.sender.hot import Hot
from shared.store import Missing, Store, open_store


@pytest.fixture
def store() -> Store:
    open_store.cache_clear()
    return open_store("memory://")


async def test_an_object_is_read_from_the_store_once(store: Store) -> None:
    hot = Hot(store, 100)
    await store.put("s/a.m4s", b"a" * 10)
    assert await hot.get("s/a.m4s") == b"a" * 10
    await store.delete(["s/a.m4s"])
    assert await hot.get("s/a.m4s") == b"a" * 10


async def test_what_was_asked_for_longest_ago_makes_room(store: Store) -> None:
    hot = Hot(store, 25)
    for name in "abc":
        await store.put(f"s/{name}", name.encode() * 10)
    for name in "abac":
        await hot.get(f"s/{name}")
    await store.delete(["s/a", "s/b", "s/c"])
    assert await hot.get("s/a") == b"a" * 10
    assert await hot.get("s/c") == b"c" * 10
    with pytest.raises(Missing):
        await hot.get("s/b")
