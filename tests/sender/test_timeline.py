import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.sender.timeline import DRIFT, SLACK, Due, Timeline
from shared.audio import BASE, TICKS, VOICE
from shared.messages import Clip, MediaSegment, Track

DELAY = 4.0


def media(start: int, duration: int, format: int = 0) -> MediaSegment:
    track = Track(
        codec="avc1.42c00a", init=f"s/init-{format}.mp4", media=f"s/v-{start}.m4s", timescale=TICKS, width=160
    )
    return MediaSegment(
        stream="s",
        until=0.0,
        start=start,
        duration=duration,
        video=track,
        audio=None,
        date=1_700_000_000 + (start - BASE) / TICKS,
        captured_at=0.0,
    )


def spoken(start: float, duration: float = 1.0, utterance: str = "1") -> Clip:
    return Clip(
        stream="s",
        until=0.0,
        language="es",
        utterance=utterance,
        start=start,
        duration=duration,
        rate=1.0,
        wording=0,
        voice="v",
        audio="s/clip",
    )


def sealing(timeline: Timeline, languages: tuple[str, ...] = (), live: bool = True) -> list[Due]:
    made = []
    while due := timeline.due(timeline.limit(live, DELAY, languages)):
        made.append(due)
        timeline.publish(due)
    return made


@st.composite
def captures(draw: st.DrawFn) -> list[tuple[MediaSegment, float]]:
    """Segments with holes, some of them late, each with the head at which it arrives."""
    made, start = [], BASE
    for length, hole, wait, format in draw(
        st.lists(
            st.tuples(
                st.integers(TICKS, 3 * TICKS),
                st.sampled_from([0, 0, 0, 900, TICKS, 7 * TICKS]),
                st.sampled_from([0.0, 0.0, 3.0, 9.0]),
                st.sampled_from([0, 0, 0, 1]),
            ),
            min_size=1,
            max_size=15,
        )
    ):
        made.append((media(start, length, format), (start + length) / TICKS + wait))
        start += length + hole
    return made


@given(captures())
def test_published_segments_tile_the_clock_and_never_pass_the_seal(given: list[tuple[MediaSegment, float]]) -> None:
    timeline, published = Timeline(), list[Due]()
    for segment, head in given:
        timeline.capture(segment)
        timeline.move(head, False)
        new = sealing(timeline)
        assert all(due.end <= round((timeline.head - DELAY) * TICKS) for due in new)
        published += new
    timeline.move(0.0, True)
    published += sealing(timeline)
    at = BASE
    for number, due in enumerate(published):
        assert (due.number, due.start) == (number, at)
        assert due.end - due.start > 0
        assert abs(due.date - (1_700_000_000 + (due.start - BASE) / TICKS)) < 0.001
        if due.piece:
            assert abs(due.piece.start - due.start) <= SLACK
        at = due.end
    shown = sum(due.piece is not None for due in published)
    assert shown + timeline.late == len(given)
    for before, after in itertools.pairwise(published):
        if (before.piece is None) != (after.piece is None):
            assert after.discontinuity


@given(st.lists(st.tuples(st.floats(10, 40), st.floats(0.1, 4), st.floats(0, 60)), max_size=12))
def test_clips_never_overlap_nor_start_before_the_seal(given: list[tuple[float, float, float]]) -> None:
    timeline, heard = Timeline(), []
    timeline.capture(media(BASE, 2 * TICKS))
    for start, duration, head in given:
        timeline.move(head, False)
        sealing(timeline)
        clip = timeline.place(spoken(start, duration), 1.0)
        if clip:
            assert clip.start >= round(start * VOICE)
            assert clip.start * TICKS >= (timeline.sealed or 0) * VOICE
            assert clip.start / VOICE - start <= DRIFT
            heard.append(clip)
    assert all(a.end <= b.start for a, b in itertools.pairwise(heard))
    assert timeline.dropped == len(given) - len(heard)


def test_the_state_survives_its_json_at_any_point() -> None:
    timeline = Timeline()
    for index in range(6):
        timeline.capture(media(BASE + index * 2 * TICKS, 2 * TICKS))
        timeline.move(12.0 + 2 * index, False)
        again = Timeline.model_validate_json(timeline.model_dump_json())
        assert sealing(again) == sealing(timeline)


def test_a_change_of_codec_is_a_discontinuity_and_a_change_of_clock_is_none() -> None:
    timeline = Timeline()
    for index, format in enumerate((0, 0, 1, 0)):
        segment = media(BASE + index * 2 * TICKS, 2 * TICKS, format)
        timeline.capture(segment.model_copy(update={"rebased": index == 1}))
    timeline.move(30.0, False)
    assert [due.discontinuity for due in sealing(timeline)[:4]] == [False, False, True, True]


def test_a_hole_waits_for_its_media_until_the_seal_must_pass() -> None:
    timeline = Timeline()
    timeline.capture(media(BASE, 2 * TICKS))
    timeline.capture(media(BASE + 4 * TICKS, 2 * TICKS))
    timeline.move(17.9, False)
    assert len(sealing(timeline)) == 1
    timeline.capture(media(BASE + 2 * TICKS, 2 * TICKS))
    timeline.move(20.0, False)
    assert all(due.piece for due in sealing(timeline))


def test_a_file_waits_for_every_language_and_not_for_the_head() -> None:
    timeline, languages = Timeline(), ("es", "ca")
    timeline.capture(media(BASE, 2 * TICKS))
    timeline.move(100.0, False)
    timeline.promise("es", 50.0)
    assert sealing(timeline, languages, live=False) == []
    timeline.promise("ca", 12.0)
    assert len(sealing(timeline, languages, live=False)) == 1
    assert not timeline.finished(False, languages)
    timeline.close("ca")
    timeline.close("es")
    assert timeline.finished(False, languages)


def test_drift_counts_from_the_utterance_and_not_from_the_plan() -> None:
    timeline = Timeline(sealed=20 * TICKS)
    timeline.hear("1", 9.0)
    assert timeline.place(spoken(15.0), 1.0) is None
    timeline.hear("2", 11.0)
    assert timeline.place(spoken(15.0, utterance="2"), 1.0)


def test_a_late_caption_is_made_up_for_right_after_the_seal() -> None:
    timeline = Timeline(sealed=20 * TICKS)
    timeline.caption("captions-en", 17.0, 19.5, "too late", "")
    timeline.caption("captions-en", 5.0, 9.0, "much too late", "")
    timeline.caption("captions-en", 19.0, 23.0, "half of it", "")
    assert [(cue.start, cue.end, cue.text) for cue in timeline.cues] == [
        (20.0, 21.5, "too late"),
        (20.0, 23.5, "half of it"),
    ]
