"""One stream followed by its events: its status now, and how its delay and lags came to be."""

from collections import deque

from pydantic import BaseModel, ConfigDict

from shared.context import Event
from shared.status import Spread, Status

EVERY = 1.0
KEPT = 900


class Sample(BaseModel):
    """Delay and lags at one moment, seconds."""

    model_config = ConfigDict(frozen=True)

    at: float
    """Epoch seconds."""
    delay: float | None
    contract: float
    ear_voice: Spread | None
    """Of the last clips."""
    lags: dict[str, float]


class Follower:
    """Folds events and takes a sample of the status each second of their own clock."""

    def __init__(self, stream: str) -> None:
        self.status = Status(stream=stream)
        self.samples: deque[Sample] = deque(maxlen=KEPT)

    def push(self, event: Event) -> None:
        """Folds one event; events come in the order of their ids."""
        if not self.samples or event.at - self.samples[-1].at >= EVERY:
            self._sample(event.at)
        self.status = self.status.fold(event)

    def _sample(self, at: float) -> None:
        status = self.status
        if not status.stages:
            return
        self.samples.append(
            Sample(
                at=at,
                delay=status.delay,
                contract=status.contract,
                ear_voice=status.ear_voice,
                lags={name: status.lag(name) for name in status.stages},
            )
        )
