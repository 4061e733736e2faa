"""A playlist is asked for once a segment, soon after the segment has appeared."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from services.downloader.reloads import Reloads

TARGET = 2.0


def lateness(appears: Callable[[int], float], segments: int, joined: float) -> tuple[list[float], int]:
    """How long after its appearance each segment is seen, and the number of requests."""
    reloads, now, seen, requests, late = Reloads(), joined, 0, 0, list[float]()
    while appears(seen) <= now:
        seen += 1
    now = reloads.next(now, [TARGET] * min(3, seen), TARGET)
    while seen < segments:
        requests += 1
        fresh = []
        while appears(seen) <= now:
            late.append(now - appears(seen))
            fresh.append(TARGET)
            seen += 1
        now = reloads.next(now, fresh, TARGET)
    return late, requests


@given(st.floats(20, 22))
def test_a_steady_source_is_read_within_a_seventh_of_a_segment(joined: float) -> None:
    late, requests = lateness(lambda n: n * TARGET, 60, joined)
    assert max(late[8:]) <= 0.15 * TARGET
    assert max(late) <= TARGET
    assert requests <= len(late) + 6


@given(st.floats(20, 22), st.lists(st.floats(0, 0.3), min_size=80, max_size=80))
def test_an_uneven_source_is_read_at_its_late_side(joined: float, uneven: list[float]) -> None:
    late, requests = lateness(lambda n: n * TARGET + uneven[n % 80], 80, joined)
    assert max(late) <= TARGET
    assert requests <= 1.4 * len(late) + 6


def test_a_source_that_is_late_once_is_found_again() -> None:
    late, _ = lateness(lambda n: n * TARGET + (7.3 if n >= 40 else 0.0), 90, 20.7)
    assert max(late[-20:]) <= TARGET / 4


def test_a_request_in_vain_is_repeated_after_half_a_segment() -> None:
    reloads = Reloads()
    asked = reloads.next(10.0, [TARGET], TARGET)
    assert 10.0 < asked < 12.0
    assert reloads.next(asked, [], TARGET) == asked + TARGET / 2
    assert reloads.next(asked + 1, [], TARGET) == asked + 2


@given(st.floats(20, 22), st.floats(0.3, 8))
def test_who_takes_over_asks_when_the_one_before_would_have(joined: float, gone: float) -> None:
    before, now, seen, due = Reloads(), joined, 10, None
    for _ in range(20):
        fresh = [TARGET] * (int(now / TARGET) - seen)
        # What is kept with a segment is what was known before it came.
        due, seen = (before.due, seen + len(fresh)) if fresh else (due, seen)
        died, now = now, before.next(now, fresh, TARGET)
    assert due
    after, now, late = Reloads((due[0] + TARGET, due[1] + TARGET)), died + gone, list[float]()
    for _ in range(8):
        fresh = [TARGET] * (int(now / TARGET) - seen)
        seen += len(fresh)
        late += [now - seen * TARGET] if fresh else []
        now = after.next(now, fresh, TARGET)
    assert max(late[1:]) <= 0.2 * TARGET


def test_a_phase_that_is_no_longer_true_is_found_anew() -> None:
    reloads, late, seen = Reloads((100.0, 100.1)), list[float](), 51
    now = 103.5
    while seen < 70:
        fresh = [TARGET] * (int((now - 1.0) / TARGET) + 1 - seen)
        late += [now - 1.0 - (seen + len(fresh) - 1) * TARGET] if fresh else []
        seen, now = seen + len(fresh), reloads.next(now, fresh, TARGET)
    assert max(late[-5:]) <= TARGET / 4
