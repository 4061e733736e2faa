from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from services.faces.ledger import KEPT, Ledger, Look

STILL, TALKS = 0.004, 0.3


def ledger(*looks: Mapping[int, float | None]) -> Ledger:
    """Two looks a second from 0 on."""
    found = Ledger()
    for number, moved in enumerate(looks):
        found.look(Look(number / 2, dict(moved)))
    return found


def test_the_face_whose_mouth_moves_speaks() -> None:
    found = ledger(*[{1: STILL, 2: TALKS}] * 4, *[{1: TALKS, 2: STILL}] * 4)
    assert found.speaks(1, 0.0, 1.6) == 2
    assert found.speaks(2, 2.1, 3.6) == 1


def test_a_poster_never_speaks() -> None:
    found = ledger(*[{1: 0.0}] * 20)
    assert [found.speaks(1, start, start + 2) for start in (0, 2, 4, 6)] == [None] * 4


def test_nobody_speaks_where_nobody_is_seen() -> None:
    assert Ledger().speaks(1, 0.0, 2.0) is None
    assert ledger({}, {}, {}).speaks(1, 0.0, 1.0) is None


def test_a_still_mouth_is_believed_to_speak_with_no_voice_that_is_anothers() -> None:
    found = ledger(*[{1: TALKS}] * 10, *[{2: STILL}] * 4)
    found.speaks(7, 0.0, 4.9)
    assert found.speaks(7, 5.1, 6.5) is None


def test_history_decides_where_no_mouth_can_be_seen() -> None:
    found = ledger(*[{1: None}] * 6, *[{2: None}] * 6, *[{1: None, 2: None}] * 6)
    assert found.speaks(1, 0.0, 2.4) == 1
    assert found.speaks(2, 3.1, 5.4) == 2
    assert found.speaks(1, 6.1, 8.4) == 1
    assert found.speaks(2, 6.1, 8.4) == 2


def test_a_mouth_that_is_hardly_seen_is_helped_by_history() -> None:
    found = ledger(*[{1: TALKS, 2: STILL}] * 10, *[{1: 0.035, 2: 0.033}] * 4)
    assert found.speaks(1, 0.0, 4.9) == 1
    assert found.speaks(1, 5.0, 6.6) == 1


def test_looks_are_forgotten() -> None:
    found = ledger(*[{1: TALKS}] * 1000)
    assert len(found.looks) <= KEPT * 2 + 1
    assert len(found.model_dump_json()) < 6000


looks = st.lists(st.dictionaries(st.integers(1, 4), st.one_of(st.none(), st.floats(0, 2)), max_size=4), max_size=20)


@given(looks, st.lists(st.tuples(st.integers(1, 3), st.floats(0, 10), st.floats(0.1, 5)), max_size=8))
def test_who_speaks_was_on_the_picture(
    seen: list[dict[int, float | None]], said: list[tuple[int, float, float]]
) -> None:
    found = ledger(*seen)
    for speaker, start, length in said:
        who = found.speaks(speaker, start, start + length)
        during = [look for number, look in enumerate(seen) if start - 0.1 <= number / 2 <= start + length + 0.1]
        assert who is None or any(who in look for look in during)
        assert all(0 <= found.together(speaker, person) <= 1.0001 for person in range(1, 5))
        found = Ledger.model_validate_json(found.model_dump_json())
