from hypothesis import given
from hypothesis import strategies as st

from services.downloader.timeline import TOLERANCE, Timeline
from shared.audio import BASE, TICKS

steps = st.lists(
    st.tuples(
        st.integers(0, 2**33),
        st.integers(1, 10 * TICKS),
        st.booleans(),
        st.sampled_from([0, 0, 0, TICKS, 5 * TICKS]),
    ),
    min_size=1,
    max_size=30,
)


@given(steps)
def test_the_clock_never_goes_back_whatever_the_source_does(steps: list[tuple[int, int, bool, int]]) -> None:
    timeline, end = Timeline(), BASE
    for raw, duration, tagged, lost in steps:
        start, _ = timeline.place(raw, duration, tagged=tagged, lost=lost)
        assert start >= end
        end = start + duration


@given(steps)
def test_the_clock_is_the_sum_of_segments_and_gaps(steps: list[tuple[int, int, bool, int]]) -> None:
    timeline = Timeline()
    for raw, duration, tagged, lost in steps:
        timeline.place(raw, duration, tagged=tagged, lost=lost)
    whole = BASE + sum(duration + lost for _, duration, _, lost in steps)
    assert abs(timeline.next - whole) <= TOLERANCE * len(steps)


@given(st.integers(0, 2**33), st.lists(st.integers(1, 4 * TICKS), min_size=1, max_size=20))
def test_timestamps_that_join_keep_their_offset(raw: int, durations: list[int]) -> None:
    timeline = Timeline()
    for duration in durations:
        start, rebased = timeline.place(raw, duration)
        assert not rebased
        assert start - raw == timeline.offset
        raw += duration


@given(steps)
def test_a_stored_timeline_goes_on_as_it_would_have(steps: list[tuple[int, int, bool, int]]) -> None:
    kept, stored = Timeline(), Timeline()
    for raw, duration, tagged, lost in steps:
        stored = Timeline.model_validate_json(stored.model_dump_json())
        place = {"raw": raw, "duration": duration, "lost": lost}
        assert kept.place(**place, tagged=tagged) == stored.place(**place, tagged=tagged)


def test_a_jump_that_nobody_tagged_changes_the_offset() -> None:
    timeline = Timeline()
    timeline.place(1_000_000, 2 * TICKS)
    assert timeline.place(0, 2 * TICKS) == (BASE + 2 * TICKS, True)


def test_a_gap_moves_the_clock_by_its_length() -> None:
    timeline = Timeline()
    timeline.place(0, 2 * TICKS)
    assert timeline.place(8 * TICKS, 2 * TICKS, lost=6 * TICKS) == (BASE + 8 * TICKS, False)
