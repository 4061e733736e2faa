"""The token classifier of transformers, with random weights."""

from pathlib import Path

import pytest

from services.segmenter import engines
from services.segmenter.engines import Options, SentenceEnds

WORDS = ["hello", "world", "how", "are", "you", "today", "the", "stream", "is", "live", "now"]


@pytest.fixture(scope="module")
def engine(punctuation: Path) -> SentenceEnds:
    """The adapter, loaded."""
    found = engines.load("punctuation", Options(punctuation))
    found.load()
    return found


def test_each_word_has_the_probability_of_an_end_and_the_last_one_waits(engine: SentenceEnds) -> None:
    chances = engine.ends(WORDS, [0.0] * len(WORDS))
    assert len(chances) == len(WORDS)
    assert all(0 < chance < 1 for chance in chances[:-1])
    assert chances[-1] == 0
    assert engine.ends([], []) == []


def test_a_stop_of_the_recogniser_is_believed(engine: SentenceEnds) -> None:
    assert engine.ends(["Hello", "world.", "How"], [0, 0, 0])[1] >= 0.99
    assert engine.ends(["Hello", "world."], [0, 0])[1] >= 0.99


def test_restoring_keeps_the_words_and_ends_with_a_stop(engine: SentenceEnds) -> None:
    restored = engine.restore(WORDS)
    assert [word.strip(".,?:-").lower() for word in restored.split()] == WORDS
    assert restored[0] == "H"
    assert restored.endswith((".", "?"))


def test_text_with_marks_is_left_as_it_is(engine: SentenceEnds) -> None:
    assert engine.restore(["Hello,", "World."]) == "Hello, World."


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        engines.load("punctuation", Options(tmp_path)).load()
