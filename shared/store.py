"""Objects of a stream (segments, takes, clips) in memory, on disk or in a bucket, by key `<stream>/<name>`."""

from collections.abc import Iterable
from functools import cache

from obstore.exceptions import AlreadyExistsError, NotFoundError
from obstore.store import MemoryStore, ObjectStore, from_url


class Missing(KeyError):
    """There is no object of this name."""


class Store:
    """One place for objects. Objects are never changed: names carry a time or a content hash."""

    def __init__(self, backend: ObjectStore) -> None:
        self._backend = backend

    async def put(self, key: str, data: bytes) -> str:
        """Store an object and return its key; a second put of the same key changes nothing.

        Raises OSError when the place is full or cannot be reached.
        """
        try:
            await self._backend.put_async(key, data, mode="create")
        except AlreadyExistsError:
            pass
        except Exception as error:
            raise OSError(f"the store refused {key}: {error}") from error
        return key

    async def replace(self, key: str, data: bytes) -> str:
        """Store an object whose content may change, such as a final playlist; raises OSError like `put`."""
        try:
            await self._backend.put_async(key, data)
        except Exception as error:
            raise OSError(f"the store refused {key}: {error}") from error
        return key

    async def get(self, key: str) -> bytes:
        """The whole object. Raises Missing."""
        try:
            found = await self._backend.get_async(key)
        except (NotFoundError, FileNotFoundError) as error:
            raise Missing(key) from error
        return bytes(await found.bytes_async())

    async def names(self, stream: str) -> list[str]:
        """Keys of all objects of a stream."""
        return [entry["path"] async for page in self._backend.list(f"{stream}/") for entry in page]

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are no error."""
        for key in keys:
            try:
                await self._backend.delete_async(key)
            except (NotFoundError, FileNotFoundError):
                continue


@cache
def open_store(url: str) -> Store:
    """The store behind `memory://`, `file:///folder`, `s3://bucket/prefix` and what else obstore opens."""
    if url.startswith("memory:"):
        return Store(MemoryStore())
    if url.startswith("file:"):
        return Store(from_url(url, mkdir=True))
    return Store(from_url(url))
