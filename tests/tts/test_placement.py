from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.baselines import look_ahead
from loadtest.optimum import clairvoyant, convex_cost, linear_program, slope_trick
from loadtest.traces import full_only, hour
from services.tts.placement import (
    GAP,
    PRICES,
    Affine,
    Phrase,
    Placed,
    Planner,
    Policy,
    Prices,
    Track,
    commit,
    cost,
)
from services.tts.priors import FULL, SHORTER

lengths = st.tuples(st.floats(0.0, 4.0), st.floats(0.3, 9.0), st.floats(0.4, 2.2), st.none() | st.floats(0.5, 0.95))
policies = st.sampled_from([Planner(tail=SHORTER), Planner(tail=FULL), Affine()])


def programme(rows: Sequence[tuple[float, float, float, float | None]]) -> list[Phrase]:
    phrases, now = list[Phrase](), 10.0
    for pause, length, ratio, shorter in rows:
        start, speech = now + pause, ratio * length
        now = start + length
        phrases.append(Phrase(start, now, (speech,) if shorter is None else (speech, shorter * speech)))
    return phrases


def placed_in_steps(phrases: Sequence[Phrase], policy: Policy, heads: Sequence[float], delay: float) -> list[Placed]:
    track, clips, waiting, arrived = Track(), list[Placed](), list[Phrase](), 0
    for head in heads:
        while arrived < len(phrases) and phrases[arrived].end + 1 <= head:
            waiting.append(phrases[arrived])
            arrived += 1
        for clip in commit(list(waiting), track, head - delay, head - delay + 2, policy):
            waiting.pop(0)
            track = track.after(clip)
            clips.append(clip)
    return clips


@settings(deadline=None, max_examples=15)
@given(st.lists(lengths, min_size=1, max_size=25), policies, st.floats(4.0, 20.0))
def test_clips_never_overlap_never_precede_their_source_and_are_never_above_the_cap(
    rows: list[tuple[float, float, float, float | None]], policy: Policy, delay: float
) -> None:
    phrases = programme(rows)
    heads = [2.0 * k for k in range(int(phrases[-1].end + 100) // 2)]
    clips = placed_in_steps(phrases, policy, heads, delay)
    assert [clip.phrase for clip in clips] == phrases
    end = 0.0
    for clip in clips:
        assert clip.start >= clip.phrase.start
        assert clip.choice.rate <= 1.3
        if clip.choice.rate:
            assert clip.start >= end
            assert clip.drift <= PRICES.cap
            end = clip.start + clip.length + GAP - 1e-9


@settings(deadline=None, max_examples=12)
@given(st.lists(lengths, min_size=2, max_size=12), policies, st.data())
def test_a_commit_in_pieces_is_the_commit_at_once(
    rows: list[tuple[float, float, float, float | None]], policy: Policy, data: st.DataObject
) -> None:
    phrases = programme(rows)
    horizon = phrases[-1].end + 20
    whole = list(commit(phrases, Track(), 0.0, horizon, policy))
    cuts = sorted(data.draw(st.lists(st.floats(0.0, horizon), max_size=5)))
    track, pieces, waiting = Track(), list[Placed](), list(phrases)
    for edge in [*cuts, horizon]:
        for clip in commit(list(waiting), track, 0.0, edge, policy):
            waiting.pop(0)
            track = track.after(clip)
            pieces.append(clip)
    assert pieces == whole


@given(st.lists(lengths, min_size=1, max_size=8), st.floats(0.0, 60.0), st.floats(0.0, 10.0))
@settings(deadline=None, max_examples=12)
def test_nothing_starts_before_the_floor_or_at_the_horizon(
    rows: list[tuple[float, float, float, float | None]], floor: float, span: float
) -> None:
    for clip in commit(programme(rows), Track(), floor, floor + span, Planner(tail=FULL)):
        assert floor <= clip.start < floor + span


@settings(deadline=None, max_examples=12)
@given(st.lists(lengths, min_size=2, max_size=20))
def test_two_exact_solvers_agree_on_the_convex_part_and_no_policy_passes_them(
    rows: list[tuple[float, float, float, float | None]],
) -> None:
    phrases = full_only(programme(rows))
    exact = linear_program(phrases)
    assert slope_trick(phrases) == pytest.approx(exact, abs=1e-6)
    for clips in (clairvoyant(phrases, Prices(smooth=0.0)), look_ahead(phrases, Planner(tail=FULL), 9.0)):
        if all(clip.choice.rate for clip in clips):
            assert convex_cost(clips) >= exact - 1e-6


@pytest.mark.parametrize("scenario", ["iso", "calm"])
def test_the_planners_recursion_reaches_the_exact_optimum_of_the_convex_part_and_never_passes_it(scenario: str) -> None:
    phrases = full_only(hour(scenario, 3, seconds=250))
    exact = linear_program(phrases)
    clips = clairvoyant(phrases, Prices(smooth=0.0), step=0.1)
    assert exact - 1e-6 <= convex_cost(clips) <= 1.1 * exact
    for policy in (Planner(tail=FULL), Affine()):
        assert convex_cost(look_ahead(phrases, policy, 9.0)) >= exact - 1e-6


def test_the_planner_beats_the_affine_rule_and_is_near_the_optimum() -> None:
    phrases = hour("base", 1, seconds=500)
    planned = cost(look_ahead(phrases, Planner(tail=SHORTER), 9.0))
    assert planned < cost(look_ahead(phrases, Affine(), 0.0))
    assert planned < 1.4 * cost(clairvoyant(phrases, step=0.25))


def test_a_lag_costs_more_the_longer_it_is() -> None:
    for tail in (FULL, SHORTER):
        assert tail[0] == 0.0
        bearable = list(tail[:36])
        assert bearable == sorted(bearable)
        assert len(tail) == len(Planner().lags)


def test_speed_is_bought_before_the_drift_is_there() -> None:
    crowded = [Phrase(10.0 + 4 * k, 14.0 + 4 * k, (5.0,)) for k in range(6)]
    first = next(commit(crowded, Track(), 0.0, 12.0, Planner(tail=FULL)))
    assert first.drift == 0.0
    assert first.choice.rate > 1.0
