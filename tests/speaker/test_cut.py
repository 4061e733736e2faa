"""Cutting where the speaker changes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speaker.cut import Span, Vectors, changes, split, voiced
from shared.audio import EAR, Pcm
from shared.messages import Utterance, Word


def spoken(*texts: str, text: str = "") -> Utterance:
    words = tuple(Word(text=word, start=10 + at, end=10.8 + at) for at, word in enumerate(texts))
    return Utterance(
        stream="s",
        until=10.8 + len(texts),
        utterance="7",
        start=10.0,
        end=10.0 + len(texts),
        text=text or " ".join(texts),
        words=words,
        spoken="en",
    )


def two_voices(change: float) -> "type[Ear]":
    class Changing(Ear):
        at = change

    return Changing


class Ear:
    """Hears one voice before `at` and another behind it, in proportion."""

    at = 1e9

    def __call__(self, spans: Sequence[Span]) -> Vectors:
        shares = [min(1.0, max(0.0, (self.at - start) / (end - start))) for start, end in spans]
        vectors = np.array([(share, 1 - share) for share in shares], np.float32)
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def test_one_voice_is_not_cut() -> None:
    assert changes(8.0, Ear(), 0.55) == []


@pytest.mark.parametrize("change", [2.0, 3.2, 5.6])
def test_a_change_of_voice_is_found_where_it_is(change: float) -> None:
    assert changes(8.0, two_voices(change)(), 0.55) == pytest.approx([change])


def test_a_turn_of_less_than_its_shortest_length_is_not_cut_off() -> None:
    assert all(1.2 <= cut <= 8 - 1.2 + 1e-9 for cut in changes(8.0, two_voices(0.6)(), 0.55))


def test_three_turns_are_cut_twice() -> None:
    def hear(spans: Sequence[Span]) -> Vectors:
        turns = [(0.0, 3.2), (3.2, 6.4), (6.4, 9.6)]
        shares = [[max(0.0, min(end, b) - max(start, a)) for a, b in turns] for start, end in spans]
        vectors = np.array(shares, np.float32)
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    assert changes(9.6, hear, 0.55) == pytest.approx([3.2, 6.4])


def test_pauses_are_left_out_and_times_stay_those_of_the_sound() -> None:
    noise = np.random.default_rng(0)
    loud = noise.normal(0, 0.1, EAR).astype(np.float32)
    pcm: Pcm = np.concatenate([loud, np.zeros(EAR, np.float32), loud])
    speech = voiced(pcm)
    assert speech.duration == pytest.approx(2.0, abs=0.25)
    assert speech.original(speech.duration / 2) == pytest.approx(1.5, abs=0.1)
    assert speech.original(0.0) == pytest.approx(0.0, abs=0.05)


@given(st.integers(0, 3000))
def test_silence_of_any_length_has_no_voice(samples: int) -> None:
    assert voiced(np.zeros(samples, np.float32)).duration == 0


def test_a_cut_goes_to_the_nearest_word_boundary() -> None:
    first, second = split(spoken("one", "two", "three", "four"), [11.7])
    assert (first.utterance, first.text, second.utterance, second.text) == ("7.1", "one two", "7.2", "three four")
    assert (first.start, first.end, second.start, second.end) == (10.0, 11.8, 12.0, 14.0)


def test_casing_and_punctuation_go_with_their_words() -> None:
    pieces = split(spoken("yes", "sir", "no", "way", text="Yes, sir. No way!"), [11.9])
    assert [piece.text for piece in pieces] == ["Yes, sir.", "No way!"]


def test_an_utterance_that_is_not_cut_keeps_its_name() -> None:
    whole = spoken("one", "two")
    assert split(whole, []) == [whole]


def test_an_utterance_of_one_word_is_never_cut() -> None:
    whole = spoken("one")
    assert split(whole, [10.4]) == [whole]


@given(st.integers(1, 12), st.lists(st.floats(5, 30), max_size=6))
def test_no_word_is_lost_doubled_or_moved(count: int, times: list[float]) -> None:
    whole = spoken(*(f"w{at}" for at in range(count)))
    pieces = split(whole, times)
    assert [word for piece in pieces for word in piece.words] == list(whole.words)
    assert " ".join(piece.text for piece in pieces) == whole.text


@given(st.integers(1, 12), st.lists(st.floats(5, 30), max_size=6))
def test_a_piece_promises_nothing_that_the_next_one_breaks(count: int, times: list[float]) -> None:
    pieces = split(spoken(*(f"w{at}" for at in range(count))), times)
    untils = [piece.until for piece in pieces]
    assert untils == sorted(untils)
    assert all(piece.until <= behind.start for piece, behind in pairwise(pieces))
