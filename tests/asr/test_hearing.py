"""What asr says to each message."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.asr.ears import PhraseEar
from services.asr.engines import Hypothesis, Word
from services.asr.engines.scripted import Line, Scripted, Table
from services.asr.hearing import EarState, Hearing, ScriptEar, Source
from services.asr.recognition import CloseAtPause
from shared.audio import EAR, Pcm
from shared.messages import AudioChunk, End, Gap, Message, Progress, Words

BEGIN = 10.0


class Loudness:
    """Sound that is not silence is speech; what it remembers is a count of windows."""

    def load(self) -> None: ...

    def speech(self, pcm: Pcm, carry: str) -> tuple[list[float], str]:
        windows = pcm.reshape(-1, 512)
        return [float(abs(window).mean() > 0.05) for window in windows], str(int(carry or 0) + len(windows))


class Echo:
    """One word a phrase: how many tenths of a second of it are loud."""

    spoken: tuple[str, ...] = ("en",)
    parallel = 1

    def load(self) -> None: ...

    def close(self) -> None: ...

    def languages(self, pcm: Pcm) -> dict[str, float]:
        return {}

    def transcribe(self, pcm: Pcm, *, language: str | None, prompt: str = "", terms: Sequence[str] = ()) -> Hypothesis:
        loud = np.flatnonzero(abs(pcm) > 0.05)
        return Hypothesis([Word(f"w{len(loud)}", float(loud[0]) / EAR, float(loud[-1] + 1) / EAR)])


@pytest.fixture(scope="module")
def hearing() -> Hearing:
    return Hearing(PhraseEar(Echo(), Loudness(), CloseAtPause()))


def sound(*stretches: tuple[float, float], length: float) -> Pcm:
    pcm = np.zeros(round(length * EAR), np.float32)
    for start, end in stretches:
        pcm[round(start * EAR) : round(end * EAR)] = 0.5
    return pcm


def ring(pcm: Pcm, spoken: str = "en") -> Source:
    async def listen(start: float, end: float) -> Pcm:
        first, last = round((start - BEGIN) * EAR), round((end - BEGIN) * EAR)
        return np.pad(pcm, (0, max(0, last - len(pcm))))[first:last]

    return Source("s", spoken, listen)


def chunk(start: float, end: float, advert: bool = False) -> AudioChunk:
    return AudioChunk(stream="s", until=BEGIN + end, start=BEGIN + start, end=BEGIN + end, advert=advert, captured_at=0)


async def collect(messages: AsyncIterator[Message]) -> list[Message]:
    return [message async for message in messages]


async def run(hearing: Hearing, source: Source, cuts: Sequence[float]) -> list[Message]:
    state, said = EarState(), []
    for start, end in pairwise(cuts):
        said += await collect(hearing.hear(chunk(start, end), state, source))
        state = EarState.model_validate_json(state.model_dump_json())
    return said + await collect(hearing.end(End(stream="s", until=BEGIN + cuts[-1]), state, source))


def words(said: Sequence[Message]) -> list[tuple[str, float, float]]:
    return [
        (word.text, round(word.start, 6), round(word.end, 6))
        for one in said
        if isinstance(one, Words)
        for word in one.words
    ]


async def test_a_phrase_becomes_words_with_media_times(hearing: Hearing) -> None:
    said = await run(hearing, ring(sound((1.0, 1.8), length=4)), [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4])
    ((_, start, end),) = words(said)
    assert start == pytest.approx(11.0, abs=1e-3)
    assert end == pytest.approx(11.8, abs=1e-3)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.05, 1.5)), max_size=4),
    st.lists(st.integers(1, 99), unique=True, max_size=12),
)
def test_words_do_not_depend_on_how_sound_is_cut(stretches: list[tuple[float, float]], cuts: list[int]) -> None:
    hearing, at, loud = Hearing(PhraseEar(Echo(), Loudness(), CloseAtPause())), 0.0, []
    for before, length in stretches:
        loud.append((at + before, at + before + length))
        at += before + length
    source, end = ring(sound(*loud, length=at + 1)), at + 1
    places = [0.0, *(round(cut * end * 160) / 16_000 for cut in sorted(cuts)), end]
    whole = asyncio.run(run(hearing, source, [0.0, end]))
    assert words(asyncio.run(run(hearing, source, places))) == words(whole)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 2), st.floats(0.05, 3)), min_size=1, max_size=4))
def test_until_never_goes_back_and_no_word_starts_before_it(stretches: list[tuple[float, float]]) -> None:
    hearing, at, loud = Hearing(PhraseEar(Echo(), Loudness(), CloseAtPause())), 0.0, []
    for before, length in stretches:
        loud.append((at + before, at + before + length))
        at += before + length
    said = asyncio.run(run(hearing, ring(sound(*loud, length=at + 1)), [step * 0.5 for step in range(int(at * 2) + 3)]))
    until = 0.0
    for message in said:
        assert message.until >= until
        if isinstance(message, Words):
            assert all(word.start >= until for word in message.words)
        until = message.until


async def test_silence_is_told_about_once_a_second(hearing: Hearing) -> None:
    said = await run(hearing, ring(sound(length=20)), [step * 0.5 for step in range(41)])
    progress = [one for one in said if isinstance(one, Progress)]
    assert 10 <= len(progress) <= 21
    assert progress[-1].until > BEGIN + 18


async def test_a_gap_flushes_moves_the_clock_and_goes_on(hearing: Hearing) -> None:
    state, source = EarState(), ring(sound((0.2, 1.0), length=2))
    await collect(hearing.hear(chunk(0, 1), state, source))
    gap = Gap(stream="s", until=15.0, start=11.0, end=15.0, reason="lost")
    said = await collect(hearing.gap(gap, state, source))
    assert len(words(said)) == 1
    assert isinstance(said[-1], Gap)
    assert said[-1].until == 15.0
    assert state.end == 15.0


async def test_an_advert_flushes_and_is_not_heard(hearing: Hearing) -> None:
    state, source = EarState(), ring(sound((0.2, 9.0), length=9))
    before = await collect(hearing.hear(chunk(0, 1), state, source))
    said = [
        one
        for step in range(1, 6)
        for one in await collect(hearing.hear(chunk(step, step + 1, advert=True), state, source))
    ]
    assert before == [] or not words(before)
    assert len(words(said)) == 1
    assert said[-1].until == BEGIN + 6


async def test_a_chunk_that_came_before_says_nothing(hearing: Hearing) -> None:
    state, source = EarState(), ring(sound((0.2, 0.9), length=3))
    first = [one for step in range(3) for one in await collect(hearing.hear(chunk(step, step + 1), state, source))]
    assert words(first)
    assert [one for step in range(3) for one in await collect(hearing.hear(chunk(step, step + 1), state, source))] == []


async def test_a_language_that_the_engine_does_not_know_yields_no_words(hearing: Hearing) -> None:
    said = await run(hearing, ring(sound((0.2, 2.0), length=4), spoken="de"), [0, 1, 2, 3, 4])
    assert words(said) == []
    assert said[-1].until == BEGIN + 4


async def test_the_state_stays_small(hearing: Hearing) -> None:
    state, source = EarState(), ring(sound((0.1, 5.0), length=5))
    for step in range(5):
        await collect(hearing.hear(chunk(step, step + 1), state, source))
    assert len(state.model_dump_json()) < 8000


async def test_a_script_says_its_words_when_they_are_over() -> None:
    table = Table(lines=[Line(text="one two", start=11.0, end=12.0)])
    said = await run(Hearing(ScriptEar(Scripted(table))), ring(sound(length=4)), [0, 1.6, 1.7, 2.2, 4])
    assert words(said) == [("one", 11.0, 11.5), ("two", 11.5, 12.0)]
    assert said[0].until == 11.5
