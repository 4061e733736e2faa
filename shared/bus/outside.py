"""What HTTP sides may do outside turns: read and write records, follow the log and the events, say what is wanted."""

import time
from typing import Any
from uuid import uuid4

from shared.bus.mesh import Mesh
from shared.bus.scripts import Scripts
from shared.context import Event, Offer, Record, Row
from shared.messages import Message, Sealed

OFFER_SECONDS = 60


class Bus:
    def __init__(self, scripts: Scripts, mesh: Mesh, name: str) -> None:
        self._scripts, self._mesh, self._name, self._redis = scripts, mesh, name, scripts.redis

    async def record(self, stream: str) -> tuple[str, Record] | None:
        """The record of a stream and its version."""
        return await self._scripts.record(stream)

    async def records(self) -> list[Record]:
        """All streams that Redis still knows, oldest first."""
        found: list[Record] = []
        for tag in self._scripts.tags:
            names: Any = await self._redis.hkeys(f"{tag}:streams")
            for name in names:
                if entry := await self.record(name.decode()):
                    found.append(entry[1])
                else:
                    await self._redis.hdel(f"{tag}:streams", name)
        return sorted(found, key=lambda record: record.created_at)

    async def post(self, record: Record, expected: str, *messages: Message) -> bool:
        """Write the record and deliver the messages, both or neither.

        False when the record's version is not the expected one; "" stands for none yet, "*" for any.
        """
        letters = [self._mesh.address(self._name, message, record) for message in messages]
        return await self._scripts.post(record.stream, self._name, expected, uuid4().hex, record, letters)

    async def claim(self, digest: str, stream: str, instead_of: str = "") -> str:
        """The stream that owns a URL: this one if nobody has it, or the one that it may replace has it."""
        return await self._scripts.claim(digest, stream, instead_of)

    async def log(self, stream: str, after: int = -1) -> list[Row]:
        """Rows of the sealed log behind number `after`."""
        found: Any = await self._redis.xrange(f"{self._scripts.tag(stream)}:log:{stream}", f"({after + 1}-0")
        return [
            Row(
                number=int(name.partition(b"-")[0]) - 1,
                sealed=float(fields[b"sealed"]),
                seams=int(fields[b"seams"]),
                body=Sealed.model_validate_json(fields[b"body"]),
            )
            for name, fields in found
        ]

    async def events(self, stream: str, after: str = "0", wait: float = 0.0) -> list[Event]:
        """Events behind the one with id `after`, oldest first, waiting up to `wait` seconds for the first."""
        key = f"{self._scripts.tag(stream)}:ev:{stream}"
        found: Any = await self._redis.xread({key: after}, count=1000, block=round(wait * 1000) or None)
        entries = found[0][1] if found else []
        return [event for name, fields in entries if (event := self._event(name, fields))]

    async def want(self, stream: str, language: str) -> None:
        """Somebody fetches this language."""
        await self._redis.hset(f"{self._scripts.tag(stream)}:want:{stream}", language, str(round(time.time() * 1000)))

    async def offers(self) -> dict[str, list[Offer]]:
        """What the running replicas' engines serve, by stage."""
        found: dict[str, list[Offer]] = {}
        for name in self._mesh.steps:
            entries: Any = await self._redis.hgetall(f"{self._scripts.tags[0]}:offer:{name}")
            alive = [_offer(body) for body in entries.values() if float(body.partition(b" ")[0]) > time.time()]
            if alive:
                found[name] = alive
        return found

    async def announce(self, stage: str, replica: str, offer: Offer) -> None:
        """Renew what this replica serves."""
        body = f"{time.time() + OFFER_SECONDS} {offer.model_dump_json()}"
        await self._redis.hset(f"{self._scripts.tags[0]}:offer:{stage}", replica, body)
        await self._redis.expire(f"{self._scripts.tags[0]}:offer:{stage}", OFFER_SECONDS)

    async def withdraw(self, stage: str, replica: str) -> None:
        """This replica serves no more."""
        await self._redis.hdel(f"{self._scripts.tags[0]}:offer:{stage}", replica)

    def _event(self, name: bytes, fields: dict[bytes, bytes]) -> Event | None:
        kind = self._mesh.kinds.get(fields[b"type"].decode())
        if kind is None:
            return None
        return Event(
            id=name.decode(),
            at=int(fields[b"at"]) / 1000,
            stage=fields[b"stage"].decode(),
            lane=fields[b"lane"].decode(),
            message=kind.model_validate_json(fields[b"body"]),
        )


def _offer(body: bytes) -> Offer:
    return Offer.model_validate_json(body.partition(b" ")[2])
