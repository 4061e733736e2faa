"""Pauses and the lexical prior."""

import pytest

from services.segmenter import engines

ENGINE = engines.load("embedded")


def test_a_pause_makes_an_end_likelier() -> None:
    words = ["we", "went", "home", "they", "stayed"]
    without, beside = ENGINE.ends(words, [0.0] * 5)[2], ENGINE.ends(words, [0, 0, 0.4, 0, 0])[2]
    assert beside > 2 * without


def test_an_article_ends_no_sentence_even_before_a_pause() -> None:
    assert ENGINE.ends(["we", "saw", "the", "house"], [0, 0, 0.4, 0])[2] < 0.25


def test_punctuation_is_believed() -> None:
    assert ENGINE.ends(["It", "rained.", "We"], [0, 0, 0])[1] > 0.6


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("i think i'm late", "I think I'm late."),
        ("what is the time", "What is the time?"),
        ("so do you know him", "So do you know him?"),
        ("when the rain came we left", "When the rain came we left."),
        ("we meet on monday", "We meet on Monday."),
        ("It was Mr. Hale, I think", "It was Mr. Hale, I think"),
        ("", ""),
    ],
)
def test_casing_and_the_last_mark_are_restored(spoken: str, written: str) -> None:
    assert ENGINE.restore(spoken.split()) == written


def test_an_unknown_engine_names_those_that_exist() -> None:
    with pytest.raises(LookupError, match="embedded"):
        engines.load("magic")
