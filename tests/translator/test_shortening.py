"""Saying less without saying something else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.translator.engines.shortening import ALWAYS, SET_OFF, shortened


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Well, you know, I am very tired.", "I am tired."),
        ("Thank you, ladies and gentlemen.", "Thank you."),
        ("um this is uh basically fine", "this is fine"),
        ("The bridge (it is an old one) fell.", "The bridge fell."),
        ("It rained, of course, all day.", "It rained, all day."),
    ],
)
def test_fillers_vocatives_and_asides_go(text: str, short: str) -> None:
    assert shortened(text) == short


@pytest.mark.parametrize(
    "text",
    [
        "It is not very good.",
        "I don't really know.",
        "You know the man.",
        "The law (not the order) holds.",
        "The firm (founded in 1970) closed.",
        "The mayor (Anna Smith) left.",
        "He did it well.",
        "Well.",
        "",
    ],
)
def test_negations_numbers_names_and_meaning_stay(text: str) -> None:
    assert shortened(text) == text


WORDS = [*ALWAYS, *SET_OFF, "not", "never", "isn't", "no", "42", "1999", "Anna", "London", "house", "goes", "(a dog)"]


@given(st.lists(st.sampled_from(WORDS), max_size=10), st.lists(st.sampled_from([" ", ", "]), min_size=10, max_size=10))
def test_no_negation_number_or_name_is_ever_lost(words: list[str], gaps: list[str]) -> None:
    text = "".join(word + gap for word, gap in zip(words, gaps, strict=False)).strip() + "."
    precious = r"\b(?:not|never|isn't|no|42|1999|Anna|London)\b"
    assert re.findall(precious, shortened(text), re.IGNORECASE) == re.findall(precious, text, re.IGNORECASE)
    assert len(shortened(text)) <= len(text)
