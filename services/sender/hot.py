"""Objects that many viewers fetch at the same time, in RAM."""

from collections import OrderedDict

from shared.store import Store


class Hot:
    """The objects asked for last, up to `most` bytes together; they never change, so none is ever out of date."""

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def peek(self, key: str) -> bytes | None:
        """The whole object, if it is here."""
        body = self._bodies.get(key)
        if body is not None:
            self._bodies.move_to_end(key)
        return body

    async def get(self, key: str) -> bytes:
        """The whole object. Raises shared.store.Missing."""
        if (known := self.peek(key)) is not None:
            return known
        body = await self._store.get(key)
        if key not in self._bodies:
            self._bodies[key] = body
            self._size += len(body)
        while self._size > self._most:
            self._size -= len(self._bodies.popitem(last=False)[1])
        return body
