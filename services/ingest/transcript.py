"""What was said, and what was said instead, as a text with times: SubRip, WebVTT and JSON."""

from collections.abc import Sequence
from html import escape
from typing import Literal

from pydantic import BaseModel, ConfigDict

from shared.context import Event, Record
from shared.messages import AudioChunk, Clip, Message, Translation, Utterance

Format = Literal["json", "srt", "vtt"]

KEPT = 4000
"""Events of a stream that the bus keeps at least: where there are fewer, none is missing."""

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}


class Cue(BaseModel):
    """A sentence and when it is heard."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    utterance: str
    start: float
    """Media time, seconds; that of the voice where the sentence has one in this language."""
    end: float
    text: str
    speaker: int | None = None
    name: str = ""
    """What the operator calls the speaker."""
    gender: Literal["f", "m"] | None = None


class Transcript(BaseModel):
    """The sentences of a stream in one language, as far as they are still known."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    stream: str
    language: str
    """BCP 47."""
    since: float
    """Media time, seconds, from which on nothing is missing: 0 while the whole stream is still known."""
    cues: list[Cue]


def transcript(record: Record, language: str, events: Sequence[Event]) -> Transcript:
    """Returns what was said in the language that is spoken, or in one of the stream's other languages.

    A sentence that is placed has the time and the wording with which it is heard, any other those of its translation.
    """
    sentences: dict[str, Cue] = {}
    wordings: dict[str, tuple[str, ...]] = {}
    since = 0.0 if len(events) < KEPT else None
    for event in events:
        message = event.message
        if isinstance(message, AudioChunk) and since is None:
            since = message.start
        if language != record.source_language:
            _placed(message, language, sentences, wordings)
        elif isinstance(message, Utterance) and event.stage == "speaker":
            cue = Cue(utterance=message.utterance, start=message.start, end=message.end, text=message.text)
            sentences[message.utterance] = _said_by(cue, message)
    cues = sorted((_named(cue, record) for cue in sentences.values()), key=lambda cue: (cue.start, cue.end))
    return Transcript(stream=record.stream, language=language, since=since or 0.0, cues=cues)


def _placed(message: Message, language: str, sentences: dict[str, Cue], wordings: dict[str, tuple[str, ...]]) -> None:
    match message:
        case Translation(language=spoken, utterance=name) if spoken == language and message.wordings:
            wordings[name] = tuple(wording.text for wording in message.wordings)
            cue = Cue(utterance=name, start=message.start, end=message.end, text=wordings[name][0])
            sentences[name] = _said_by(cue, message)
        case Clip(language=spoken, utterance=name) if spoken == language and name in sentences:
            end = round(message.start + message.duration, 3)
            texts = wordings[name]
            text = texts[message.wording] if message.wording < len(texts) else texts[0]
            sentences[name] = sentences[name].model_copy(update={"start": message.start, "end": end, "text": text})


def _said_by(cue: Cue, message: Utterance | Translation) -> Cue:
    return cue.model_copy(update={"speaker": message.speaker, "gender": message.gender})


def _named(cue: Cue, record: Record) -> Cue:
    if cue.speaker is None:
        return cue
    speaker = record.merged.get(str(cue.speaker), str(cue.speaker))
    casting = record.casting.get(speaker)
    cast = {"name": casting.name, "gender": casting.gender or cue.gender} if casting else {}
    return cue.model_copy(update={"speaker": int(speaker), **cast})


def written(text: Transcript, form: Format) -> str:
    """Returns a transcript as a file of this format."""
    return text.model_dump_json() if form == "json" else srt(text) if form == "srt" else vtt(text)


def srt(text: Transcript) -> str:
    """Returns a transcript as SubRip."""
    blocks = [
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{_line(cue.text)}\n"
        for number, cue in enumerate(_shown(text.cues), 1)
    ]
    return "\n".join(blocks)


def vtt(text: Transcript) -> str:
    """Returns a transcript as WebVTT (W3C, 2019), its speakers as voice spans."""
    note = [f"NOTE What was said before {clock(text.since, '.')} is not kept any more.\n"] if text.since else []
    blocks = [
        f"{cue.utterance}\n{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n{_voice(cue)}{escape(_line(cue.text))}\n"
        for cue in _shown(text.cues)
    ]
    return "\n".join(["WEBVTT\n", *note, *blocks])


def clock(seconds: float, point: str) -> str:
    """Returns seconds as hours, minutes, seconds and thousandths: 01:02:03.004 with a point."""
    whole, thousandths = divmod(round(max(0.0, seconds) * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"


def _shown(cues: Sequence[Cue]) -> list[Cue]:
    # Players refuse a file that has a cue without text or without duration.
    return [cue for cue in cues if cue.text.strip() and cue.end > cue.start]


def _line(text: str) -> str:
    return " ".join(text.split())


def _voice(cue: Cue) -> str:
    name = cue.name or ("" if cue.speaker is None else f"Speaker {cue.speaker + 1}")
    return f"<v {escape(_line(name))}>" if name.strip() else ""
