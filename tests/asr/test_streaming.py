"""Words of an engine that hears a stream as it goes on."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.asr.engines import Heard, Word
from services.asr.hearing import EarState, Hearing, Source
from services.asr.recognition import CloseAtPause
from services.asr.streaming import StreamEar
from shared.audio import EAR, Pcm
from shared.messages import AudioChunk, End, Message, Progress, Words
from tests.asr.ears import Loudness

BEGIN = 10.0
SYLLABLE = 0.4
"""Seconds of one word; the level of the sound says which."""


class Syllables:
    """Hears one word in each stretch of one level, once the next one has begun."""

    def __init__(self) -> None:
        self.pcm: Pcm = np.zeros(0, np.float32)
        self.told = 0

    def feed(self, pcm: Pcm) -> Heard:
        self.pcm = np.concatenate([self.pcm, pcm])
        return self._heard(over=False)

    def flush(self) -> Heard:
        return self._heard(over=True)

    def _heard(self, *, over: bool) -> Heard:
        levels = np.round(self.pcm * 100).astype(int)
        edges = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]
        words = [Word(f"w{levels[a]}", a / EAR, b / EAR) for a, b in pairwise(edges) if b > a and levels[a] > 0]
        settled = len(levels) / EAR
        if words and not over and words[-1].end >= settled:
            settled, words = words[-1].start, words[:-1]
        new, self.told = words[self.told :], len(words)
        return Heard(new, settled)


class Engine:
    """Counts how often it had to begin."""

    spoken: tuple[str, ...] = ("en",)
    parallel = 1

    def __init__(self) -> None:
        self.opened = 0

    def open(self) -> Syllables:
        self.opened += 1
        return Syllables()

    def load(self) -> None: ...

    def close(self) -> None: ...


def sound(counts: Sequence[int]) -> Pcm:
    """Phrases of so many words each, a second of silence behind each."""
    parts, level = [np.zeros(EAR // 2, np.float32)], 0
    for count in counts:
        for _ in range(count):
            level += 1
            parts.append(np.full(round(SYLLABLE * EAR), level / 100, np.float32))
        parts.append(np.zeros(EAR, np.float32))
    return np.concatenate(parts)


async def run(pcm: Pcm, step: float, moves: int, engine: Engine) -> list[Message]:
    """What asr says; every so many chunks all that is warm is lost."""

    async def listen(start: float, end: float) -> Pcm:
        first, last = round((start - BEGIN) * EAR), round((end - BEGIN) * EAR)
        return np.pad(pcm, (0, max(0, last - len(pcm))))[first:last]

    hearing = Hearing(StreamEar(engine, Loudness(), CloseAtPause(0.3, 30.0)))
    source, state, said = Source("s", "en", listen), EarState(), list[Message]()
    length = len(pcm) / EAR
    for number, (start, end) in enumerate(pairwise([*np.arange(0, length, step).tolist(), length])):
        chunk = AudioChunk(stream="s", until=BEGIN + end, start=BEGIN + start, end=BEGIN + end, captured_at=0)
        said += [message async for message in hearing.hear(chunk, state, source)]
        if moves and number % moves == moves - 1:
            state = EarState.model_validate_json(state.model_dump_json())
    return said + [message async for message in hearing.end(End(stream="s", until=BEGIN + length), state, source)]


def heard(said: Sequence[Message]) -> list[str]:
    return [word.text for one in said if isinstance(one, Words) for word in one.words]


def test_words_leave_while_somebody_still_speaks() -> None:
    said = asyncio.run(run(sound([20]), 0.5, 0, Engine()))
    assert heard(said) == [f"w{number}" for number in range(1, 21)]
    assert sum(isinstance(one, Words) for one in said) > 8


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(1, 10), min_size=1, max_size=2), st.sampled_from([0.7, 2.0]), st.sampled_from([0, 1, 3]))
@example([40], 2.0, 2)
def test_no_word_is_lost_or_doubled_when_a_stream_moves(counts: list[int], step: float, moves: int) -> None:
    said = asyncio.run(run(sound(counts), step, moves, Engine()))
    assert heard(said) == [f"w{number}" for number in range(1, sum(counts) + 1)]
    told = 0.0
    for one in said:
        assert not isinstance(one, Words) or all(word.start >= told - 1e-6 for word in one.words)
        if isinstance(one, Words | Progress):
            assert one.until >= told - 1e-9
            told = one.until


@pytest.mark.parametrize(("moves", "most"), [(0, 2), (4, 12)])
def test_a_cache_is_built_again_only_where_it_is_lost(moves: int, most: int) -> None:
    engine = Engine()
    asyncio.run(run(sound([12, 12]), 0.5, moves, engine))
    assert (engine.opened == 2) if not moves else 2 < engine.opened <= most


def test_silence_reaches_no_engine() -> None:
    engine = Engine()
    said = asyncio.run(run(np.zeros(10 * EAR, np.float32), 0.5, 0, engine))
    assert heard(said) == []
    assert engine.opened == 0
