"""Sentence ends as hidden words of a trigram model."""

from math import isnan

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")

from services.segmenter.engines.language_model import LanguageModel

MODEL = LanguageModel()


def test_an_end_is_likelier_where_sentences_end() -> None:
    ends = MODEL.evidence("very", "much", "we", "are")
    runs_on = MODEL.evidence("of", "the", "united", "states")
    assert ends[0] > runs_on[0]
    assert ends[2] > 0 > runs_on[2]
    assert ends[3] > 0 > runs_on[3]


def test_what_is_not_known_yet_is_not_judged() -> None:
    alone = MODEL.evidence("very", "much", None, None)
    assert not isnan(alone[0])
    assert all(map(isnan, alone[1:]))
    assert isnan(MODEL.evidence("very", "much", "we", None)[3])
    assert not isnan(MODEL.evidence("very", "much", "we", None)[2])


def test_a_word_that_the_model_does_not_know_tells_nothing() -> None:
    assert MODEL.evidence("very", "much", "zzyzx", "are")[1:] == (0.0, 0.0, 0.0)
    known = MODEL.evidence("very", "much", "we", "zzyzx")
    assert known[3] == known[2]
    assert MODEL.evidence("of", "zzyzx", None, None)[0] == MODEL.evidence(None, "zzyzx", None, None)[0]


def test_the_first_word_of_a_sentence_is_seen_as_such() -> None:
    assert MODEL.evidence(None, "yes", None, None)[0] > MODEL.evidence("the", "yes", None, None)[0]


def test_places_are_weighed_by_the_numbers_of_their_words() -> None:
    words = ["thank", "you", "very", "much", "we", "are"]
    rows = MODEL.weigh(words, np.array([[-1, 0, 1, 2], [2, 3, 4, 5], [4, 5, -1, -1]]))
    assert rows.shape == (3, 4)
    assert rows[1].tolist() == list(MODEL.evidence("very", "much", "we", "are"))
    assert np.isnan(rows[2]).tolist() == [False, True, True, True]
