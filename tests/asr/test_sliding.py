"""Words that leave before their phrase closes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.asr.ears import SlidingEar
from services.asr.engines import Hypothesis, Word
from services.asr.hearing import EarState, Hearing, Source
from services.asr.recognition import CloseAtPause, CommitPolicy
from services.asr.service import POLICIES
from shared.audio import EAR, Pcm
from shared.messages import AudioChunk, End, Message, Progress, Words
from tests.asr.ears import Loudness

BEGIN = 10.0
SYLLABLE = 0.4
"""Seconds of one word; the level of the sound says which."""


class Syllables:
    """Hears one word in each stretch of one level, and mishears one that is cut off."""

    spoken: tuple[str, ...] = ()
    parallel = 1

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def languages(self, pcm: Pcm) -> dict[str, float]:
        return {}

    def transcribe(self, pcm: Pcm, *, language: str | None, prompt: str = "", terms: Sequence[str] = ()) -> Hypothesis:
        self.prompts.append(prompt)
        levels = np.round(pcm * 100).astype(int)
        edges = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]
        return Hypothesis(
            [
                Word(f"w{levels[a]}" if b < len(pcm) else "cut", a / EAR, b / EAR)
                for a, b in pairwise(edges)
                if levels[a] > 0
            ]
        )


def sound(counts: Sequence[int]) -> Pcm:
    """Phrases of so many words each, a second of silence behind each."""
    parts, level = [np.zeros(EAR // 2, np.float32)], 0
    for count in counts:
        for _ in range(count):
            level += 1
            parts.append(np.full(round(SYLLABLE * EAR), level / 100, np.float32))
        parts.append(np.zeros(EAR, np.float32))
    return np.concatenate(parts)


async def collect(messages: AsyncIterator[Message]) -> list[Message]:
    return [message async for message in messages]


async def run(
    pcm: Pcm, cuts: Sequence[float], policy: CommitPolicy, engine: Syllables | None = None, *, backlog: float = 0.0
) -> list[Message]:
    async def listen(start: float, end: float) -> Pcm:
        first, last = round((start - BEGIN) * EAR), round((end - BEGIN) * EAR)
        return np.pad(pcm, (0, max(0, last - len(pcm))))[first:last]

    hearing = Hearing(SlidingEar(engine or Syllables(), Loudness(), CloseAtPause(0.3, 15.0), policy))
    source, state, said = Source("s", "en", listen, backlog=backlog), EarState(), []
    for start, end in pairwise(cuts):
        chunk = AudioChunk(stream="s", until=BEGIN + end, start=BEGIN + start, end=BEGIN + end, captured_at=0)
        said += await collect(hearing.hear(chunk, state, source))
        state = EarState.model_validate_json(state.model_dump_json())
    return said + await collect(hearing.end(End(stream="s", until=BEGIN + cuts[-1]), state, source))


def steps(pcm: Pcm, step: float) -> list[float]:
    length = len(pcm) / EAR
    return [*np.arange(0, length, step).tolist(), length]


def heard(said: Sequence[Message]) -> list[str]:
    return [word.text for one in said if isinstance(one, Words) for word in one.words]


@pytest.mark.parametrize("policy", list(POLICIES.values()), ids=list(POLICIES))
def test_words_leave_while_somebody_still_speaks(policy: CommitPolicy) -> None:
    pcm = sound([20])
    said = asyncio.run(run(pcm, steps(pcm, 0.5), policy))
    assert heard(said) == [f"w{number}" for number in range(1, 21)]
    assert sum(isinstance(one, Words) for one in said) > 3


@pytest.mark.parametrize("policy", list(POLICIES.values()), ids=list(POLICIES))
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=3), st.sampled_from([0.25, 0.7, 2.0]))
def test_no_word_is_lost_doubled_or_starts_before_what_was_promised(
    policy: CommitPolicy, counts: list[int], step: float
) -> None:
    pcm = sound(counts)
    said = asyncio.run(run(pcm, steps(pcm, step), policy))
    assert heard(said) == [f"w{number}" for number in range(1, sum(counts) + 1)]
    told = 0.0
    for one in said:
        assert not isinstance(one, Words) or all(word.start >= told - 1e-6 for word in one.words)
        if isinstance(one, Words | Progress):
            assert one.until >= told
            told = one.until


def test_a_later_phrase_is_prompted_with_an_earlier_one() -> None:
    engine, pcm = Syllables(), sound([3, 2])
    asyncio.run(run(pcm, steps(pcm, 0.5), POLICIES["agreement"], engine))
    assert engine.prompts[0] == ""
    assert engine.prompts[-1] == "w1 w2 w3"


def test_a_stream_that_hurries_decodes_less_and_says_the_same() -> None:
    pcm, counts, said = sound([14]), [], []
    for backlog in (0.0, 5.0):
        engine = Syllables()
        said.append(asyncio.run(run(pcm, steps(pcm, 0.5), POLICIES["agreement"], engine, backlog=backlog)))
        counts.append(len(engine.prompts))
    assert heard(said[0]) == heard(said[1])
    assert counts[1] < 0.7 * counts[0]
