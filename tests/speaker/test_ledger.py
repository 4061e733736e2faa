"""Who speaks, with history."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speaker.ledger import MOST, Ledger, Vector, merged

SAME = 0.73


def voice(axis: int, size: int = 256) -> Vector:
    unit: Vector = np.eye(size, dtype=np.float32)[axis]
    return unit


def test_each_new_voice_is_a_new_speaker_and_comes_back_as_the_same() -> None:
    ledger = Ledger()
    assert [ledger.who(voice(axis), 2.0, SAME) for axis in (0, 1, 0, 2, 1)] == [1, 2, 1, 3, 2]


def test_under_a_second_founds_nothing_and_changes_nothing() -> None:
    ledger = Ledger()
    ledger.who(voice(0), 2.0, SAME)
    before = ledger.model_dump_json()
    assert ledger.who(voice(1), 0.9, SAME) == 1
    assert ledger.model_dump_json() == before


def test_what_is_too_short_to_hear_belongs_to_whoever_spoke_before() -> None:
    ledger = Ledger()
    for axis in (0, 1):
        ledger.who(voice(axis), 2.0, SAME)
    assert ledger.who(voice(0), 0.3, SAME) == 2
    assert ledger.who(None, 0.0, SAME) == 2


def test_before_anybody_has_been_heard_nobody_speaks() -> None:
    assert Ledger().who(voice(0), 0.9, SAME) is None


def test_there_are_never_more_speakers_than_fit() -> None:
    ledger = Ledger()
    for axis in range(MOST + 10):
        ledger.who(voice(axis), 2.0, SAME)
    assert len(ledger.known) == MOST
    assert len(ledger.model_dump_json()) < 20_000


def test_long_pieces_weigh_more_than_short_ones() -> None:
    ledger = Ledger()
    near = (voice(0) + 0.5 * voice(1)) / np.linalg.norm(voice(0) + 0.5 * voice(1))
    ledger.who(voice(0), 9.0, SAME)
    ledger.who(near.astype(np.float32), 1.0, SAME)
    expected = 0.9 * voice(0) + 0.1 * near
    assert ledger.known[0].vector == pytest.approx(expected, abs=1e-3)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 8.0)), max_size=30))
def test_a_ledger_that_was_stored_between_pieces_decides_the_same(pieces: list[tuple[int, float]]) -> None:
    kept, stored = Ledger(), Ledger()
    for axis, seconds in pieces:
        stored = Ledger.model_validate_json(stored.model_dump_json())
        assert kept.who(voice(axis), seconds, SAME) == stored.who(voice(axis), seconds, SAME)


def test_one_doubtful_utterance_does_not_change_a_voice() -> None:
    ledger = Ledger()
    speaker = ledger.who(voice(0), 3.0, SAME)
    assert [ledger.gender(speaker, log_odds, 3.0) for log_odds in (4.0, 3.0, -1.0, -2.0)] == ["f"] * 4


def test_clear_evidence_outweighs_any_history() -> None:
    ledger = Ledger()
    speaker = ledger.who(voice(0), 3.0, SAME)
    for _ in range(50):
        ledger.gender(speaker, 6.0, 3.0)
    assert ledger.gender(speaker, -6.0, 3.0) == "m"


def test_without_evidence_a_speaker_keeps_the_gender() -> None:
    ledger = Ledger()
    speaker = ledger.who(voice(0), 3.0, SAME)
    assert ledger.gender(speaker, None, 3.0) is None
    ledger.gender(speaker, -4.0, 3.0)
    assert ledger.gender(speaker, None, 3.0) == "m"


@given(st.lists(st.floats(-6, 6), min_size=1, max_size=40))
def test_genders_mirror_when_the_evidence_does(evidence: list[float]) -> None:
    said, mirrored = Ledger(), Ledger()
    for ledger in (said, mirrored):
        ledger.who(voice(0), 3.0, SAME)
    for log_odds in evidence:
        if abs(log_odds) > 1e-6:
            pair = {said.gender(1, log_odds, 3.0), mirrored.gender(1, -log_odds, 3.0)}
            assert pair == {"f", "m"}


def simulated(wrong: float, seed: int) -> tuple[int, int]:
    """Errors of an utterance alone and with history: four speakers, so many utterances at the wrong one."""
    rng = np.random.default_rng(seed)
    ledger = Ledger()
    for axis in range(4):
        ledger.who(voice(axis), 2.0, SAME)
    truth = rng.choice([-1, 1], 4)
    own = rng.normal(0, np.sqrt(0.5), 4)
    alone = told = 0
    for speaker in rng.permutation(np.repeat(np.arange(4), 12)):
        score = 1.555 * truth[speaker] + own[speaker] + rng.normal(0, np.sqrt(0.5))
        log_odds = float(np.clip(2 * 1.555 * score, -6, 6))
        slot = int(rng.integers(4)) if rng.random() < wrong else int(speaker)
        right = "f" if truth[speaker] > 0 else "m"
        alone += (log_odds > 0) != (truth[speaker] > 0)
        told += ledger.gender(slot + 1, log_odds, 2.0) != right
    return alone, told


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.2])
def test_history_is_better_than_none_even_where_speakers_are_confused(wrong: float) -> None:
    alone, told = np.sum([simulated(wrong, seed) for seed in range(60)], axis=0)
    assert told < alone


def test_merges_are_followed_to_their_end_and_circles_do_not_hang() -> None:
    assert merged(3, {"3": "2", "2": "1"}) == 1
    assert merged(4, {"3": "2"}) == 4
    assert merged(None, {"3": "2"}) is None
    assert merged(1, {"1": "2", "2": "1"}) in (1, 2)
