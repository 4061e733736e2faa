"""What was said, and what was said instead, as a text with times: SubRip, WebVTT and JSON."""

from collections.abc import Sequence
from html import escape
from typing import Literal

from pydantic import BaseModel, ConfigDict

from services.ingest.chronicle import Said
from shared.context import Record
from shared.messages import Translation, Utterance

Format = Literal["json", "srt", "vtt"]

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
    """The sentences of a stream in one language."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    stream: str
    language: str
    """BCP 47."""
    since: float
    """Media time, seconds, from which on nothing is missing: 0 where the whole stream is known."""
    cues: list[Cue]


def transcript(record: Record, language: str, known: Said) -> Transcript:
    """Returns what was said in the language that is spoken, or in one of the stream's other languages.

    A sentence that is placed has the time and the wording with which it is heard, any other those of its translation.
    """
    cues = _spoken(known) if language == record.source_language else _instead(known, language)
    named = sorted((_named(cue, record) for cue in cues.values()), key=lambda cue: (cue.start, cue.end))
    return Transcript(stream=record.stream, language=language, since=known.since, cues=named)


def _spoken(known: Said) -> dict[str, Cue]:
    return {
        message.utterance: _said_by(
            Cue(utterance=message.utterance, start=message.start, end=message.end, text=message.text), message
        )
        for message in known.utterances
    }


def _instead(known: Said, language: str) -> dict[str, Cue]:
    found: dict[str, Cue] = {}
    wordings: dict[str, tuple[str, ...]] = {}
    for message in known.translations:
        name = message.utterance
        if message.language == language:
            wordings[name] = tuple(wording.text for wording in message.wordings)
            cue = Cue(utterance=name, start=message.start, end=message.end, text=wordings[name][0])
            found[name] = _said_by(cue, message)
    for clip in known.clips:
        if clip.language == language and clip.utterance in found:
            end = round(clip.start + clip.duration, 3)
            texts = wordings[clip.utterance]
            text = texts[clip.wording] if clip.wording < len(texts) else texts[0]
            heard = {"start": clip.start, "end": end, "text": text}
            found[clip.utterance] = found[clip.utterance].model_copy(update=heard)
    return found


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
