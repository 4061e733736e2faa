"""Words and pauses, weighed."""

import numpy as np
import pytest

from services.segmenter import engines
from services.segmenter.engines.embedded import WEIGHTS

ENGINE = engines.load("embedded")


def test_a_pause_makes_an_end_likelier() -> None:
    words = ["we", "went", "home", "they", "stayed"]
    without, beside = ENGINE.ends(words, [0.0] * 5)[2], ENGINE.ends(words, [0, 0, 0.4, 0, 0])[2]
    assert beside > 2 * without


def test_an_article_ends_no_sentence_even_before_a_pause() -> None:
    assert ENGINE.ends(["we", "saw", "the", "house"], [0, 0, 0.4, 0])[2] < 0.25


def test_two_words_behind_tell_an_end_without_a_pause() -> None:
    words = ["thank", "you", "very", "much", "we", "are", "here", "because", "the", "world", "has", "changed"]
    chances = ENGINE.ends(words, [0.0] * len(words))
    assert max(range(len(words)), key=chances.__getitem__) == words.index("much")


def test_the_last_word_is_waited_for() -> None:
    words = ["thank", "you", "very", "much"]
    assert ENGINE.ends(words, [0.0] * 4)[-1] < 0.5


def test_the_weights_tell_their_origin_and_are_small() -> None:
    with np.load(WEIGHTS) as kept:
        assert "public domain" in str(kept["origin"])
    assert WEIGHTS.stat().st_size < 600_000


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
