"""The audit of the chaos run can fail: each kind of damage is found."""

import pytest

from loadtest.audit import audit
from shared.context import Event
from shared.messages import Clip, Message, Translation, Utterance, Word, Wording, Words

SCRIPT = [f"w{number}" for number in range(8)]


def events() -> list[Event]:
    """Two sentences of four words, translated and placed."""
    messages: list[tuple[str, Message]] = []
    for number in range(2):
        words = tuple(Word(text=text, start=number, end=number + 1) for text in SCRIPT[4 * number : 4 * number + 4])
        name = str(number + 1)
        common = {"stream": "m", "until": number + 1.0, "utterance": name}
        messages += [
            ("asr", Words(stream="m", until=number + 1.0, words=words, spoken="en")),
            ("speaker", Utterance(**common, start=number, end=number + 1, text="", words=words, spoken="en")),
            (
                "translator",
                Translation(
                    **common,
                    language="es",
                    start=number,
                    end=number + 1,
                    speaker=1,
                    gender="f",
                    wordings=(Wording(text="x"),),
                ),
            ),
            (
                "place",
                Clip(**common, language="es", start=number, duration=1, rate=1, wording=0, voice="v", audio="m/clip"),
            ),
        ]
    return [Event(id=str(n), at=n, stage=stage, lane="m", message=each) for n, (stage, each) in enumerate(messages)]


def test_an_undamaged_run_passes() -> None:
    verdict = audit(events(), [], SCRIPT, ("es",))
    assert (verdict.lost, verdict.doubled, verdict.disordered, verdict.faults) == (0, 0, 0, [])


@pytest.mark.parametrize("place", range(8))
def test_a_repeated_message_is_found(place: int) -> None:
    damaged = events()
    damaged.insert(place + 1, damaged[place])
    assert audit(damaged, [], SCRIPT, ("es",)).doubled


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_message_that_vanished_is_found(place: int) -> None:
    damaged = events()
    del damaged[place]
    verdict = audit(damaged, [], SCRIPT, ("es",))
    assert verdict.lost or verdict.doubled


def test_two_messages_in_the_wrong_order_are_found() -> None:
    damaged = events()
    damaged[3], damaged[7] = damaged[7], damaged[3]
    assert audit(damaged, [], SCRIPT, ("es",)).disordered


def test_without_a_script_a_word_may_be_said_again_but_not_passed_on_twice() -> None:
    def told(text: str, start: float) -> Word:
        return Word(text=text, start=start, end=start + 0.5)

    said = (told("very", 1.0), told("very", 1.5), told("well", 2.0))
    common = {"stream": "m", "until": 3.0, "utterance": "1", "text": "", "spoken": "en"}

    def run(passed: tuple[Word, ...]) -> int:
        messages: list[tuple[str, Message]] = [
            ("asr", Words(stream="m", until=3.0, words=said, spoken="en")),
            ("speaker", Utterance(**common, start=1.0, end=2.5, words=passed)),
        ]
        heard = [
            Event(id=str(n), at=n, stage=stage, lane="m", message=each) for n, (stage, each) in enumerate(messages)
        ]
        return audit(heard, [], None, ()).doubled

    assert run(said) == 0
    assert run((*said[:2], said[1])) == 1
