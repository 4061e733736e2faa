"""What a stream is doing, folded from its events: the same figures for the API, the dashboard and the terminal."""

from statistics import fmean, pstdev
from typing import Self, TypeVar

import numpy
from pydantic import BaseModel, ConfigDict, computed_field

from shared.context import Event, Record
from shared.messages import (
    AudioChunk,
    Clip,
    Dropped,
    Gender,
    Head,
    MediaSegment,
    Sealed,
    Speech,
    Translation,
    Utterance,
    Warned,
)

K = TypeVar("K")
V = TypeVar("V")

TICKS = 90_000
REMEMBERED = 512
"""Delays kept, drifts kept per language, and utterances that still wait for their clips."""
SPEAKERS = 64
PATHS = 12
"""Utterances whose way through the stages is kept."""
IDLE = 10.0
"""Seconds without a word after which a lane is not at work, be it that nobody wants it or that nobody serves it."""
WARNINGS = 16


class Figure(BaseModel):
    """A value of the status; a change makes a new one."""

    model_config = ConfigDict(frozen=True)

    def but(self, **changes: object) -> Self:
        """Returns this figure with some fields changed."""
        return self.model_copy(update=changes)


class Spread(Figure):
    """How values in seconds are spread; percentiles interpolate linearly."""

    count: int
    mean: float
    sd: float
    p50: float
    p95: float
    p99: float

    def shifted(self, seconds: float) -> "Spread":
        """Returns the spread of the same values, each later by `seconds`."""
        moved = {name: round(getattr(self, name) + seconds, 3) for name in ("mean", "p50", "p95", "p99")}
        return self.but(**moved)


def spread(values: tuple[float, ...]) -> Spread | None:
    """Returns the spread of `values` (s) rounded to milliseconds, None of no values."""
    if not values:
        return None
    p50, p95, p99 = (round(float(value), 3) for value in numpy.percentile(values, (50, 95, 99)))
    return Spread(
        count=len(values), mean=round(fmean(values), 3), sd=round(pstdev(values), 3), p50=p50, p95=p95, p99=p99
    )


class Stage(Figure):
    """What one stage has said so far in one lane."""

    stage: str
    language: str = ""
    until: float = 0.0
    """Media time before which it says nothing more, seconds."""
    messages: int = 0
    at: float = 0.0
    """Epoch seconds of its last message."""


class Sentence(Figure):
    """An utterance or its translation, as text."""

    utterance: str
    text: str
    language: str
    start: float
    speaker: int | None = None


class Path(Figure):
    """How long after its end an utterance had passed each stage."""

    utterance: str
    text: str
    start: float
    """Media time, seconds."""
    end: float
    steps: dict[str, float] = {}
    """Stage, or `stage~language`, to seconds that the head was past the end of the utterance."""
    dropped: dict[str, str] = {}
    """Language to why nobody hears it."""


class Speaker(Figure):
    """Somebody who was heard."""

    speaker: int
    gender: Gender | None
    utterances: int = 0


class Dub(Figure):
    """How one language fares."""

    language: str
    voiced: int = 0
    late: int = 0
    failed: int = 0
    rate: float = 1.0
    """Of the last clip."""
    drifts: tuple[float, ...] = ()
    """Clip start minus utterance start, seconds, of the last clips."""
    last: Sentence | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dropped(self) -> int:
        """Utterances that nobody will hear in this language."""
        return self.late + self.failed

    @property
    def drift(self) -> Spread | None:
        """Drift of the last clips, seconds."""
        return spread(self.drifts)


