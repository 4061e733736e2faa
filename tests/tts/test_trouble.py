"""What an operator is told, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tts.trouble import BIN, FAILURES, REST, Breaker, Loss, Losses, Need


def needed(*delays: float) -> Need:
    need = Need()
    for delay in delays:
        need.add(delay)
    return need


@given(st.lists(st.floats(0.0, 40.0), min_size=1, max_size=60))
def test_nearly_all_phrases_are_in_time_at_the_need_and_it_is_never_above_the_largest(delays: list[float]) -> None:
    found = needed(*delays).delay
    assert found <= max(delays) + BIN
    assert sum(delay <= found for delay in delays) >= 0.95 * len(delays) - 1


def test_a_delay_that_fits_is_not_spoken_of() -> None:
    assert needed(*[7.0] * 100).warning(8.0, 6.0) == ""


def test_a_delay_that_does_not_fit_is_told_once_with_its_remedies() -> None:
    need = needed(*[9.0] * 19)
    assert need.warning(8.0, 6.0) == ""
    need.add(9.6)
    warning = need.warning(8.0, 6.0)
    assert "8 s is too short" in warning
    assert "needs 10 s" in warning
    assert "utterances of at most 5 s" in warning
    need.add(9.6)
    assert need.warning(8.0, 6.0) == ""
    for _ in range(20):
        need.add(14.0)
    assert "needs 14.5 s" in need.warning(8.0, 6.0)


def test_a_need_of_long_ago_is_forgotten() -> None:
    need = needed(*[20.0] * 20, *[7.0] * 900)
    assert need.delay == 7.5


@pytest.mark.parametrize(
    ("lost", "of", "silent"), [(1, 4, False), (1, 5, False), (2, 5, True), (4, 20, False), (5, 20, True)]
)
def test_a_lane_that_loses_more_than_a_fifth_of_a_minute_falls_silent(lost: int, of: int, silent: bool) -> None:
    losses = Losses()
    told = [losses.add(2.0 * number, None if number < of - lost else "late") for number in range(of)]
    assert losses.silent == silent
    assert sum(map(bool, told)) == silent


def test_a_silent_lane_is_told_once_and_speaks_again_after_some_phrases_in_a_row() -> None:
    losses = Losses()
    told = [losses.add(float(at), "failed") for at in range(7)]
    assert [bool(text) for text in told] == [False] * 4 + [True] + [False] * 2
    assert "5 of the last 5 phrases" in told[4]
    pattern: list[Loss | None] = [None, None, "late", None, None, None]
    assert [losses.add(10.0 + at, lost) for at, lost in enumerate(pattern)][:-1] == [""] * 5
    assert not losses.silent
    assert losses.reason == "late"


def test_what_was_lost_before_a_lane_spoke_again_does_not_silence_it() -> None:
    losses = Losses(phrases=[(float(at), True) for at in range(5)], silent=True)
    told = [losses.add(5.0 + at, None) for at in range(6)]
    assert [bool(text) for text in told] == [False, False, True, False, False, False]
    assert not losses.add(12.0, "late")
    assert not losses.silent


def test_an_engine_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    breaker = Breaker()
    assert [breaker.add(float(at), failed=True) for at in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    last = FAILURES - 1.0
    assert not breaker.allows(last + REST - 1)
    assert breaker.allows(last + REST)
    assert breaker.add(last + REST, failed=True)
    assert not breaker.add(last + 2 * REST, failed=False)
    assert not breaker.add(last + 2 * REST, failed=True)
