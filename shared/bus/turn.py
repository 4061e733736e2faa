"""The words of the bus: token, mail, turn, state."""

from asyncio import Queue
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import BaseModel

from shared.messages import Message


class State(BaseModel):
    """What a stage remembers of a lane.

    Private attributes are not stored: they last while this replica keeps the lane and are back at their default after
    a move or a failure. Decoder caches live there, and whoever reads them must be able to rebuild them.
    """


class Token(NamedTuple):
    """The right to take one turn."""

    stage: str
    lane: str
    name: str


class Mail(NamedTuple):
    """A message as it lies in a mailbox."""

    position: int
    kind: str
    body: bytes


class Inbox:
    """What arrives while a source's turn goes on; what its handler took is done when the turn ends."""

    def __init__(self) -> None:
        self._queue: Queue[tuple[int, Message]] = Queue()
        self.taken = 0

    def put(self, position: int, message: Message) -> None:
        self._queue.put_nowait((position, message))

    async def get(self) -> Message:
        self.taken, message = await self._queue.get()
        return message

    def empty(self) -> bool:
        return self._queue.empty()


@dataclass
class Turn:
    """One stage at work on the next mail of one lane."""

    token: Token
    tag: str
    """The hash tag of the lane's keys."""
    nonce: str
    attempt: int
    lag: float
    """Seconds the oldest mail has waited."""
    position: int
    """Mail up to here is done."""
    version: str
    """Of the state. A nonce: a counter would come back when Redis rolls back, and make stale caches look valid."""
    state: bytes | None
    """None when the caller has this version in RAM."""
    record: tuple[str, bytes | None]
    """Version and body; no body when the caller has this version."""
    mail: list[Mail]
    newest: bytes | None = None
    """Body of the newest mail, where it is not part of this turn."""
    wanted: frozenset[str] = frozenset()
    """Languages that somebody fetches."""
    sealed: float = 0.0
    """Media time that is published (sources)."""
    inbox: Inbox = field(default_factory=Inbox)
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds by phase: begin, handle, commit."""

    def __post_init__(self) -> None:
        self.fence = [*self.token, self.nonce]
        self.seen = self.mail[-1].position if self.mail else self.position