class Status(Figure):
    """What is known of one stream after some of its events; bounded in size, however long the stream runs."""

    stream: str
    contract: float = 0.0
    """Delay D of the record, seconds."""
    state: str = "starting"
    reason: str = ""
    title: str = ""
    head: float = 0.0
    """Media time, seconds."""
    head_at: float = 0.0
    """Epoch seconds of the event that told the head."""
    seal: float = 0.0
    """Media time before which everything is published, seconds."""
    published: float | None = None
    """Seconds from the capture of the end of the last segment to its publication; None before the first."""
    delays: tuple[float, ...] = ()
    """The same of the last segments, seconds."""
    live: bool = False
    segments: int = 0
    """Sealed ones."""
    slates: int = 0
    at: float = 0.0
    """Epoch seconds of the last event."""
    event: str = "0"
    """Id of the last event."""
    stages: dict[str, Stage] = {}
    """By stage, or `stage~language`."""
    utterances: int = 0
    last: Sentence | None = None
    """What was said last."""
    speakers: dict[int, Speaker] = {}
    dubs: dict[str, Dub] = {}
    warnings: tuple[str, ...] = ()
    paths: dict[str, Path] = {}
    """The last utterances on their way through the stages, the oldest first."""
    starts: dict[str, float] = {}
    """Starts of the last utterances, seconds: what the drift of their clips is measured from."""

    @property
    def delay(self) -> float | None:
        """How far what is published is behind what was captured, seconds; None before the first segment is sealed.

        A file is not captured: there it is head minus seal.
        """
        if self.live:
            return self.published
        return round(self.head - self.seal, 3) if self.segments else None

    @property
    def delayed(self) -> Spread | None:
        """Delay of the last segments, seconds; None for a file."""
        return spread(self.delays) if self.live else None

    @property
    def drift(self) -> Spread | None:
        """Clip start minus utterance start over all languages, seconds."""
        return spread(tuple(drift for dub in self.dubs.values() for drift in dub.drifts))

    @property
    def ear_voice(self) -> Spread | None:
        """Ear-voice span: delay D plus drift, seconds."""
        drift = self.drift
        return drift.shifted(self.contract) if drift else None

    def lag(self, stage: str) -> float:
        """Returns how far `stage` (or `stage~language`) is behind the head, seconds."""
        return max(0.0, round(self.head - self.stages[stage].until, 3))

    def silence(self, stage: str) -> float:
        """Returns for how long `stage` (or `stage~language`) has said nothing while others spoke, seconds."""
        return max(0.0, round(self.at - self.stages[stage].at, 3))

    def at_work(self, stage: str) -> bool:
        """Whether `stage` (or `stage~language`) has said anything of late."""
        return self.silence(stage) <= IDLE

    def under(self, record: Record) -> Self:
        """Returns this status with what the stream's record says."""
        return self.but(
            contract=record.delay,
            live=bool(record.live),
            state=record.state,
            reason=record.reason,
            title=record.title or record.url,
            warnings=merged(record.warnings, self.warnings),
        )

    def fold(self, event: Event) -> Self:
        """Returns the status after `event`; constant in time and memory."""
        return self._heard(event)._understood(event)._passed(event)

    def view(self) -> dict[str, object]:
        """Returns the status as JSON values, derived figures included, for people's eyes."""
        plain = self.model_dump(
            mode="json", exclude={"starts": True, "delays": True, "dubs": {"__all__": {"drifts"}}, "stages": True}
        )
        dubs = {
            name: {**values, "drift": dub.drift.model_dump() if dub.drift else None}
            for (name, dub), values in zip(self.dubs.items(), plain["dubs"].values(), strict=True)
        }
        stages = [{**stage.model_dump(), "name": name, "lag": self.lag(name)} for name, stage in self.stages.items()]
        delayed, drift, ear_voice = self.delayed, self.drift, self.ear_voice
        return plain | {
            "delay": self.delay,
            "delayed": delayed.model_dump() if delayed else None,
            "dubs": dubs,
            "stages": stages,
            "drift": drift.model_dump() if drift else None,
            "ear_voice": ear_voice.model_dump() if ear_voice else None,
        }

    def _heard(self, event: Event) -> Self:
        message = event.message
        language = str(getattr(message, "language", "")) if "~" in event.lane else ""
        name = f"{event.stage}~{language}" if language else event.stage
        stage = self.stages.get(name) or Stage(stage=event.stage, language=language)
        stage = stage.but(until=max(stage.until, message.until), messages=stage.messages + 1, at=event.at)
        return self.but(at=event.at, event=event.id, stages=self.stages | {name: stage})

    def _understood(self, event: Event) -> Self:
        match message := event.message:
            case Head(head=head) | AudioChunk(end=head):
                return self._reached(head, event.at)
            case MediaSegment(end=end):
                return self._reached(end / TICKS, event.at)
            case Sealed(start=start, duration=duration, slate=slate):
                seal = max(self.seal, (start + duration) / TICKS)
                published = round(event.at - message.date - duration / TICKS, 3)
                counts = {"segments": self.segments + 1, "slates": self.slates + slate}
                delays = (*self.delays, published)[-REMEMBERED:]
                return self.but(seal=seal, published=published, delays=delays, **counts)
            case Utterance() as utterance if utterance.speaker is not None or event.stage == "speaker":
                return self._said(utterance)
            case Translation() as translation:
                return self._translated(translation)
            case Speech(utterance=utterance, start=start):
                return self.but(starts=newest(self.starts | {utterance: start}, REMEMBERED))
            case Clip() as clip:
                return self._voiced(clip)
            case Dropped(language=language, reason=reason):
                dub = self._dub(language)
                return self._dubbed(dub.but(**{reason: getattr(dub, reason) + 1}))
            case Warned(warning=warning):
                return self.but(warnings=merged(self.warnings, (f"{event.stage}: {warning}",)))
        return self

    def _reached(self, head: float, at: float) -> Self:
        return self.but(head=head, head_at=at) if head > self.head else self

    def _passed(self, event: Event) -> Self:
        message = event.message
        match message:
            case Utterance():
                parent = self.paths.get(message.utterance.rpartition(".")[0])
                known = self.paths.get(message.utterance) or Path(
                    utterance=message.utterance,
                    text=message.text,
                    start=message.start,
                    end=message.end,
                    steps=parent.steps if parent else {},
                )
                # One that was cut at a change of speaker goes on as its parts alone.
                others = {name: path for name, path in self.paths.items() if path is not parent}
                return self.but(paths=others)._stepped(known, event.stage, event.at)
            case Translation() | Speech() | Clip() if message.utterance in self.paths:
                return self._stepped(self.paths[message.utterance], f"{event.stage}~{message.language}", event.at)
            case Dropped(utterance=name) if name in self.paths:
                path = self.paths[name]
                path = path.but(dropped=path.dropped | {message.language: message.reason})
                return self.but(paths=self.paths | {name: path})
        return self

    def _stepped(self, path: Path, step: str, at: float) -> Self:
        # The head is told about twice a second; in between it goes on as time does.
        head = self.head + min(1.0, max(0.0, at - self.head_at))
        path = path.but(steps=path.steps | {step: round(max(0.0, head - path.end), 3)})
        return self.but(paths=newest(self.paths | {path.utterance: path}, PATHS))

    def _said(self, utterance: Utterance) -> Self:
        speakers = self.speakers
        if utterance.speaker is not None:
            known = speakers.get(utterance.speaker) or Speaker(speaker=utterance.speaker, gender=utterance.gender)
            known = known.but(gender=utterance.gender or known.gender, utterances=known.utterances + 1)
            speakers = newest(speakers | {utterance.speaker: known}, SPEAKERS)
        last = Sentence(
            utterance=utterance.utterance,
            text=utterance.text,
            language=utterance.spoken,
            start=utterance.start,
            speaker=utterance.speaker,
        )
        starts = newest(self.starts | {utterance.utterance: utterance.start}, REMEMBERED)
        return self.but(utterances=self.utterances + 1, last=last, speakers=speakers, starts=starts)

    def _translated(self, translation: Translation) -> Self:
        if not translation.wordings:
            return self
        last = Sentence(
            utterance=translation.utterance,
            text=translation.wordings[0].text,
            language=translation.language,
            start=translation.start,
            speaker=translation.speaker,
        )
        return self._dubbed(self._dub(translation.language).but(last=last))

    def _voiced(self, clip: Clip) -> Self:
        dub = self._dub(clip.language)
        start = self.starts.get(clip.utterance)
        drifts = dub.drifts if start is None else (*dub.drifts, round(clip.start - start, 4))[-REMEMBERED:]
        return self._dubbed(dub.but(voiced=dub.voiced + 1, rate=clip.rate, drifts=drifts))

    def _dub(self, language: str) -> Dub:
        return self.dubs.get(language) or Dub(language=language)

    def _dubbed(self, dub: Dub) -> Self:
        return self.but(dubs=self.dubs | {dub.language: dub})


def newest(entries: dict[K, V], most: int) -> dict[K, V]:
    """Returns the `most` entries that were added last."""
    return entries if len(entries) <= most else dict(list(entries.items())[-most:])


def merged(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Returns warnings without repetition, the newest last."""
    return tuple(dict.fromkeys((*(warning for warning in old if warning not in new), *new)))[-WARNINGS:]
