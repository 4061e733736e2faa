"""faster-whisper and NeMo on models of random weights: what they say is nonsense, how they say it is not."""

import asyncio
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from services.asr import engines
from services.asr.engines import EngineOptions, Hypothesis, StreamEngine, Word
from services.asr.engines.faster_whisper import FasterWhisper
from services.asr.hearing import EarState, Hearing, Source
from services.asr.recognition import CloseAtPause
from services.asr.streaming import StreamEar
from shared.audio import EAR, Pcm
from shared.messages import AudioChunk, End, Message, Progress
from shared.messages import Words as Said

BEGIN = 10.0
NOISE = (np.random.default_rng(0).standard_normal(8 * EAR) * 0.1).astype(np.float32)


class Always:
    """All sound is speech, but for silence."""

    def load(self) -> None: ...

    def speech(self, pcm: Pcm, carry: str) -> tuple[list[float], str]:
        return [float(np.abs(window).mean() > 0.005) for window in pcm.reshape(-1, 512)], ""


@pytest.fixture(scope="module")
def nemo(fastconformer: Path) -> StreamEngine:
    """The adapter, loaded."""
    engine = engines.stream("nemo", EngineOptions(model=str(fastconformer)))
    engine.load()
    return engine


def streamed(engine: StreamEngine, pcm: Pcm, step: int) -> list[Word]:
    """All words of a stretch of sound that comes in parts."""
    hearer, words, settled = engine.open(), [], 0.0
    for at in range(0, len(pcm), step):
        told = hearer.feed(pcm[at : at + step])
        assert told.until >= settled
        assert all(word.start >= settled - 1e-6 for word in told.words)
        settled = told.until
        words += told.words
    return words + hearer.flush().words


def test_words_of_a_stream_do_not_depend_on_how_it_is_cut(nemo: StreamEngine) -> None:
    whole = streamed(nemo, NOISE, len(NOISE))
    assert len(whole) > 5
    assert whole == streamed(nemo, NOISE, 8000) == streamed(nemo, NOISE, 3111)
    assert all(before.end <= after.start + 1e-6 for before, after in pairwise(whole))


@pytest.mark.parametrize(("seconds", "frames"), [(0.08, 0), (0.3, 1), (0.56, 6), (5.0, 13)])
def test_the_longest_context_within_the_look_ahead_is_taken(fastconformer: Path, seconds: float, frames: int) -> None:
    engine = engines.stream("nemo", EngineOptions(model=str(fastconformer), look_ahead=seconds))
    engine.load()
    assert engine._model.encoder.att_context_size == [56, frames]  # type: ignore[attr-defined]


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nemo"):
        engines.stream("nemo", EngineOptions(model=str(tmp_path))).load()


def through(engine: StreamEngine, pcm: Pcm, step: float, *, moves: bool) -> list[Message]:
    """What asr says of a recording; at a move all that is warm is lost."""

    async def listen(start: float, end: float) -> Pcm:
        first, last = round((start - BEGIN) * EAR), round((end - BEGIN) * EAR)
        return np.pad(pcm, (0, max(0, last - len(pcm))))[first:last]

    async def run() -> list[Message]:
        hearing = Hearing(StreamEar(engine, Always(), CloseAtPause(0.3, 15.0)))
        source, state, said = Source("s", "en", listen), EarState(), list[Message]()
        length = len(pcm) / EAR
        times = [*np.arange(0, length, step).tolist(), length]
        for number, (start, end) in enumerate(pairwise(BEGIN + time for time in times)):
            chunk = AudioChunk(stream="s", until=end, start=start, end=end, captured_at=0)
            said += [message async for message in hearing.hear(chunk, state, source)]
            if moves and number % 5 == 4:
                state = EarState.model_validate_json(state.model_dump_json())
        ended = End(stream="s", until=BEGIN + length)
        return said + [message async for message in hearing.end(ended, state, source)]

    return asyncio.run(run())


def test_a_stream_that_moves_loses_and_doubles_no_word(nemo: StreamEngine) -> None:
    pcm = np.concatenate([NOISE[: 6 * EAR], np.zeros(EAR, np.float32), NOISE[: 3 * EAR], np.zeros(EAR, np.float32)])
    stays, moves = (through(nemo, pcm, 0.5, moves=moved) for moved in (False, True))
    found = [[word for one in said if isinstance(one, Said) for word in one.words] for said in (stays, moves)]
    assert len(found[0]) > 5
    assert [word.text for word in found[0]] == [word.text for word in found[1]]
    told = 0.0
    for one in moves:
        assert not isinstance(one, Said) or all(word.start >= told - 1e-6 for word in one.words)
        if isinstance(one, Said | Progress):
            assert one.until >= told
            told = one.until


def test_whisper_tells_words_with_times_and_how_sure_it_is(whisper: Path) -> None:
    engine = engines.load("faster_whisper", EngineOptions(model=str(whisper)))
    found = engine.transcribe(NOISE, language="en", prompt="before", terms=("Dragoman",))
    assert isinstance(found, Hypothesis)
    assert found.words
    times = [time for word in found.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 8
    assert None not in (found.no_speech, found.logprob, found.compression)
    assert found == engine.transcribe(NOISE, language="en", prompt="before", terms=("Dragoman",))


def test_whisper_tells_which_language_it_may_be(whisper: Path) -> None:
    chances = engines.load("faster_whisper", EngineOptions(model=str(whisper))).languages(NOISE)
    assert len(chances) == 99
    assert sum(chances.values()) == pytest.approx(1.0, abs=0.01)


def test_one_whisper_serves_many_lanes_at_once(whisper: Path) -> None:
    engine = FasterWhisper(EngineOptions(model=str(whisper), workers=2))
    alone = engine.transcribe(NOISE[:EAR], language="en")
    found: list[Hypothesis] = []

    def ask() -> None:
        found.append(engine.transcribe(NOISE[:EAR], language="en"))

    lanes = [threading.Thread(target=ask) for _ in range(4)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    assert found == [alone] * 4
