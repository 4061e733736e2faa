from hypothesis import given
from hypothesis import strategies as st

from services.clip.placement import common, place
from services.clip.story import Box, Sentence, Story, Word
from services.clip.subtitles import burnt, captions, columns, sidecar, wrapped

BASE = 10.0


def said(name: str, start: float, end: float, text: str, translation: str = "", speaker: int | None = 1) -> Story:
    words = text.split()
    step = (end - start) / max(1, len(words))
    heard = tuple(Word(word, start + step * n, start + step * (n + 1)) for n, word in enumerate(words))
    sentence = Sentence(start, end, text, "en", speaker, heard, {"es": translation} if translation else {})
    return Story(sentences={name: sentence})


def joined(*stories: Story) -> Story:
    return Story(sentences={name: each for story in stories for name, each in story.sentences.items()})


def test_the_original_appears_with_its_words_and_turns_into_the_translation() -> None:
    story = said("1", 12.0, 14.0, "the bridge is open", "el puente está abierto")
    drawn = burnt(story, "es", 1280, 720, BASE)
    first, *turning = drawn.events
    assert (first.start, first.end) == (2000, 4000)
    assert first.text.count("\\ko50") == 4
    assert "\\2a&HFF&" in first.text, "a word that is not spoken yet is not to be seen"
    assert turning[0].start == 4000
    assert [event.end for event in turning[:-1]] == [event.start for event in turning[1:]]
    assert turning[-1].plaintext.replace("\n", " ") == "el puente está abierto"
    assert len({event.text.split("}")[0].partition("\\2a")[0] for event in drawn.events}) == 1, "it stays where it is"


def test_a_language_that_is_spoken_is_not_translated() -> None:
    assert len(burnt(said("1", 12.0, 14.0, "good evening", "buenas noches"), "en", 640, 360, BASE).events) == 1


def test_text_cannot_command_the_renderer() -> None:
    drawn = burnt(said("1", 12.0, 14.0, "{\\an8} out"), "en", 640, 360, BASE)
    assert "{\\an8}" not in drawn.events[0].text


def test_a_caption_stands_beside_its_face_and_without_one_at_the_bottom() -> None:
    story = joined(said("1", 12.0, 14.0, "here I am"), said("2", 30.0, 32.0, "and I am nowhere"))
    face = Box(0.1, 0.3, 0.15, 0.25)
    story.shown, story.speaks = [(11.0, {4: face}), (20.0, {})], {"1": 4, "2": None}
    beside, below = (caption.box for caption in captions(story, "es", 1280, 720))
    assert beside.left >= face.left + face.width
    assert abs(beside.top + beside.height / 2 - (face.top + face.height * 0.75)) < 0.05
    assert below.top > 0.7
    assert abs(below.left + below.width / 2 - 0.5) < 0.01


def test_sidecars_have_the_sentences_at_their_times() -> None:
    story = joined(said("1", 12.0, 14.0, "good evening", "buenas noches"), said("2", 15.0, 16.0, "no translation"))
    assert [(event.start, event.plaintext) for event in sidecar(story, "es", BASE)] == [(2000, "buenas noches")]
    assert [event.plaintext for event in sidecar(story, "en", BASE)] == ["good evening", "no translation"]
    assert "00:00:02,000 --> 00:00:04,000" in sidecar(story, "es", BASE).to_string("srt")


texts = st.text(st.sampled_from("ab cdé жж عر 中文字あ "), max_size=120)


@given(texts, st.integers(4, 60))
def test_wrapping_keeps_every_letter_and_fits_where_words_do(text: str, most: int) -> None:
    lines = wrapped(text, most)
    assert "".join("".join(lines).split()) == "".join(text.split())
    longest = max((columns(word) for word in text.split() if columns(word) == len(word)), default=0)
    assert all(columns(line) <= max(most, longest) for line in lines)


boxes = st.builds(Box, st.floats(0, 0.8), st.floats(0, 0.8), st.floats(0.02, 0.2), st.floats(0.02, 0.2))


@given(st.one_of(st.none(), boxes), st.lists(boxes, max_size=9), st.floats(0.05, 0.9), st.floats(0.05, 0.6))
def test_captions_are_placed_inside_the_picture(
    face: Box | None, others: list[Box], width: float, height: float
) -> None:
    left, top = place(face, others, width, height)
    assert 0 <= left <= left + width <= 1
    assert 0 <= top <= top + height <= 1


@given(boxes, boxes)
def test_a_small_caption_hides_neither_its_face_nor_one_far_away(face: Box, other: Box) -> None:
    left, top = place(face, [other], 0.15, 0.08)
    own = Box(left, top, 0.15, 0.08)
    if abs(face.left - other.left) > 0.6:
        assert common(own, face) == 0
        assert common(own, other) == 0


lines = st.lists(
    st.tuples(st.floats(0, 60), st.floats(0.2, 6), st.text("ab ", min_size=1, max_size=80), st.booleans()), max_size=8
)


@given(lines, st.sampled_from([(1280, 720), (720, 1280), (320, 180), (3840, 2160)]))
def test_drawn_captions_stay_inside_and_end_after_they_begin(
    told: list[tuple[float, float, str, bool]], size: tuple[int, int]
) -> None:
    story = joined(
        *(
            said(str(n), BASE + at, BASE + at + long, text, text if both else "")
            for n, (at, long, text, both) in enumerate(told)
        )
    )
    for caption in captions(story, "es", *size):
        assert caption.until >= caption.sentence.end
        assert caption.box.left >= 0
        assert caption.box.left + caption.box.width <= 1.0001
    for event in burnt(story, "es", *size, BASE).events:
        assert event.end >= event.start >= 0
