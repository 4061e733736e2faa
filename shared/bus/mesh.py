"""Who receives what: the mesh is a list of steps in the order a sentence travels."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from shared.context import Record
from shared.messages import End, Message, Progress, Warned

EVERY_STEP_SENDS = (Progress, End, Warned)


class Letter(NamedTuple):
    """A message with the mailboxes it goes to, as (stage, lane); none for what observers alone read."""

    kind: str
    body: bytes
    receivers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Step:
    name: str
    consumes: tuple[type[Message], ...] = ()
    produces: tuple[type[Message], ...] = ()
    by_language: bool = False
    wanted: str = ""
    """Field of the record that turns an optional step on; the main line passes it by."""

    def lanes(self, message: Message, record: Record) -> Iterable[str]:
        """One lane per stream, or per language: the message's own, or all of them for a message without one."""
        if self.wanted and not getattr(record, self.wanted):
            return ()
        if not self.by_language:
            return (message.stream,)
        language = getattr(message, "language", None)
        return (f"{message.stream}~{each}" for each in ((language,) if language else record.languages))


class Mesh:
    def __init__(self, *steps: Step) -> None:
        self.steps = {step.name: step for step in steps}
        self.kinds = {kind.__name__: kind for step in steps for kind in step.consumes + step.produces}
        self.kinds |= {kind.__name__: kind for kind in EVERY_STEP_SENDS}

    def table(self) -> list[str]:
        """Every way of a message, such as speaker>Utterance and translator<Utterance."""
        steps = self.steps.values()
        sent = {f"{step.name}>{kind.__name__}" for step in steps for kind in step.produces}
        return sorted(sent | {f"{step.name}<{kind.__name__}" for step in steps for kind in step.consumes})

    def receivers(self, sender: str, kind: type[Message]) -> list[Step]:
        """All later steps that consume this kind, up to the first that sends it on; Progress and End go one step."""
        later = list(self.steps.values())[list(self.steps).index(sender) + 1 :]
        if kind in (Progress, End):
            return self._next(self.steps[sender], later)
        found = []
        for step in later:
            if kind in step.consumes:
                found.append(step)
                if kind in step.produces:
                    break
        return found

    def _next(self, step: Step, later: list[Step]) -> list[Step]:
        """The next step of the main line and the optional ones before it; of an optional step, who takes its output."""
        if step.wanted:
            return [each for each in later if set(each.consumes) & set(step.produces)][:1]
        main = next((index for index, each in enumerate(later) if not each.wanted), len(later))
        return later[: main + 1]

    def address(self, sender: str, message: Message, record: Record) -> Letter:
        kind = type(message)
        receivers = tuple(
            (step.name, lane) for step in self.receivers(sender, kind) for lane in step.lanes(message, record)
        )
        return Letter(kind.__name__, message.model_dump_json().encode(), receivers)
