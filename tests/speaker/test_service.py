"""The speaker stage, handler by handler."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from services.speaker.service import Settings, SpeakerState, create
from shared.audio import EAR, to_bytes
from shared.context import Casting, Pcm, Record
from shared.messages import Utterance, Word


async def tell(utterance: Utterance, state: SpeakerState, record: Record | None = None) -> list[Utterance]:
    service = create(Settings(engine="scripted", models=Path("models")))
    for hook in service.starting:
        await hook()

    async def listen(start: float, end: float) -> Pcm:
        noise = np.random.default_rng(0).normal(0, 0.1, round((end - start) * EAR)).astype(np.float32)
        return Pcm(start=start, samples=to_bytes(noise))

    context: Any = SimpleNamespace(record=record or Record(), listen=listen)
    return [message async for message in service.handle(utterance, state, context)]


def spoken(start: float, end: float, count: int = 8) -> Utterance:
    step = (end - start) / count
    words = tuple(
        Word(text=f"w{at}", start=start + at * step, end=start + (at + 1) * step - 0.05) for at in range(count)
    )
    text = " ".join(word.text for word in words)
    return Utterance(stream="s", until=end, utterance="3", start=start, end=end, text=text, words=words, spoken="en")


async def test_an_utterance_gets_its_speaker_and_gender() -> None:
    state = SpeakerState()
    [first] = await tell(spoken(10.0, 14.0), state)
    [second] = await tell(spoken(18.0, 22.0), state)
    [third] = await tell(spoken(33.0, 37.0), state)
    assert [(piece.speaker, piece.gender) for piece in (first, second, third)] == [(1, "f"), (2, "m"), (1, "f")]


async def test_an_utterance_with_two_speakers_is_cut_between_them() -> None:
    first, second = await tell(spoken(12.0, 20.0), SpeakerState())
    assert (first.utterance, first.speaker, second.utterance, second.speaker) == ("3.1", 1, "3.2", 2)
    assert abs(second.start - 16.0) < 1.2


async def test_merges_and_casting_of_the_record_go_first() -> None:
    state = SpeakerState()
    await tell(spoken(10.0, 14.0), state)
    record = Record(merged={"2": "1"}, casting={"1": Casting(gender="m")})
    [piece] = await tell(spoken(18.0, 22.0), state, record)
    assert (piece.speaker, piece.gender) == (1, "m")


async def test_state_survives_its_way_through_json() -> None:
    state = SpeakerState()
    await tell(spoken(10.0, 14.0), state)
    again = SpeakerState.model_validate_json(state.model_dump_json())
    [piece] = await tell(spoken(33.0, 37.0), again)
    assert piece.speaker == 1
