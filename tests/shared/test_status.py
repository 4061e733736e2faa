"""The status as a pure fold of events."""

from hypothesis import given
from hypothesis import strategies as st

from shared.context import Event, Record
from shared.messages import (
    Clip,
    Dropped,
    Head,
    MediaSegment,
    Message,
    Progress,
    Sealed,
    Translation,
    Utterance,
    Warned,
    Wording,
)
from shared.status import PATHS, REMEMBERED, SPEAKERS, WARNINGS, Status, spread


def event(number: int, stage: str, message: Message, lane: str = "s") -> Event:
    return Event(id=f"{number}-0", at=1000.0 + number, stage=stage, lane=lane, message=message)


def folded(*told: tuple[str, Message], contract: float = 12.0) -> Status:
    status = Status(stream="s", contract=contract)
    for number, (stage, message) in enumerate(told):
        lane = "s~es" if stage in ("voice", "place") else "s"
        status = status.fold(event(number, stage, message, lane))
    return status


def heard(head: float) -> tuple[str, Message]:
    return "downloader", Head(stream="s", until=head, head=head)


def sealed(start: float, duration: float = 2.0) -> tuple[str, Message]:
    end = start + duration
    ticks = round(start * 90_000), round(duration * 90_000)
    return "sender", Sealed(
        stream="s", until=end, number=0, start=ticks[0], duration=ticks[1], date=0.0, objects={}, inits={}
    )


def said(number: str, start: float, speaker: int | None = 0) -> tuple[str, Message]:
    return "speaker", Utterance(
        stream="s",
        until=start,
        utterance=number,
        start=start,
        end=start + 1,
        text=f"sentence {number}",
        words=(),
        spoken="en",
        speaker=speaker,
        gender="f",
    )


def voiced(number: str, start: float) -> tuple[str, Message]:
    return "place", Clip(
        stream="s",
        until=start,
        language="es",
        utterance=number,
        start=start,
        duration=1.0,
        rate=1.1,
        wording=0,
        voice="v",
        audio="k",
    )


def test_the_delay_is_head_minus_seal() -> None:
    status = folded(sealed(10.0), heard(24.0))
    assert (status.head, status.seal, status.delay) == (24.0, 12.0, 12.0)


def test_there_is_no_delay_before_the_first_segment_is_sealed() -> None:
    assert folded(heard(24.0)).delay is None


def test_a_media_segment_moves_the_head_to_its_end() -> None:
    segment = MediaSegment(
        stream="s", until=0, start=900_000, duration=180_000, video=None, audio=None, date=0, captured_at=0
    )
    assert folded(("downloader", segment)).head == 12.0


def test_lag_is_what_a_stage_is_behind_the_head_lane_by_lane() -> None:
    progress = Progress(stream="s", until=17.5, language="es")
    status = folded(heard(20.0), ("asr", Progress(stream="s", until=19.0)), ("voice", progress))
    assert (status.lag("asr"), status.lag("voice~es"), status.lag("downloader")) == (1.0, 2.5, 0.0)


def test_the_delays_of_a_live_stream_are_spread_and_those_of_a_file_are_not() -> None:
    def published(number: int) -> tuple[str, Message]:
        # Event `number` is told at 1000 + number: a delay of 12 s, and of 13 s for every tenth.
        told, message = sealed(2.0 * number)
        assert isinstance(message, Sealed)
        return told, message.model_copy(update={"date": 1000.0 + number - 2.0 - 12.0 - (number % 10 == 9)})

    status = folded(*(published(number) for number in range(2 * REMEMBERED)))
    live = status.under(Record(stream="s", live=True)).view()["delayed"]
    assert isinstance(live, dict)
    assert (live["count"], live["p50"], live["p99"]) == (REMEMBERED, 12.0, 13.0)
    assert status.view()["delayed"] is None
    assert status.view().get("delays") is None


def test_ear_voice_span_is_the_delay_plus_the_drift() -> None:
    status = folded(said("1", 10.0), voiced("1", 10.5), said("2", 20.0), voiced("2", 21.5), contract=12.0)
    assert status.ear_voice is not None
    assert (status.ear_voice.mean, status.ear_voice.p50, status.ear_voice.sd) == (13.0, 13.0, 0.5)
    assert status.dubs["es"].voiced == 2


def test_a_clip_of_an_unknown_utterance_counts_but_has_no_drift() -> None:
    status = folded(voiced("7", 10.5))
    assert (status.dubs["es"].voiced, status.drift) == (1, None)


def test_dropped_utterances_are_counted_by_reason() -> None:
    late = Dropped(stream="s", until=0, language="es", utterance="1", reason="late")
    status = folded(("place", late), ("place", late), ("place", late.model_copy(update={"reason": "failed"})))
    assert (status.dubs["es"].late, status.dubs["es"].failed, status.dubs["es"].dropped) == (2, 1, 3)


def test_an_utterance_counts_once_though_segmenter_and_speaker_both_tell_it() -> None:
    stage, utterance = said("1", 10.0)
    status = folded(("segmenter", utterance.model_copy(update={"speaker": None, "gender": None})), (stage, utterance))
    assert (status.utterances, status.speakers[0].utterances, status.speakers[0].gender) == (1, 1, "f")


