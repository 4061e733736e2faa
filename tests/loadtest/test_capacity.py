"""The arithmetic of capacity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.capacity import SPREAD, USABLE, Search, added, broken, replicas, trend

GOOD = {
    "delay_mean_s": 12.8,
    "delay_sd_s": 0.3,
    "delay_p99_s": 13.5,
    "holes": 0,
    "lost": 0,
    "doubled": 0,
    "unvoiced": 0.02,
}


@given(st.integers(1, 500), st.floats(0.001, 3), st.integers(1, 16))
def test_the_rule_leaves_a_replica_spare_and_wastes_none(streams: int, cost: float, workers: int) -> None:
    found = replicas(streams, cost, workers)
    assert (found - 1) * workers * USABLE >= streams * cost - 1e-6
    assert (found - 2) * workers * USABLE < streams * cost


def test_the_rule_says_what_the_documentation_says() -> None:
    assert replicas(10, 0.14, 1) == 3
    assert replicas(10, 0.7, 10) == 2
    assert replicas(11, 0.7, 10) == 3


@given(st.integers(0, 200), st.floats(0.1, 500), st.integers(1, 128))
def test_the_search_finds_the_largest_load_that_is_kept(largest: int, guess: float, most: int) -> None:
    search, tried = Search(most), 0
    while (load := search.next(guess)) is not None:
        assert 1 <= load <= most
        search.tell(load, load <= largest)
        tried += 1
    assert search.kept == min(largest, most)
    assert tried < 60


def test_a_good_guess_makes_the_search_short() -> None:
    search, loads = Search(48), []
    while (load := search.next(11.0)) is not None:
        loads.append(load)
        search.tell(load, load <= 10)
    assert search.kept == 10
    assert len(loads) <= 7


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("delay_sd_s", SPREAD + 0.1, "varies"),
        ("delay_p99_s", 17.0, "behind"),
        ("holes", 1, "holes"),
        ("lost", 2, "lost"),
        ("doubled", 1, "doubled"),
        ("unvoiced", 0.5, "clip"),
        ("utterances", 0, "understood"),
    ],
)
def test_each_term_of_the_contract_can_be_broken(key: str, value: float, says: str) -> None:
    assert broken(GOOD, 12.0, 2.0) == []
    [reason] = broken(GOOD | {key: value}, 12.0, 2.0)
    assert says in reason


def test_a_run_that_published_nothing_broke_the_contract() -> None:
    assert broken({"holes": 0}, 12.0, 2.0)


def test_the_cost_of_added_streams_is_that_of_the_lower_and_the_upper_half() -> None:
    found = added({1: 0.3, 9: 1.5, 4: 0.6, 2: 0.4, 8: 1.3})
    assert [load for load, _ in found] == [4, 9]
    assert [cost for _, cost in found] == pytest.approx([0.1, 0.18])
    assert added({1: 0.3, 2: 0.4}) == []


@given(st.floats(-100, 100), st.floats(-1000, 1000))
def test_a_straight_line_has_its_slope_and_no_error(slope: float, height: float) -> None:
    times = [0.0, 0.5, 1.0, 2.5]
    found, error = trend(times, [height + slope * time for time in times])
    assert found == pytest.approx(slope, abs=1e-6)
    assert error < 1e-6


def test_noise_has_a_trend_within_its_error() -> None:
    found, error = trend(list(range(100)), [(-1.0) ** number for number in range(100)])
    assert abs(found) < error
