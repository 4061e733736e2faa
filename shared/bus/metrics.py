"""What every stage counts; no label holds a stream name."""

from functools import cache
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.bus.turn import Token

STRIDE = 2.0
"""Seconds between two looks at the gauges."""


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, ["stage"], registry=registry)

        self.registry = registry
        self.turns = counter("turns", "Turns committed.")
        self.messages = counter("messages", "Messages handled.")
        self.emissions = counter("emissions", "Emissions of sources.")
        self.fenced = counter("fenced", "Turns that had been given to another replica.")
        self.swept = counter("swept", "Tokens given out anew after a replica fell silent.")
        self.warm_hits = counter("warm_hits", "Turns that found their state in RAM.")
        self.retries = counter("retries", "Turns handed back after a failure.")
        self.dead_letters = counter("dead_letters", "Messages put aside.")
        self.busy = counter("busy_seconds", "Slot-seconds spent in turns.")
        self.slots = Gauge("slots", "Turns at a time.", ["stage"], registry=registry)
        self.busy_ratio = Gauge("busy_ratio", "Slot-seconds used of those there were.", ["stage"], registry=registry)
        self.ready_tokens = Gauge("ready_tokens", "Turns that wait or run.", ["stage"], registry=registry)
        self.oldest_lag = Gauge(
            "oldest_lag_seconds", "Age of the turn that waits longest.", ["stage"], registry=registry
        )
        self.streams = Gauge("streams", "Streams at work in the last seconds.", ["stage"], registry=registry)
        self.turn_seconds = Histogram("turn_seconds", "Seconds of a turn.", ["stage", "phase"], registry=registry)
        self.lag_seconds = Histogram("lag_seconds", "Seconds that mail waited.", ["stage"], registry=registry)


class Gauges:
    """How busy a replica is, and how far its stage is behind: told every few seconds."""

    def __init__(self, name: str, slots: int, metrics: Metrics) -> None:
        self._slots = slots
        self._running: dict[Token, float] = {}
        self._streams: set[str] = set()
        self._used, self._told = 0.0, monotonic()
        kinds = metrics.busy_ratio, metrics.ready_tokens, metrics.oldest_lag, metrics.streams
        self._busy_ratio, self._ready, self._oldest, self._many = (kind.labels(name) for kind in kinds)

    def begin(self, token: Token) -> None:
        self._running[token] = monotonic()
        self._streams.add(token.lane.partition("~")[0])

    def end(self, token: Token) -> None:
        self._used += monotonic() - max(self._running.pop(token), self._told)

    def due(self) -> bool:
        return monotonic() - self._told > STRIDE

    def tell(self, ready: int, oldest: float) -> None:
        """`ready` tokens are in the queues; the oldest that nobody took has waited `oldest` seconds."""
        now = monotonic()
        used = self._used + sum(now - max(begun, self._told) for begun in self._running.values())
        self._busy_ratio.set(used / (now - self._told) / self._slots)
        self._ready.set(ready)
        self._oldest.set(oldest)
        self._many.set(len(self._streams))
        self._streams = {token.lane.partition("~")[0] for token in self._running}
        self._used, self._told = 0.0, now


@cache
def process_metrics() -> Metrics:
    """The metrics of this process."""
    return Metrics(CollectorRegistry())
