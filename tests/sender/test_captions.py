import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.sender.captions import COLUMNS, LINES, LINGER, blocks_of, cues, webvtt

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=12), max_size=60)


@given(WORDS)
def test_no_word_is_lost_and_no_line_is_too_long(words: list[str]) -> None:
    blocks = blocks_of(" ".join(words))
    assert " ".join(blocks).split() == words
    for block in blocks:
        lines = block.split("\n")
        assert len(lines) <= LINES
        assert all(len(line) <= COLUMNS for line in lines)


@given(WORDS.filter(bool), st.floats(10, 100), st.floats(0.1, 12))
def test_the_cues_of_a_sentence_follow_each_other(words: list[str], start: float, length: float) -> None:
    made = cues("captions-en", start, start + length, " ".join(words))
    assert made[0].start == start
    assert made[-1].end == start + length + LINGER
    assert all(a.end == b.start for a, b in itertools.pairwise(made))
    assert all(cue.start < cue.end for cue in made)


def test_silence_has_no_cue() -> None:
    assert cues("captions-en", 10, 12, " ") == []
    assert webvtt([], 10, 12) == "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:90000\n"


def test_a_segment_has_the_cues_that_touch_it_with_their_whole_times() -> None:
    made = [cue for at in (8, 10, 12) for cue in cues("captions-en", at, at + 1.5, f"said at {at}", "Ada <Lovelace>")]
    text = webvtt(made, 10, 12)
    assert "said at 8" not in text
    assert "00:00:10.000 --> 00:00:12.000\n<v Ada &lt;Lovelace&gt;>said at 10\n" in text
    assert "said at 12" not in text


def test_markup_in_speech_is_text() -> None:
    text = webvtt(cues("captions-en", 10, 11, "a <b> & c --> d"), 10, 12)
    assert "a &lt;b&gt; &amp; c --&gt; d" in text
