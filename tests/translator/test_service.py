"""The translator stage, message by message."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from services.translator.engines import Failed, Source, scripted
from services.translator.engines.scripted import Scripted
from services.translator.service import Settings, TranslatorState, create, targets
from shared.bus import EngineError
from shared.context import Offer, Record
from shared.messages import Message, Progress, Translation, Utterance, Warned, Wording

SAID = Utterance(
    stream="s",
    until=12.5,
    utterance="7.1",
    start=10.0,
    end=12.0,
    text="good evening",
    words=(),
    spoken="en",
    speaker=2,
    gender="f",
)


async def translate(
    record: Record, state: TranslatorState | None = None, wanted: frozenset[str] = frozenset()
) -> list[Message]:
    service = create(Settings(engine="scripted"))
    for hook in service.starting:
        await hook()
    assert isinstance(service.offered, Offer)
    assert ("en", "es") in service.offered.pairs
    context: Any = SimpleNamespace(record=record, wanted=wanted)
    return [message async for message in service.handle(SAID, state or TranslatorState(), context)]


async def test_each_language_gets_its_translation_with_what_is_known_of_the_utterance() -> None:
    spanish, catalan = await translate(Record(languages=("es", "ca"), live=False))
    assert isinstance(spanish, Translation)
    assert isinstance(catalan, Translation)
    assert (spanish.language, catalan.language) == ("es", "ca")
    assert (spanish.until, spanish.start, spanish.end, spanish.utterance) == (12.5, 10.0, 12.0, "7.1")
    assert (spanish.speaker, spanish.gender, spanish.wordings[0].text) == (2, "f", "good~es evening~es")


async def test_a_language_that_gets_no_translation_gets_progress() -> None:
    messages = await translate(Record(languages=("en", "xx", "es"), live=False))
    assert [(type(message), getattr(message, "language", None)) for message in messages] == [
        (Translation, "es"),
        (Progress, "en"),
        (Progress, "xx"),
        (Warned, None),
    ]
    assert all(message.until == 12.5 for message in messages)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record(live=True), ["es"]),
        (Record(live=True, on_demand=False), ["es", "ca"]),
        (Record(live=True, record=True), ["es", "ca"]),
        (Record(live=False), ["es", "ca"]),
    ],
)
def test_a_live_stream_on_demand_is_translated_for_those_who_fetch(record: Record, expected: list[str]) -> None:
    languages = record.model_copy(update={"languages": ("es", "ca", "en-GB")})
    assert targets(languages, frozenset({"es"}), "en") == expected


async def test_earlier_sentences_are_remembered_in_the_state() -> None:
    state = TranslatorState()
    await translate(Record(languages=("es",), live=False), state)
    assert state.earlier == ("good evening",)


async def test_a_warning_is_given_once_until_it_is_old() -> None:
    state, record = TranslatorState(), Record(languages=("xx",), live=False)
    first, second = [await translate(record, state) for _ in range(2)]
    assert [message.warning for message in first if isinstance(message, Warned)] == [
        "no translation to xx: no engine translates en to xx"
    ]
    assert not any(isinstance(message, Warned) for message in second)
    assert state.news(["old"], 0.0) == ["old"]
    assert state.news(["old"], 299.0) == []
    assert state.news(["old"], 301.0) == ["old"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Languages that an engine fails in for a moment, whose answers wait until it is asked for two languages."""
    languages, meeting = set[str](), asyncio.Barrier(2)

    class Halting(Scripted):
        async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
            async with asyncio.timeout(5):
                await meeting.wait()
            if target in languages:
                raise Failed("busy", retryable=True)
            return await super().translate(batch, target)

    monkeypatch.setattr(scripted, "Scripted", Halting)
    return languages


@pytest.mark.usefixtures("failing")
async def test_languages_are_asked_for_at_once_and_told_in_their_order() -> None:
    messages = await translate(Record(languages=("es", "ca"), live=False))
    assert [message.language for message in messages if isinstance(message, Translation)] == ["es", "ca"]


async def test_a_language_that_fails_for_a_moment_holds_up_no_other(failing: set[str]) -> None:
    failing.add("es")
    translation, progress, warning = await translate(Record(languages=("es", "ca"), live=False))
    assert isinstance(translation, Translation)
    assert translation.language == "ca"
    assert isinstance(progress, Progress)
    assert progress.language == "es"
    assert isinstance(warning, Warned)


async def test_where_every_language_fails_for_a_moment_the_turn_is_tried_again(failing: set[str]) -> None:
    failing.update({"es", "ca"})
    with pytest.raises(EngineError) as failure:
        await translate(Record(languages=("es", "ca"), live=False))
    assert failure.value.retryable
