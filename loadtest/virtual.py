"""The whole mesh in one process on a virtual clock: no Redis, no HTTP, no wall clock; states pass through JSON."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from services import MESH
from shared.audio import EAR
from shared.bus import Bus, Context, Service, State
from shared.bus.scripts import Scripts
from shared.context import Pcm, Record, Row
from shared.messages import Message, Sealed, StreamStarted


class Ring:
    """The PCM ring as one buffer from media time 0."""

    def __init__(self) -> None:
        self._samples = bytearray()

    def write(self, chunk: Pcm) -> None:
        at = round(chunk.start * EAR) * 2
        self._samples.extend(bytes(max(0, at - len(self._samples))))
        self._samples[at : at + len(chunk.samples)] = chunk.samples

    def read(self, start: float, end: float) -> Pcm:
        first, last = round(start * EAR) * 2, round(end * EAR) * 2
        found = bytes(self._samples[max(0, first) : last])
        return Pcm(start=start, samples=found + bytes(max(0, last - first) - len(found)))


@dataclass
class VirtualContext(Context):
    """A context whose ring and record are in RAM."""

    mesh: "VirtualMesh | None" = None

    async def amend(self, **changes: object) -> None:
        assert self.mesh
        self.mesh.record = self.record = self.mesh.record.model_copy(update=changes)

    async def listen(self, start: float, end: float) -> Pcm:
        assert self.mesh
        return self.mesh.ring.read(start, end)


class VirtualBus(Bus):
    """The sealed log, which is all that a handler may ask of the bus."""

    def __init__(self, mesh: "VirtualMesh") -> None:
        self._rows = mesh.rows

    async def log(self, stream: str, after: int = -1) -> list[Row]:
        seams = 0
        found = []
        for row in self._rows:
            seams += row.discontinuity
            found.append(Row(number=row.number, sealed=row.until, seams=seams, body=row))
        return found[after + 1 :]


class VirtualMesh:
    """Stages that handle every message at once, in order. `sent` is the event stream, `rows` the sealed log."""

    def __init__(self, services: Sequence[Service], record: Record) -> None:
        self.services = {service.name: service for service in services if service.is_stage}
        self.record = record
        self.sent: list[tuple[str, Message]] = []
        self.rows: list[Sealed] = []
        self.ring = Ring()
        self._states: dict[tuple[str, str], State] = {}
        self._mail: deque[tuple[str, str, Message]] = deque()
        for service in self.services.values():
            service.bus = VirtualBus(self)
            service.stage(MESH)  # annotations and mesh must agree

    async def start(self) -> None:
        for service in self.services.values():
            for hook in service.starting:
                await hook()

    async def stop(self) -> None:
        for service in self.services.values():
            for hook in service.stopping:
                await hook()

    async def feed(self, sender: str, *messages: Message | Pcm) -> None:
        """Say these messages for a stage, and let the mesh come to rest."""
        for message in messages:
            if isinstance(message, Pcm):
                self.ring.write(message)
            else:
                self._send(sender, message)
        while self._mail:
            await self._turn(*self._mail.popleft())

    async def play(self, source: str) -> None:
        """Let a source tell its whole stream; after each emission the mesh comes to rest."""
        started = StreamStarted(stream=self.record.stream, until=0)
        context = self._context(source, self.record.stream)
        async for emission in self.services[source].handle(started, self.services[source].new_state(), context):
            await self.feed(source, *emission)
            context.record = self.record
            context.sealed = self.rows[-1].until if self.rows else 0.0

    def told(self, stage: str, kind: type[Message]) -> list[Message]:
        """What a stage has said of one kind."""
        return [message for sender, message in self.sent if sender == stage and type(message) is kind]

    def move(self) -> None:
        """Every lane moves to another replica: warm caches are gone, states come back from their JSON."""
        self._states = {
            key: type(state).model_validate_json(state.model_dump_json()) for key, state in self._states.items()
        }

    def sizes(self) -> dict[str, int]:
        """Bytes of state by stage, as Redis would hold them."""
        found: dict[str, int] = {}
        for (stage, _), state in self._states.items():
            found[stage] = found.get(stage, 0) + len(state.model_dump_json())
        return found

    def _send(self, sender: str, message: Message) -> None:
        self.sent.append((sender, message))
        if isinstance(message, Sealed):
            assert message.number == len(self.rows), "a row must be the log's next"
            self.rows.append(message)
        for stage, lane in MESH.address(sender, message, self.record).receivers:
            if stage in self.services:
                self._mail.append((stage, lane, message))

    async def _turn(self, stage: str, lane: str, message: Message) -> None:
        service = self.services[stage]
        state = self._states.setdefault((stage, lane), service.new_state())
        async for output in service.handle(message, state, self._context(stage, lane)):
            self._send(stage, output)

    def _context(self, stage: str, lane: str) -> VirtualContext:
        stream, _, language = lane.partition("~")
        wanted = frozenset(self.record.languages)
        return VirtualContext(stream, language, self.record, _NO_SCRIPTS, stage, wanted=wanted, mesh=self)


_NO_SCRIPTS: Scripts = None  # type: ignore[assignment]
