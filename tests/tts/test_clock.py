from hypothesis import given, settings
from hypothesis import strategies as st

from services.tts.clock import Clock


def fed(count: int, segment: float = 2.0, start: float = 10.0) -> Clock:
    clock = Clock()
    for k in range(count):
        clock = clock.grown(start + k * segment, start + (k + 1) * segment, segment).moved(start + (k + 1) * segment)
    return clock


def test_the_floor_is_the_last_edge_that_the_head_left_a_delay_behind() -> None:
    clock = fed(10).moved(30.9).sealed(8.0, 2.0)
    assert clock.floor == 22.0
    assert clock.horizon(8.0, 2.0) == 24.0


def test_the_horizon_is_one_segment_further() -> None:
    clock = fed(5, segment=6.0).sealed(12.0, 6.0)
    assert (clock.floor, clock.horizon(12.0, 6.0)) == (28.0, 34.0)


def test_a_hole_has_an_edge_every_target_duration() -> None:
    clock = fed(5).moved(47.0).sealed(12.0, 2.0)
    assert clock.floor == 34.0


def test_a_segment_behind_a_hole_starts_and_ends_an_edge() -> None:
    clock = fed(2).grown(19.0, 21.0, 2.0)
    assert clock.edges == (10.0, 12.0, 14.0, 16.0, 18.0, 19.0, 21.0)


def test_a_lane_that_is_added_later_starts_at_the_floor_of_the_others() -> None:
    clock = fed(1, start=100.0).sealed(12.0, 2.0)
    assert clock.floor == 90.0


def test_edges_below_the_floor_are_forgotten() -> None:
    assert len(fed(500).sealed(12.0, 2.0).edges) <= 8


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.5, 7.0)), min_size=1, max_size=30), st.floats(2.0, 30.0))
def test_the_floor_never_goes_back_and_never_passes_head_minus_delay(
    steps: list[tuple[float, float]], delay: float
) -> None:
    clock, now, floor = Clock(), 10.0, 0.0
    for hole, length in steps:
        clock = clock.grown(now + hole, now + hole + length, 7.0).moved(now + hole + length).sealed(delay, 7.0)
        now += hole + length
        assert floor <= clock.floor <= max(floor, now - delay + 1e-5, 0.0)
        assert clock.floor <= clock.horizon(delay, 7.0)
        floor = clock.floor
