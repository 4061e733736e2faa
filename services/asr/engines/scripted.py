"""No recognition: a table of text by media time, for tests and load tests."""

import json
from bisect import bisect_right
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path

from pydantic import BaseModel

from services.asr.engines import EngineOptions, Word


class Line(BaseModel):
    """Text said from `start` to `end`; its words share the time evenly."""

    text: str
    start: float
    end: float


class Table(BaseModel):
    """What is said, by media time."""

    lines: list[Line]
    origin: float = 0.0
    """Media time of the table's zero."""
    period: float = 0.0
    """Seconds after which the table starts over; 0: never."""


DEFAULT = Table(
    origin=10.0,
    period=12.0,
    lines=[
        Line(text="good evening and welcome to the news", start=0.5, end=3.0),
        Line(text="the river has risen again in the old town", start=4.0, end=7.0),
        Line(text="nobody was hurt", start=8.5, end=9.8),
    ],
)


class Scripted:
    """Says what the table says, whatever the sound."""

    def __init__(self, table: Table) -> None:
        self._origin, self._period = table.origin, table.period
        self._words = sorted((word for line in table.lines for word in _words(line)), key=lambda word: word.end)
        self._ends = [word.end for word in self._words]

    def words(self, after: float, until: float) -> list[Word]:
        """Words that end in (after, until], with media times."""
        return list(takewhile(lambda word: word.end <= until, self._behind(after)))

    def begun(self, until: float) -> float:
        """Start of the word that is being said at `until`, else `until`."""
        return min(until, next((word.start for word in self._behind(until)), until))

    def _behind(self, time: float) -> Iterator[Word]:
        first = max(0, int((time - self._origin) // self._period) - 1) if self._period else 0
        for turn in count(first) if self._period and self._words else (0,):
            shift = self._origin + turn * self._period
            # A word early, so that rounding loses none.
            for word in self._words[max(0, bisect_right(self._ends, time - shift) - 1) :]:
                if word.end + shift > time:
                    yield word._replace(start=word.start + shift, end=word.end + shift)


def _words(line: Line) -> Iterator[Word]:
    texts = line.text.split()
    step = (line.end - line.start) / max(1, len(texts))
    for number, text in enumerate(texts):
        yield Word(text, line.start + number * step, line.start + (number + 1) * step)


def build(options: EngineOptions) -> Scripted:
    """Read the table: JSON or the path of such a file, {"lines": [...]} or the list alone; none: a few sentences."""
    if not options.script:
        return Scripted(DEFAULT)
    text = options.script if options.script.lstrip()[:1] in "[{" else Path(options.script).read_text()
    value = json.loads(text)
    return Scripted(Table.model_validate({"lines": value} if isinstance(value, list) else value))
