"""Models of a folder: which one translates a pair, and one batch for all lanes in front of each."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from services.translator.engines import Failed, Options, Pair, Source, Unavailable, missing_package
from services.translator.engines.folders import Folder, found
from services.translator.engines.gathering import Gatherer
from shared.messages import Wording


class Task(NamedTuple):
    """A sentence on its way to a model."""

    text: str
    spoken: str
    target: str


class Model(Protocol):
    """A model that is loaded; blocks."""

    def translate(self, tasks: Sequence[Task]) -> list[list[Wording]]:
        """Wordings of sentences, which may be of several languages where the model is."""
        ...


class Shelf:
    """Every model of a folder; each answers what all lanes of the replica ask, in batches."""

    name: str
    glossaries = False

    def __init__(self, options: Options, weights: tuple[str, ...], opened: Callable[[Folder, Options], Model]) -> None:
        self.pairs: tuple[Pair, ...] = ()
        self._options, self._weights, self._opened = options, weights, opened
        self._gatherers: dict[Pair, Gatherer[Task, list[Wording]]] = {}

    async def start(self) -> None:
        """Load the models; Unavailable where there is none, where one does not fit or a package is missing."""
        for folder in await asyncio.to_thread(found, self._options, *self._weights):
            try:
                model = await asyncio.to_thread(self._opened, folder, self._options)
            except ModuleNotFoundError as missing:
                raise missing_package(self.name.lower(), missing) from missing
            except (RuntimeError, ValueError, OSError) as error:
                raise Unavailable(f"{folder.path.name} cannot be loaded: {first_line(error)}") from error
            gatherer = Gatherer(model.translate)
            self._gatherers |= {pair: gatherer for pair in folder.pairs if pair not in self._gatherers}
        self.pairs = tuple(self._gatherers)

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        """The best wording of each sentence, and a shorter one where the beam has one."""
        tasks = [Task(source.text, source.spoken.partition("-")[0].lower(), target) for source in batch]
        for task in tasks:
            if (task.spoken, target) not in self._gatherers:
                raise Failed(f"no model translates {task.spoken} to {target}", retryable=False)
        try:
            return list(await asyncio.gather(*(self._gatherers[task.spoken, target].ask(task) for task in tasks)))
        except RuntimeError as error:
            raise Failed(f"{self.name} failed: {first_line(error)}", retryable=True) from error

    async def stop(self) -> None:
        """Let go of the models."""
        self._gatherers = {}


def first_line(error: Exception) -> str:
    """What an error says, short enough for a log."""
    return (str(error).splitlines() or [repr(error)])[0][:200]
