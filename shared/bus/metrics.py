"""What every stage counts; no label holds a stream name."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


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
        self.turn_seconds = Histogram("turn_seconds", "Seconds of a turn.", ["stage", "phase"], registry=registry)
        self.lag_seconds = Histogram("lag_seconds", "Seconds that mail waited.", ["stage"], registry=registry)


@cache
def process_metrics() -> Metrics:
    """The metrics of this process."""
    return Metrics(CollectorRegistry())
