"""Commit policies."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.asr.engines import Word
from services.asr.recognition import STEP, CloseAtPause, Pauses, Phrase, agreement, look_ahead, without_seam

SPEECH = st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), max_size=600)
FEW = settings(max_examples=40, deadline=None)
RUNS = st.lists(st.tuples(st.sampled_from([0.0, 0.4, 1.0]), st.integers(1, 90)), max_size=12).map(
    lambda runs: [chance for chance, count in runs for _ in range(count)]
)


def said(text: str, start: float = 0.0) -> list[Word]:
    return [Word(word, start + number * 0.3, start + number * 0.3 + 0.25) for number, word in enumerate(text.split())]


def close_all(speech: list[float]) -> list[Phrase]:
    policy, state = CloseAtPause(), Pauses()
    return policy.push(state, speech) + policy.flush(state)


def test_a_phrase_opens_with_what_stands_before_it_and_closes_at_a_pause() -> None:
    (phrase,) = close_all([0.0] * 20 + [1.0] * 30 + [0.0] * 20)
    assert (phrase.start, phrase.end) == (20 - 9, 20 + 30 + 10)
    assert phrase.spoken


def test_a_click_is_no_phrase_worth_decoding() -> None:
    (phrase,) = close_all([1.0] * 4 + [0.0] * 20)
    assert not phrase.spoken


def test_a_long_phrase_closes_at_a_shorter_pause_and_at_last_at_none() -> None:
    (first, second) = close_all([1.0] * 130 + [0.0] * 5 + [1.0] * 20)
    assert first.end == 130 + 4
    assert second.start == first.end + 1 - 1
    endless = close_all([1.0] * 400)
    assert max(phrase.end - phrase.start for phrase in endless) * STEP <= 6.0 + STEP


@FEW
@given(st.one_of(SPEECH, RUNS), st.lists(st.integers(0, 600), max_size=8))
def test_the_outcome_does_not_depend_on_how_sound_is_cut_into_chunks(speech: list[float], cuts: list[int]) -> None:
    policy, state = CloseAtPause(), Pauses()
    places = sorted({0, len(speech), *(cut for cut in cuts if cut < len(speech))})
    phrases = []
    for start, end in pairwise(places):
        phrases += policy.push(state, speech[start:end])
        state = Pauses.model_validate_json(state.model_dump_json())
    assert phrases + policy.flush(state) == close_all(speech)


@FEW
@given(st.one_of(SPEECH, RUNS))
def test_phrases_never_overlap_and_none_starts_before_what_was_settled(speech: list[float]) -> None:
    policy, state, end, settled = CloseAtPause(), Pauses(), 0, 0
    for chance in speech:
        for phrase in policy.push(state, [chance]):
            assert phrase.start >= max(end, settled)
            end = phrase.end
        assert policy.settled(state) >= settled
        settled = policy.settled(state)


@FEW
@given(RUNS)
def test_every_window_of_speech_is_in_a_phrase(speech: list[float]) -> None:
    phrases = close_all(speech)
    held = {window for phrase in phrases for window in range(phrase.start, phrase.end)}
    assert all(window in held for window, chance in enumerate(speech) if chance > 0.5)


@FEW
@given(st.one_of(SPEECH, RUNS))
def test_no_phrase_is_longer_than_half_as_much_again(speech: list[float]) -> None:
    assert all((phrase.end - phrase.start) * STEP <= 6.0 + STEP for phrase in close_all(speech))


def test_look_ahead_keeps_what_has_too_little_sound_behind_it() -> None:
    words = said("one two three four")
    assert look_ahead(words, head=1.6, committed=0.0, context=1.0) == words[:2]
    assert look_ahead(words, head=1.6, committed=words[0].end, context=1.0) == words[1:2]


def test_agreement_commits_the_common_prefix() -> None:
    assert agreement(said("a b c"), said("a b d e"), head=1.2, committed=0.0) == said("a b d e")[:2]


def test_agreement_commits_what_is_overdue_without_a_second_opinion() -> None:
    assert agreement([], said("a b c"), head=3.4, committed=0.0, deadline=3.0) == said("a b c")[:1]


def test_agreement_says_nothing_twice() -> None:
    words = said("a b c d")
    assert agreement(words, words, head=1.5, committed=words[1].end) == words[2:]


def test_a_repeated_seam_is_dropped() -> None:
    assert without_seam(said("b c d", start=0.3), said("a b c")) == said("b c d", start=0.3)[2:]


def test_a_word_that_is_said_again_later_stays() -> None:
    again = said("c d", start=5.0)
    assert without_seam(again, said("a b c")) == again


@FEW
@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_hypotheses_that_only_grow_are_committed_without_loss_or_double(texts: list[str]) -> None:
    words = said(" ".join(texts))
    committed: list[Word] = []
    before: list[Word] = []
    for count in range(len(words) + 1):
        now = words[:count]
        end = committed[-1].end if committed else 0.0
        committed += agreement(before, now, head=count * 0.3, committed=end)
        before = now
    end = committed[-1].end if committed else 0.0
    committed += agreement(before, words, head=99.0, committed=end)
    assert committed == words


@pytest.mark.parametrize(
    ("marks", "spoken"),
    [("1111", False), ("11111", True), ("1" + "000" * 9 + "11" + "000" * 3 + "11", False), ("10" * 9 + "222", True)],
)
def test_a_phrase_is_spoken_where_speech_is_sure_or_dense(marks: str, spoken: bool) -> None:
    assert Phrase(0, "000" + marks + "000").spoken is spoken
