"""What the segmenter says to each message."""

from typing import Any, cast

from services.segmenter.service import SegmenterState, Settings, create
from shared.bus import Context
from shared.context import Record
from shared.messages import End, Gap, Message, Progress, Utterance, Word, Words

SERVICE = create(Settings())


class Quiet:
    """The part of a turn's context that the segmenter looks at."""

    record = Record(longest=8.0)


async def say(message: Message, state: SegmenterState) -> list[Any]:
    return [said async for said in SERVICE.handle(message, state, cast("Context", Quiet()))]


def words(text: str, start: float, until: float) -> Words:
    said = tuple(
        Word(text=word, start=start + number * 0.3, end=start + number * 0.3 + 0.3)
        for number, word in enumerate(text.split())
    )
    return Words(stream="s", until=until, words=said, spoken="en")


async def test_silence_ends_an_utterance_and_progress_goes_on() -> None:
    state = SegmenterState()
    assert not any(isinstance(one, Utterance) for one in await say(words("it rained in town", 11.0, 12.3), state))
    assert state.until == 11.0
    utterance, *rest = await say(Progress(stream="s", until=13.0), state)
    assert (utterance.utterance, utterance.text) == ("1", "It rained in town.")
    assert (utterance.start, round(utterance.end, 3)) == (11.0, 12.2)
    assert utterance.until == 13.0
    assert rest == []


async def test_an_open_sentence_holds_progress_back() -> None:
    state = SegmenterState()
    await say(words("it rained in town", 11.0, 12.3), state)
    assert await say(Progress(stream="s", until=12.5), state) == []


async def test_a_gap_flushes() -> None:
    state = SegmenterState()
    await say(words("it rained in", 11.0, 12.0), state)
    utterance, progress = await say(Gap(stream="s", until=20.0, start=12.0, end=20.0, reason="lost"), state)
    assert utterance.end == 11.9
    assert progress.until == 20.0


async def test_the_end_flushes() -> None:
    state = SegmenterState()
    await say(words("it rained", 11.0, 11.7), state)
    utterance, end = await say(End(stream="s", until=12.0), state)
    assert utterance.text == "It rained."
    assert isinstance(end, End)


async def test_until_never_goes_back_and_numbers_count() -> None:
    state, said = SegmenterState(), []
    for number in range(8):
        start = 11.0 + number * 4
        said += await say(words("so we went to the old town and then it rained", start, start + 3.4), state)
    said += await say(End(stream="s", until=60.0), state)
    assert [one.until for one in said] == sorted(one.until for one in said)
    utterances = [one for one in said if isinstance(one, Utterance)]
    assert [one.utterance for one in utterances] == [str(number) for number in range(1, len(utterances) + 1)]
    before = 0.0
    for one in said:
        assert not isinstance(one, Utterance) or one.start >= before
        before = one.until
