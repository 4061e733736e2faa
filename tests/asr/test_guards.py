"""Guards against what was never said."""

import pytest

from services.asr.engines import Hypothesis, Word
from services.asr.guards import suspicions, trusted, voiced
from services.asr.recognition import STEP, Phrase


def said(text: str, step: float = 0.3) -> list[Word]:
    return [Word(word, number * step, (number + 1) * step) for number, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("hypothesis", "guard"),
    [
        (Hypothesis(said("thank you"), no_speech=0.9, logprob=-1.5), "no speech"),
        (Hypothesis(said("we went to the market in the old town today"), compression=3.0), "compresses too well"),
        (Hypothesis(said("thank you thank you thank you")), "loop"),
        (Hypothesis(said("no no no no")), "loop"),
        (Hypothesis(said("so we went to the old old old old old old house")), "loop"),
        (Hypothesis(said("it goes on it goes on it goes on and ends")), "loop"),
        (Hypothesis(said("far too many words in no time", step=0.1)), "too fast"),
    ],
)
def test_a_guard_fires(hypothesis: Hypothesis, guard: str) -> None:
    assert guard in suspicions(hypothesis)


@pytest.mark.parametrize(
    "hypothesis",
    [
        Hypothesis(said("this is a very very good day for all of us")),
        Hypothesis(said("yes"), no_speech=0.9),
        Hypothesis(said("she said no no no and then she left the old house")),
        Hypothesis(said("so here are some more words words words words")),
        Hypothesis([]),
    ],
)
def test_honest_speech_passes(hypothesis: Hypothesis) -> None:
    assert not list(suspicions(hypothesis))


def test_a_word_without_voice_is_dropped() -> None:
    marks = "1" * round(0.6 / STEP) + "0" * 40
    assert [word.text for word in voiced(said("one two three four"), marks)] == ["one", "two"]


def test_nothing_is_left_of_a_suspicious_hypothesis() -> None:
    assert trusted(Hypothesis(said("you you you you you")), Phrase(0, "1" * 60)) == []