def test_the_last_sentence_is_known_in_both_languages() -> None:
    translation = Translation(
        stream="s",
        until=0,
        language="es",
        utterance="1",
        start=10.0,
        end=11.0,
        speaker=0,
        gender="f",
        wordings=(Wording(text="frase"),),
    )
    status = folded(said("1", 10.0), ("translator", translation))
    assert status.last is not None
    assert status.last.text == "sentence 1"
    last = status.dubs["es"].last
    assert last is not None
    assert (last.text, last.language) == ("frase", "es")


def test_a_warning_is_told_once_with_its_stage() -> None:
    warned = ("voice", Warned(stream="s", until=0, warning="engine degraded"))
    assert folded(warned, warned).warnings == ("voice: engine degraded",)


def test_the_record_tells_the_contract_and_the_state() -> None:
    record = Record(stream="s", delay=8.0, state="failed", reason="gone", warnings=("profile does not fit",))
    status = Status(stream="s").under(record)
    assert (status.contract, status.state, status.reason) == (8.0, "failed", "gone")
    assert status.warnings == ("profile does not fit",)


def test_the_view_is_made_of_json_values_without_the_raw_drifts() -> None:
    view = folded(heard(24.0), sealed(10.0), said("1", 10.0), voiced("1", 10.5)).view()
    assert view["delay"] == 12.0
    assert "starts" not in view
    assert "drifts" not in str(view)
    assert view["drift"] == {"count": 1, "mean": 0.5, "sd": 0.0, "p50": 0.5, "p95": 0.5, "p99": 0.5}


def test_memory_is_bounded_however_long_the_stream_runs() -> None:
    told = [
        fact
        for number in range(REMEMBERED + 50)
        for fact in (said(f"{number}", number, number), voiced(f"{number}", number))
    ]
    warned = [("asr", Warned(stream="s", until=0, warning=str(number))) for number in range(WARNINGS + 5)]
    status = folded(*told, *warned)
    assert len(status.starts) == len(status.dubs["es"].drifts) == REMEMBERED
    assert (len(status.speakers), len(status.warnings)) == (SPEAKERS, WARNINGS)
    assert status.utterances == status.dubs["es"].voiced == REMEMBERED + 50


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_head_and_until_never_go_back(heads: list[float]) -> None:
    status = folded(*map(heard, heads))
    assert status.head == status.stages["downloader"].until == max(heads)
    assert status.stages["downloader"].messages == len(heads)


@given(st.lists(st.floats(-1, 30), min_size=1, max_size=50), st.floats(0, 20))
def test_a_spread_is_ordered_and_moves_with_its_values(values: list[float], by: float) -> None:
    found = spread(tuple(values))
    assert found is not None
    assert found.p50 <= found.p95 <= found.p99 <= max(values) + 0.001
    moved = spread(tuple(value + by for value in values))
    assert moved is not None
    assert abs(moved.p95 - found.shifted(by).p95) < 0.005
    assert abs(moved.sd - found.sd) < 0.005


@given(
    st.lists(st.sampled_from([heard(12.0), sealed(10.0), said("1", 10.0), voiced("1", 10.2)]), max_size=12),
    st.integers(0, 12),
)
def test_a_fold_can_stop_anywhere_and_go_on(told: list[tuple[str, Message]], cut: int) -> None:
    whole = folded(*told)
    half = Status.model_validate_json(folded(*told[:cut]).model_dump_json())
    for number, (stage, message) in list(enumerate(told))[cut:]:
        half = half.fold(event(number, stage, message, "s~es" if stage == "place" else "s"))
    assert half == whole


def translated(number: str) -> tuple[str, Message]:
    return "translator", Translation(
        stream="s",
        until=0.0,
        language="es",
        utterance=number,
        start=0.0,
        end=1.0,
        speaker=0,
        gender="f",
        wordings=(Wording(text="frase"),),
    )


def test_a_sentence_shows_when_each_stage_was_done_with_it() -> None:
    status = folded(heard(12.0), ("segmenter", said("1", 10.0)[1]), said("1", 10.0), heard(14.5), translated("1"))
    # Events are a second apart here: the head has gone on by one when the next is heard, and by no more after that.
    assert status.paths["1"].steps == {"segmenter": 2.0, "speaker": 2.0, "translator~es": 4.5}
    status = status.fold(event(9, "place", voiced("1", 10.0)[1], "s~es"))
    assert status.paths["1"].steps["place~es"] == 4.5


def test_a_sentence_that_is_cut_goes_on_as_its_parts() -> None:
    status = folded(heard(12.0), ("segmenter", said("7", 10.0)[1]), said("7.1", 10.0), said("7.2", 10.5))
    assert list(status.paths) == ["7.1", "7.2"]
    assert status.paths["7.1"].steps.keys() == {"segmenter", "speaker"}


def test_a_dropped_sentence_says_why() -> None:
    dropped = "place", Dropped(stream="s", until=0.0, language="es", utterance="1", reason="late")
    assert folded(said("1", 0.0), dropped).paths["1"].dropped == {"es": "late"}


@given(st.lists(st.integers(0, 40)))
def test_only_the_last_sentences_are_followed(numbers: list[int]) -> None:
    status = folded(*(said(str(number), float(number)) for number in numbers))
    assert len(status.paths) <= PATHS


def test_a_lane_that_said_nothing_of_late_is_not_at_work() -> None:
    status = folded(said("1", 0.0), *(heard(float(head)) for head in range(12)))
    assert (status.silence("speaker"), status.at_work("speaker"), status.at_work("downloader")) == (12.0, False, True)
