"""Which language is spoken."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.asr.language import Belief

SURE = {"en": 0.95, "de": 0.03, "es": 0.02}
OTHER = {"de": 0.95, "en": 0.03, "es": 0.02}


def after(phrases: Sequence[dict[str, float]], candidates: Sequence[str] = (), seconds: float = 3.0) -> Belief:
    belief = Belief()
    for chances in phrases:
        belief = belief.after(chances, seconds, candidates)
    return belief


def test_the_first_phrase_decides_at_once() -> None:
    assert after([OTHER]).language == "de"


@given(st.integers(2, 10))
def test_one_odd_phrase_changes_nothing_and_three_do(count: int) -> None:
    settled = [SURE] * count
    assert after([*settled, OTHER]).language == "en"
    assert after([*settled, OTHER, SURE]).language == "en"
    assert after([*settled, OTHER, OTHER, OTHER]).language == "de"


def test_only_candidates_are_believed_under_the_names_they_were_declared_by() -> None:
    assert after([{"gl": 0.6, "es": 0.3, "en": 0.1}], ("en-GB", "es-MX")).language == "es-MX"


def test_an_engine_that_cannot_tell_leaves_the_first_candidate() -> None:
    assert after([{}], ("ca", "es")).language == "ca"
    assert after([{}]).language == ""
    assert after([SURE, {}]).language == "en"


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["en", "de", "es"]), st.floats(0.0, 1.0), min_size=1), min_size=1, max_size=12
    ),
    st.floats(0.1, 30.0),
)
def test_who_is_believed_was_heard_and_the_evidence_stays_small(
    phrases: list[dict[str, float]], seconds: float
) -> None:
    belief = after(phrases, seconds=seconds)
    assert belief.language in {"", *(name for chances in phrases for name in chances)}
    assert len(belief.evidence) <= 9
    assert Belief.model_validate_json(belief.model_dump_json()) == belief


@pytest.mark.parametrize(("seconds", "language"), [(0.3, "en"), (4.0, "de")])
def test_a_short_phrase_weighs_less(seconds: float, language: str) -> None:
    belief = after([SURE, SURE])
    for _ in range(2):
        belief = belief.after(OTHER, seconds, ())
    assert belief.language == language
