"""History and glossary."""

from hypothesis import given
from hypothesis import strategies as st

from services.translator.context import disobeyed, masked, remembered, unmasked, wanted
from shared.context import Term

GLOSSARY = (
    Term(term="Dragoman", keep=True),
    Term(term="bus", translations={"es": "autobús"}),
    Term(term="bus stop", translations={"es": "parada"}),
)


def test_only_the_last_three_sentences_are_remembered() -> None:
    earlier: tuple[str, ...] = ()
    for text in "abcde":
        earlier = remembered(earlier, text)
    assert earlier == ("c", "d", "e")


def test_only_terms_that_occur_and_have_a_translation_are_wanted() -> None:
    assert wanted(GLOSSARY, "dragoman takes a bus", "es") == {"Dragoman": "Dragoman", "bus": "autobús"}
    assert wanted(GLOSSARY, "a bus", "ca") == {}
    assert wanted(GLOSSARY, "the buses", "es") == {}


def test_the_longest_term_goes_first() -> None:
    text, names = masked("The bus stop and the bus", wanted(GLOSSARY, "The bus stop and the bus", "es"))
    assert "bus" not in text
    assert unmasked(text, names) == "The parada and the autobús"


def test_a_name_that_the_engine_lost_is_noticed() -> None:
    _, names = masked("a bus", {"bus": "autobús"})
    assert unmasked("un ómnibus", names) is None


def test_terms_whose_translation_is_missing_are_told() -> None:
    assert disobeyed("Tomo el Autobús", {"bus": "autobús", "Dragoman": "Dragoman"}) == ["Dragoman"]


@given(st.text(), st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=5))
def test_a_text_that_nobody_touches_has_its_translations_in_place(text: str, terms: dict[str, str]) -> None:
    hidden, names = masked(text, terms)
    assert len(names) <= len(terms)
    if not names:
        assert hidden == text
    assert unmasked(hidden, names) is not None
