"""What a service file sees: a name, and handlers whose annotations are the wiring."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from inspect import signature
from typing import Any, get_args, get_type_hints

from fastapi import APIRouter

from shared.bus.mesh import EVERY_STEP_SENDS, Mesh
from shared.bus.metrics import process_metrics
from shared.bus.outside import Bus
from shared.bus.replica import Limits
from shared.bus.source import Source
from shared.bus.stage import Context, Handler, Stage, pass_on
from shared.bus.turn import State
from shared.context import Offer
from shared.messages import Message

Hook = Callable[[], Awaitable[None]]


class Service:
    """One stage of the mesh, an HTTP side, or both."""

    bus: Bus
    """What HTTP sides may do outside turns; bound when the process starts."""

    def __init__(self, name: str, limits: Limits | None = None) -> None:
        self.name, self.limits = name, limits or Limits()
        self.router: APIRouter | None = None
        self.exception_handlers: dict[Any, Any] = {}
        self.starting: list[Hook] = []
        self.stopping: list[Hook] = []
        self.offered: Offer | None = None
        self._handlers: dict[type[Message], Handler] = {}
        self._produces: set[Any] = set()
        self._state, self._stage = State, Stage

    def on(self, kind: type[Message], *, state: type[State] = State) -> Callable[[Any], Any]:
        """Handle a message; the handler yields messages."""

        def register(handler: Any) -> Any:
            (yielded,) = get_args(get_type_hints(handler)["return"])
            self._produces |= set(get_args(yielded) or [yielded])
            self._handlers[kind], self._state = with_context(handler), state
            return handler

        return register

    def source(self, kind: type[Message], *, state: type[State] = State) -> Callable[[Any], Any]:
        """Handle a message that begins something long; the handler yields lists of messages and Pcm."""

        def register(handler: Any) -> Any:
            self._handlers[kind], self._state, self._stage = with_context(handler), state, Source
            return handler

        return register

    def on_start(self, hook: Hook) -> Hook:
        """Run before the first turn: load engines, start programs."""
        self.starting.append(hook)
        return hook

    def on_stop(self, hook: Hook) -> Hook:
        """Run after the last turn."""
        self.stopping.append(hook)
        return hook

    def offer(self, offer: Offer) -> None:
        """Say what this replica's engines serve."""
        self.offered = offer

    @property
    def is_stage(self) -> bool:
        return bool(self._handlers)

    def new_state(self) -> State:
        """The state of a lane before its first message."""
        return self._state()

    def handle(self, message: Message, state: State, context: Context) -> AsyncGenerator[Any, None]:
        """What this service's handler, or the default, says to a message: a turn without a bus."""
        return self._handlers.get(type(message), pass_on)(message, state, context)

    def stage(self, mesh: Mesh) -> Stage:
        """This service at its place in the mesh. Raises TypeError where annotations and mesh disagree."""
        step = mesh.steps[self.name]
        strange = set(self._handlers) - {*step.consumes, *EVERY_STEP_SENDS}
        strange |= self._produces - {*step.produces, *EVERY_STEP_SENDS}
        if strange:
            raise TypeError(f"{self.name} and the mesh do not agree on {sorted(map(str, strange))}")
        return self._stage(self.name, mesh, self._handlers, self._state, self.limits, process_metrics())


def with_context(handler: Any) -> Handler:
    """A handler that needs no context does not mention it."""
    wants = len(signature(handler).parameters)
    return lambda message, state, context: handler(*(message, state, context)[:wants])
