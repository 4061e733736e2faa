"""How much a tenant may have at a time, and how often a key may ask."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.ingest import streams
from services.ingest.problems import Problem
from shared.context import Record


@dataclass(frozen=True, slots=True)
class Quota:
    """What each tenant may have running at a time; 0 is as much as it likes."""

    streams: int = 0
    languages: int = 0
    """Over all its streams."""
    minutes: int = 0
    """Of streams, within any 24 hours."""

    def check(self, wanted: Record, others: Iterable[Record], now: float) -> None:
        """Raises Problem when this stream, beside the tenant's others, is more than the tenant may have at `now`."""
        known = list(others)
        running = [record for record in known if streams.running(record) and record.stream != wanted.stream]
        if self.spent(known, now):
            advice = (
                f"Your streams ran for the {self.minutes} minutes that you may have within 24 hours."
                " Try again later, or ask the operator for more."
            )
            raise Problem(429, "minute-quota", advice, {"Retry-After": "3600"})
        if self.streams and len(running) >= self.streams:
            advice = (
                f"You may have {self.streams} streams at a time, and these run: {_named(running)}."
                " DELETE one of them, or ask the operator for more."
            )
            raise Problem(429, "stream-quota", advice, {"Retry-After": "60"}, streams=[one.stream for one in running])
        taken = sum(len(record.languages) for record in running)
        if self.languages and taken + len(wanted.languages) > self.languages:
            advice = (
                f"You may have {self.languages} languages over all streams: {taken} run in {len(running)} other streams"
                f" and this one has {len(wanted.languages)}. Remove some with PATCH, or ask the operator for more."
            )
            raise Problem(429, "language-quota", advice, {"Retry-After": "60"})

    def spent(self, records: Iterable[Record], now: float) -> bool:
        """Whether a tenant's streams have used up its minutes at `now`, epoch seconds."""
        return bool(self.minutes) and sum(streams.minutes(record, now) for record in records) >= self.minutes


def _named(records: list[Record]) -> str:
    shown = ", ".join(record.stream for record in records[:5])
    return shown if len(records) <= 5 else f"{shown} and {len(records) - 5} more"


@dataclass(slots=True)
class Rate:
    """Requests a minute for each of a bounded set of callers: a token bucket that holds a minute's worth."""

    a_minute: float
    """0: no limit."""
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, caller: str, now: float) -> float:
        """Returns the seconds until the caller may ask again; 0, and counts the request, when it may ask at `now`."""
        if not self.a_minute:
            return 0.0
        left, before = self._left.get(caller, (self.a_minute, now))
        left = min(self.a_minute, left + (now - before) * self.a_minute / 60)
        if left < 1:
            self._left[caller] = left, now
            return (1 - left) * 60 / self.a_minute
        self._left[caller] = left - 1, now
        return 0.0
