"""What a place between two words looks like."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.engines.features import BITS, L0, L1, TEMPLATES, features, neighbours, plain, windows

UNKNOWN = [np.nan] * 4

WORDS = st.lists(st.sampled_from(["we", "went", "home", "yesterday", "1996", "and"]), min_size=1, max_size=12)


def seen(words: list[str], pause: float = 0.0, evidence: list[float] = UNKNOWN) -> list[list[int]]:
    size = len(words)
    window = windows(words, neighbours(words))
    found = features(window, np.array([evidence] * size), np.full(size, pause), np.arange(1, size + 1))
    return [list(map(int, row)) for row in found]


@settings(max_examples=40, deadline=None)
@given(WORDS, st.floats(0, 5))
def test_every_feature_has_a_weight(words: list[str], pause: float) -> None:
    rows = seen(words, pause)
    assert len(rows) == len(words)
    assert all(0 <= number < 1 << BITS for row in rows for number in row)


@settings(max_examples=40, deadline=None)
@given(WORDS, WORDS)
def test_words_further_on_than_three_change_nothing(words: list[str], more: list[str]) -> None:
    known = [*words, "we", "went", "home"]
    assert seen([*known, *more])[: len(words)] == seen(known)[: len(words)]


def test_fillers_are_looked_beyond() -> None:
    hesitant = ["we", "went", "uh", "Um,", "home", "and", "stayed"]
    assert neighbours(hesitant)[1].tolist() == [-1, 0, 1, 4, 5, 6]
    assert neighbours(hesitant)[3].tolist() == [0, 1, 3, 4, 5, 6]
    assert neighbours(["uh"])[0].tolist() == [-1, -1, 0, -1, -1, -1]


def test_the_order_of_words_counts() -> None:
    pair = TEMPLATES.index((L1, L0))
    assert seen(["home", "we"])[1][pair] != seen(["we", "home"])[1][pair]


def test_the_pause_behind_the_last_word_is_not_known() -> None:
    assert seen(["we", "went"], 0.0)[-1] == seen(["we", "went"], 0.7)[-1]
    assert seen(["we", "went"], 0.0)[0] != seen(["we", "went"], 0.7)[0]


def test_case_and_marks_are_no_part_of_a_word() -> None:
    assert plain("“It’s,”".strip("“”")) == "it's"
    assert seen(["Home,", "WE"]) == seen(["home", "we"])


def test_what_the_language_model_says_counts_where_it_says_something() -> None:
    words = ["we", "went", "home"]
    unknown, likely, little_more = (seen(words, 0.0, [chance] * 4)[0] for chance in (np.nan, 3.2, 3.4))
    assert unknown != likely
    assert likely == little_more
    assert likely != seen(words, 0.0, [-3.2] * 4)[0]
