"""The Lua scripts as typed functions: all that the bus says to Redis from inside a turn."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

from redis.asyncio import Redis

from shared.bus.errors import Fenced
from shared.bus.mesh import Letter
from shared.bus.turn import Mail, Token, Turn
from shared.context import Pcm, Record
from shared.messages import Sealed

RING_MS = 60_000
WANTED_MS = 180_000
"""A language is worked for this long after somebody last fetched it."""
DAY, HOUR = 86_400, 3_600
FOLDER = Path(__file__).parent / "scripts"
NAMES = ("begin", "commit", "emit", "dead", "post", "beat", "again", "leave", "sweep", "claim", "heal", "replay")


class Scripts:
    def __init__(self, redis: Redis, shards: int = 1) -> None:
        self.redis = redis
        self.tags = [f"{{p{shard}}}" for shard in range(shards)]
        library = (FOLDER / "lib.lua").read_text()
        self._scripts = {name: redis.register_script(library + (FOLDER / f"{name}.lua").read_text()) for name in NAMES}

    def tag(self, lane: str) -> str:
        """The hash tag that puts all keys of a stream in one slot."""
        return self.tags[crc32(lane.partition("~")[0].encode()) % len(self.tags)]

    async def begin(self, token: Token, replica: str, batch: int, known: str, known_record: str) -> Turn | None:
        """None when the token is void."""
        nonce, tag = uuid4().hex, self.tag(token.lane)
        found = await self._call("begin", tag, *token, replica, nonce, batch, known, known_record, WANTED_MS)
        if not found:
            return None
        attempt, lag, position, _, version, state, record, mail, newest, wanted = found
        return Turn(
            token,
            tag,
            nonce,
            attempt,
            lag / 1000,
            position,
            version.decode(),
            state,
            _record(record),
            _mail(mail),
            newest,
            frozenset(language.decode() for language in wanted),
        )

    async def commit(
        self,
        turn: Turn,
        replica: str,
        version: str,
        state: bytes,
        rows: Sequence[Sealed],
        letters: Iterable[Letter],
        *,
        over: bool = False,
        oldest: int = 0,
    ) -> None:
        """End the turn. `over`: the lane's stream has ended here, so what is left of it may soon go.

        Rows of the log before number `oldest` are dropped.
        """
        step = turn.version, version, state, turn.position, replica, HOUR if over else DAY, oldest, len(rows)
        sealed = [item for row in rows for item in (row.number, row.until, int(row.discontinuity), _body(row))]
        _fence(await self._call("commit", turn.tag, *turn.fence, *step, *sealed, *_flat(letters)))

    async def emit(
        self, turn: Turn, version: str, state: bytes, sound: Sequence[Pcm], letters: Iterable[Letter]
    ) -> int:
        """The number of the newest mail. Version, record and sealed time of the turn move on."""
        step = turn.version, version, state, turn.record[0], RING_MS, DAY, len(sound)
        chunks = [item for pcm in sound for item in (round(pcm.start * 1000), pcm.samples)]
        found = _fence(await self._call("emit", turn.tag, *turn.fence, *step, *chunks, *_flat(letters)))
        newest, sealed, record = found
        turn.version, turn.record, turn.sealed = version, _record(record), float(sealed)
        return int(newest)

    async def dead(self, turn: Turn, position: int, error: str) -> None:
        _fence(await self._call("dead", turn.tag, *turn.fence, position, error[:500]))

    async def again(self, token: Token, replica: str) -> None:
        await self._call("again", self.tag(token.lane), token.stage, token.lane, token.name, replica)

    async def post(
        self, stream: str, sender: str, expected: str, version: str, record: Record, letters: Iterable[Letter]
    ) -> bool:
        """Write the record and deliver, both or neither: only if the record's version is the expected one.

        "" means there is none yet, "*" any.
        """
        args = stream, sender, expected, version, record.model_dump_json()
        done, _ = await self._call("post", self.tag(stream), *args, *_flat(letters))
        return bool(done)

    async def record(self, stream: str) -> tuple[str, Record] | None:
        """The record of a stream with its version."""
        found: Any = await self.redis.hmget(f"{self.tag(stream)}:g:{stream}", ["version", "body"])
        if found[1] is None:
            return None
        return found[0].decode(), Record.model_validate_json(found[1])

    async def claim(self, digest: str, stream: str, instead_of: str) -> str:
        tag = self.tags[crc32(digest.encode()) % len(self.tags)]
        owner: bytes = await self._call("claim", tag, digest, stream, instead_of)
        return owner.decode()

    async def beat(self, tag: str, stage: str, replica: str, ttl: int, slots: int, turns: Sequence[Turn]) -> list[int]:
        """The number of the newest mail of each turn, -1 for a turn that was lost."""
        held = [item for turn in turns for item in turn.fence[1:]]
        return list(await self._call("beat", tag, stage, replica, ttl, slots, *held))

    async def sweep(self, tag: str, stage: str, idle: int, steal: int) -> int:
        return int(await self._call("sweep", tag, stage, idle, steal, 100))

    async def heal(self, tag: str, stage: str, lane: str) -> int:
        return int(await self._call("heal", tag, stage, lane))

    async def replay(self, tag: str, stage: str, letter: str) -> bool:
        return bool(await self._call("replay", tag, stage, letter))

    async def leave(self, tag: str, stage: str, replica: str) -> None:
        await self._call("leave", tag, stage, replica)

    async def unseen(self, turn: Turn) -> list[Mail]:
        mailbox = f"{turn.tag}:mb:{turn.token.stage}:{turn.token.lane}"
        found: Any = await self.redis.xrange(mailbox, f"{turn.seen + 1}-0")
        return _mail([(name, [item for pair in fields.items() for item in pair]) for name, fields in found])

    async def _call(self, name: str, tag: str, *args: str | bytes | int | float) -> Any:
        return await self._scripts[name]([tag], args)


def _fence(reply: Any) -> Any:
    if not reply:
        raise Fenced
    return reply


def _flat(letters: Iterable[Letter]) -> list[str | bytes | int]:
    flat: list[str | bytes | int] = []
    for kind, body, receivers in letters:
        flat += (kind, body, len(receivers))
        for stage, lane in receivers:
            flat += (stage, lane)
    return flat


def _body(message: Sealed) -> bytes:
    return message.model_dump_json().encode()


def _mail(entries: Any) -> list[Mail]:
    """Entries are (id, [type, kind, at, ms, body, bytes]), as XADD wrote them."""
    return [Mail(int(name.partition(b"-")[0]), fields[1].decode(), fields[5]) for name, fields in entries]


def _record(found: Any) -> tuple[str, bytes | None]:
    return found[0].decode(), found[1]
