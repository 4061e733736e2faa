"""Transcripts: what was said, with times, in three formats."""

import json
import re

import httpx
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.chronicle import said
from services.ingest.transcript import Cue, Transcript, clock, srt, transcript, vtt
from shared.context import Casting, Event, Record
from shared.messages import AudioChunk, Clip, Message, Translation, Utterance, Wording
from tests.ingest.conftest import MemoryBus

RECORD = Record(stream="s", languages=("es",), casting={"1": Casting(name="Ann & Co", gender="f")}, merged={"4": "1"})


def spoke(name: str, start: float, text: str, speaker: int | None = 1) -> Utterance:
    return Utterance(
        stream="s",
        until=start,
        utterance=name,
        start=start,
        end=start + 2,
        text=text,
        words=(),
        spoken="en",
        speaker=speaker,
    )


def instead(name: str, start: float, *texts: str) -> Translation:
    wordings = tuple(Wording(text=text) for text in texts)
    return Translation(
        stream="s",
        until=start,
        language="es",
        utterance=name,
        start=start,
        end=start + 2,
        speaker=1,
        gender="m",
        wordings=wordings,
    )


def placed(name: str, start: float, wording: int) -> Clip:
    return Clip(
        stream="s",
        until=start,
        language="es",
        utterance=name,
        start=start,
        duration=1.5,
        rate=1.1,
        wording=wording,
        voice="v",
        audio="k",
    )


def heard(start: float) -> AudioChunk:
    return AudioChunk(stream="s", until=start, start=start, end=start + 1, captured_at=0)


def told(*messages: tuple[str, Message]) -> list[Event]:
    return [
        Event(id=str(number), at=1e9, stage=stage, lane="s", message=message)
        for number, (stage, message) in enumerate(messages, 1)
    ]


EVENTS = told(
    ("downloader", heard(40.0)),
    ("segmenter", spoke("2", 44.0, "later", None)),
    ("speaker", spoke("2", 44.0, "later", 4)),
    ("speaker", spoke("1", 41.0, "a < b")),
    ("translator", instead("1", 41.0, "uno dos", "uno")),
    ("translator", instead("2", 44.0, "luego")),
    ("translator", instead("3", 50.0)),
    ("place", placed("1", 41.7, 1)),
    ("place", placed("9", 60.0, 0)),
)


def test_the_spoken_language_has_each_sentence_once_in_the_order_of_time() -> None:
    found = transcript(RECORD, "en", said(EVENTS))
    assert [(cue.utterance, cue.start, cue.text) for cue in found.cues] == [("1", 41.0, "a < b"), ("2", 44.0, "later")]
    assert found.since == 0.0


def test_a_stream_of_which_something_is_missing_says_since_when_nothing_is() -> None:
    found = transcript(RECORD, "en", said(EVENTS, whole=False))
    assert found.since == 40.0
    assert vtt(found).startswith("WEBVTT\n\nNOTE What was said before 00:00:40.000")


def test_merged_speakers_have_the_name_and_gender_that_the_operator_gave() -> None:
    assert {(cue.speaker, cue.name, cue.gender) for cue in transcript(RECORD, "en", said(EVENTS)).cues} == {
        (1, "Ann & Co", "f")
    }


def test_a_placed_sentence_has_the_time_and_the_wording_that_is_heard() -> None:
    cues = transcript(RECORD, "es", said(EVENTS)).cues
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [(41.7, 43.2, "uno"), (44.0, 46.0, "luego")]


def test_webvtt_escapes_text() -> None:
    text = vtt(transcript(RECORD, "en", said(EVENTS)))
    assert text.startswith("WEBVTT\n\n1\n")
    assert "1\n00:00:41.000 --> 00:00:43.000\n<v Ann &amp; Co>a &lt; b\n" in text


def test_subrip_counts_from_one() -> None:
    assert srt(transcript(RECORD, "es", said(EVENTS))).startswith("1\n00:00:41,700 --> 00:00:43,200\nuno\n\n2\n")


@given(st.floats(0, 1e6))
def test_a_clock_is_right_to_the_millisecond(seconds: float) -> None:
    hours, minutes, rest = clock(seconds, ".").split(":")
    assert abs(int(hours) * 3600 + int(minutes) * 60 + float(rest) - seconds) < 0.00051
    assert int(minutes) < 60
    assert float(rest) < 60


@given(st.lists(st.text()))
def test_no_text_breaks_out_of_its_cue(texts: list[str]) -> None:
    cues = [Cue(utterance=str(number), start=number, end=number + 1, text=text) for number, text in enumerate(texts)]
    whole = Transcript(stream="s", language="en", since=0, cues=cues)
    shown = [text for text in texts if text.strip()]
    assert len(re.findall("-->", vtt(whole))) == len(shown)
    assert srt(whole).count("\n\n") == max(0, len(shown) - 1)


async def test_a_transcript_is_downloaded_in_each_format(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    start = await client.post("/v1/streams", json={"url": "https://example.com/a.m3u8", "languages": ["es"]})
    stream = start.json()["id"]
    bus.told[stream] = EVENTS
    path = f"/v1/streams/{stream}/transcript"
    answer = await client.get(path)
    assert [cue["text"] for cue in answer.json()["cues"]] == ["a < b", "later"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{stream}.en.json"'
    spanish = await client.get(path, params={"language": "ES", "format": "srt"})
    assert "luego" in spanish.text
    assert spanish.headers["content-type"].startswith("application/x-subrip")
    assert (await client.get(path, params={"format": "vtt"})).text.startswith("WEBVTT")
    refused = await client.get(path, params={"language": "de"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:dragoman:problem:language-not-dubbed")
    assert json.loads(refused.text)["languages"] == ["en", "es"]
