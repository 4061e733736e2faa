import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.sender.loudness import Loudness
from services.sender.mix import FADE, Duck, Span, Spoken, Stereo, gain, voice, voice_over
from shared.audio import VOICE
from tests.sender.source import tone

SECONDS = st.floats(0, 20).map(lambda time: round(time * VOICE))
DUCK = Duck()


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    made: list[Span] = []
    for start, length, notice in draw(st.lists(st.tuples(SECONDS, st.integers(1000, 3 * VOICE), SECONDS), max_size=5)):
        first = max(start, made[-1].end if made else 0)
        made.append(Span(first, first + length, min(first, notice)))
    return made


@given(spans(), st.integers(0, 20 * VOICE), st.integers(1, 5000), st.integers(1, 5000))
def test_a_window_has_the_same_gain_whichever_window_it_is_part_of(
    given: list[Span], start: int, before: int, length: int
) -> None:
    inner = gain(given, start, start + length, DUCK)
    outer = gain(given, start - before, start + length + before, DUCK)
    assert np.array_equal(inner, outer[before : before + length])


@given(spans(), st.integers(0, 20 * VOICE))
def test_clips_out_of_reach_change_nothing(given: list[Span], start: int) -> None:
    end = start + 4096
    near = [span for span in given if span.start < end + DUCK.reach and span.end > start - DUCK.reach]
    assert np.array_equal(gain(given, start, end, DUCK), gain(near, start, end, DUCK))


@given(spans(), st.integers(0, 20 * VOICE), st.integers(1000, VOICE))
def test_a_clip_changes_nothing_before_it_was_known(given: list[Span], known: int, length: int) -> None:
    first = max([known, *(span.end for span in given)])
    more = [*given, Span(first, first + length, known)]
    start = max(0, known - 4096)
    assert np.array_equal(gain(given, start, known, DUCK), gain(more, start, known, DUCK))


def test_the_original_is_down_when_the_voice_begins_and_back_after_it() -> None:
    level = gain([Span(VOICE, 2 * VOICE)], 0, 4 * VOICE, Duck(depth=-20))
    assert level[0] == 1
    assert np.allclose(level[VOICE : 2 * VOICE], 0.1)
    assert level[round(2.41 * VOICE)] == 1


@given(spans(), st.floats(0, 1), st.floats(0, 2), st.integers(0, 20 * VOICE))
def test_ramps_of_any_length_reach_the_depth_and_never_pass_it(
    given: list[Span], attack: float, release: float, start: int
) -> None:
    duck = Duck(depth=-20.0, attack=attack, release=release)
    level = gain(given, start, start + VOICE, duck)
    assert level.min() >= np.float32(0.1) - 1e-6
    assert level.max() <= 1
    for span in given:
        first = max(span.start - round(attack * VOICE), span.known) + round(attack * VOICE) + 1
        middle = level[max(0, first - start) : max(0, span.end - start)]
        assert np.allclose(middle, 0.1)


def test_speech_that_is_cut_fades_out_and_is_silent_behind() -> None:
    end = 2 * VOICE
    clip = Spoken(Span(0, 3 * VOICE), np.full(3 * VOICE, 0.5, np.float32), cut=end)
    heard = voice([clip], 0, 3 * VOICE)[0]
    assert np.all(heard[: end - FADE] == 0.5)
    assert np.all(np.diff(heard[end - FADE : end]) <= 0)
    assert np.all(heard[end:] == 0)


def test_a_short_pause_stays_ducked() -> None:
    level = gain([Span(0, VOICE), Span(round(1.7 * VOICE), 3 * VOICE)], VOICE, 2 * VOICE, DUCK)
    assert np.allclose(level, level[0])


def test_without_clips_the_mix_is_the_original_bit_for_bit() -> None:
    assert np.array_equal(voice_over(tone, [], 500, 9000, DUCK), tone(500, 9000))


def test_a_clip_is_heard_at_its_place_with_its_gain() -> None:
    clip = Spoken(Span(100, 150), np.full(50, 0.5, np.float32), 0.5)
    heard = voice([clip], 90, 200)
    assert np.flatnonzero(heard[0]).tolist() == list(range(10, 60))
    assert heard[1].max() == 0.25


def sound(level: float) -> Stereo:
    return np.full((2, VOICE), 10 ** (level / 20), np.float32)


def test_clips_become_as_loud_as_the_source_speaks() -> None:
    loudness = Loudness()
    assert loudness.gain == 1
    for _ in range(90):
        loudness.add(sound(-26))
    assert abs(20 * np.log10(loudness.gain) + 6) < 0.1
    loudness.add(np.zeros((2, VOICE), np.float32))
    assert abs(20 * np.log10(loudness.gain) + 6) < 0.1
