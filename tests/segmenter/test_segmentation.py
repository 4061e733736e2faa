"""Wait or cut."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.segmentation import Open, Rule, Segmenter, rule
from shared.messages import Word

FEW = settings(max_examples=40, deadline=None)
SPEECH = st.lists(
    st.tuples(st.sampled_from(["and", "end", "the", "maybe"]), st.floats(0.05, 1.5), st.floats(0, 1.0)), max_size=40
)


class Marks:
    """A sentence ends after `end`, perhaps after `maybe`."""

    def load(self) -> None: ...

    def ends(self, words: Sequence[str], pauses: Sequence[float]) -> list[float]:
        return [{"end": 0.95, "maybe": 0.5}.get(word, 0.05) for word in words]

    def restore(self, words: Sequence[str]) -> str:
        return " ".join(words)


def spoken(words: Iterable[tuple[str, float, float]]) -> list[Word]:
    said, at = [], 10.0
    for text, length, pause in words:
        said.append(Word(text=text, start=at, end=at + length))
        at += length + pause
    return said


def say(text: str, length: float = 0.3) -> list[Word]:
    return spoken((word, length, 0.0) for word in text.split())


def cut(words: Sequence[Word], law: Rule) -> list[str]:
    segmenter, state = Segmenter(Marks()), Open()
    sentences = [*segmenter.push(state, words, "en", law), *segmenter.flush(state)]
    return [" ".join(word.text for word in sentence) for sentence in sentences]


def test_a_sure_end_cuts() -> None:
    assert cut(say("a b c d end f g h i"), Rule()) == ["a b c d end", "f g h i"]


def test_a_short_piece_waits() -> None:
    assert cut(say("a end c d e f g h"), Rule()) == ["a end", "c d e f g h"]
    assert cut(say("a end c"), Rule()) == ["a end c"]


def test_an_old_sentence_takes_what_a_young_one_does_not() -> None:
    assert cut(say("a b maybe d e f g h"), Rule(longest=30)) == ["a b maybe d e f g h"]
    assert cut(say("a b c d e f maybe h"), Rule(longest=3.2)) == ["a b c d e f maybe", "h"]


def test_evidence_is_waited_for_where_the_rule_says_so() -> None:
    law = Rule(shortest=0.0, behind=2)
    assert cut(say("a b end c d e"), law) == ["a b end", "c d e"]
    segmenter, state = Segmenter(Marks()), Open()
    assert not list(segmenter.push(state, say("a b end c"), "en", law))


def test_silence_cuts() -> None:
    assert cut(spoken([("a", 0.3, 0.7), ("b", 0.3, 0.5), ("c", 0.3, 0.0)]), Rule()) == ["a", "b c"]


def test_silence_is_known_before_the_next_word() -> None:
    segmenter, state, law = Segmenter(Marks()), Open(), Rule()
    (word,) = say("a")
    assert list(segmenter.push(state, [word], "en", law)) == []
    assert list(segmenter.silence(state, word.end + 0.5, law)) == []
    assert list(segmenter.silence(state, word.end + 0.61, law)) == [(word,)]


def test_words_of_two_languages_are_never_joined() -> None:
    segmenter, state, law = Segmenter(Marks()), Open(), Rule()
    first, second = say("a b")
    assert list(segmenter.push(state, [first], "en", law)) == []
    assert list(segmenter.push(state, [second], "es", law)) == [(first,)]


def test_a_patient_profile_waits_longer() -> None:
    assert rule(12.0).pause == pytest.approx(0.9)
    assert rule(12.0).threshold(12.0) == 0.5
    assert rule(8.0).threshold(8.0) == 0.25


@FEW
@given(st.floats(4.5, 16), st.floats(0, 20), st.floats(0, 20))
def test_the_threshold_only_falls(longest: float, one: float, other: float) -> None:
    law = rule(longest)
    assert law.threshold(min(one, other)) >= law.threshold(max(one, other))


@FEW
@given(SPEECH, st.floats(4.5, 14))
def test_no_word_is_lost_doubled_or_moved(words: list[tuple[str, float, float]], longest: float) -> None:
    assert " ".join(cut(spoken(words), rule(longest))).split() == [text for text, _, _ in words]


@FEW
@given(SPEECH, st.floats(4.5, 14))
def test_the_longest_sentence_is_never_exceeded(words: list[tuple[str, float, float]], longest: float) -> None:
    segmenter, state, law = Segmenter(Marks()), Open(), rule(longest)
    for sentence in [*segmenter.push(state, spoken(words), "en", law), *segmenter.flush(state)]:
        assert sentence[-1].end - sentence[0].start <= longest


@FEW
@given(SPEECH, st.sets(st.integers(0, 40), max_size=6))
def test_the_outcome_does_not_depend_on_how_words_are_cut_into_messages(
    words: list[tuple[str, float, float]], cuts: set[int]
) -> None:
    segmenter, state, said, law = Segmenter(Marks()), Open(), spoken(words), rule(6.0)
    places = sorted({0, len(said), *(place for place in cuts if place < len(said))})
    sentences: list[tuple[Word, ...]] = []
    for start, end in pairwise(places):
        sentences += segmenter.push(state, said[start:end], "en", law)
        if end < len(said):
            sentences += segmenter.silence(state, said[end].start, law)
        state = Open.model_validate_json(state.model_dump_json())
    sentences += segmenter.flush(state)
    assert [" ".join(word.text for word in sentence) for sentence in sentences] == cut(said, law)
