"""What the event stream of one stream tells about its dub (the definitions stand in docs/measures.md)."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from loadtest.omnisteval import Dubbed
from loadtest.traces import Arrival
from services.tts.placement import PRICES, Phrase
from shared.bus import Bus
from shared.context import Event
from shared.messages import (
    Clip,
    Dropped,
    End,
    Head,
    MediaSegment,
    Message,
    Sealed,
    Speech,
    Translation,
    Utterance,
    Word,
    Words,
)


@dataclass
class Figures:
    """A fold of events; times in seconds."""

    delay: float = 12.0
    head: float = 0.0
    sealed: float = 0.0
    words: list[Word] = field(default_factory=list)
    """As they were committed."""
    utterances: dict[str, Utterance] = field(default_factory=dict)
    translations: dict[tuple[str, str], Translation] = field(default_factory=dict)
    speeches: dict[tuple[str, str], tuple[float, Speech]] = field(default_factory=dict)
    clips: dict[tuple[str, str], Clip] = field(default_factory=dict)
    dropped: dict[tuple[str, str], str] = field(default_factory=dict)
    rows: list[tuple[float, Sealed]] = field(default_factory=list)
    """With the epoch time at which they were published."""
    repeated: Counter[str] = field(default_factory=Counter)
    """Messages of which a second came, by kind."""
    untils: dict[str, float] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)
    late: set[tuple[str, str]] = field(default_factory=set)
    waits: dict[str, list[float]] = field(default_factory=dict)
    """Stage to seconds from the capture of an utterance's end until the stage had told it."""
    epoch: float = 0.0
    """Date of media time 0."""
    first_segment: float = 0.0
    last: tuple[str, str] = ("", "")

    def add(self, event: Event) -> None:
        message = event.message
        self.untils[event.stage] = max(self.untils.get(event.stage, 0.0), message.until)
        match message:
            case Head():
                self.head = max(self.head, message.head)
            case MediaSegment():
                self.first_segment = self.first_segment or message.start / 90_000
                self.epoch = message.date - message.start / 90_000
            case Words():
                self.words += message.words
            case Utterance() if event.stage == "speaker":
                self._once(self.utterances, message.utterance, message)
                self.last = (message.text, self.last[1])
            case Translation():
                self._once(self.translations, (message.utterance, message.language), message)
                self.last = (self.last[0], message.wordings[0].text)
            case Speech():
                self._once(self.speeches, (message.utterance, message.language), (event.at, message))
                if self.floors.get(message.language, 0.0) > message.start + 0.3:
                    self.late.add((message.utterance, message.language))
            case Clip():
                self._once(self.clips, (message.utterance, message.language), message)
            case Dropped():
                self._once(self.dropped, (message.utterance, message.language), message.reason)
            case Sealed():
                self.rows.append((event.at, message))
                self.sealed = max(self.sealed, message.until)
        if isinstance(message, Utterance | Translation | Speech):
            self.waits.setdefault(event.stage, []).append(event.at - self.epoch - message.end)
        if event.stage == "place":
            language = event.lane.partition("~")[2]
            self.floors[language] = max(self.floors.get(language, 0.0), message.until)

    def _unreported(self, key: tuple[str, str]) -> bool:
        """Whether a phrase is behind voice and seal, as far as any may drift, and nobody has told what became of it."""
        reached = min(self.untils.get("voice", 0.0), self.floors.get(key[1], 0.0) - PRICES.cap)
        return self.translations[key].start < reached and key not in self.clips and key not in self.dropped

    def _once(self, known: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
        if key in known:
            self.repeated[type(value).__name__] += 1
        known[key] = value

    @property
    def dubbed_segments(self) -> int:
        """Published segments in which a clip sounds."""
        spans = [(clip.start, clip.start + clip.duration) for clip in self.clips.values()]
        return sum(any(start < row.until and end > row.start / 90_000 for start, end in spans) for _, row in self.rows)

    def stages(self) -> dict[str, tuple[float, float]]:
        """Stage to (its `until`, seconds behind the head)."""
        return {stage: (until, max(0.0, self.head - until)) for stage, until in self.untils.items()}

    def phrases(self, language: str) -> list[Dubbed]:
        """What was translated, in its order, with its clip where it was voiced."""
        told = sorted((each for key, each in self.translations.items() if key[1] == language), key=lambda t: t.start)
        return [Dubbed(each, self.clips.get((each.utterance, language))) for each in told]

    def arrivals(self, language: str) -> list[Arrival]:
        """What the placement had to place, and when each phrase was ready by the clock of the source."""
        spoken = [(at, speech) for key, (at, speech) in self.speeches.items() if key[1] == language and speech.takes]
        return [
            Arrival(
                Phrase(each.start, each.end, tuple(take.duration for take in each.takes)), round(at - self.epoch, 3)
            )
            for at, each in spoken
        ]

    def line(self) -> str:
        """How it stands, in one line."""
        return (
            f"head {self.head:7.1f} s   sealed {self.sealed:7.1f} s   behind {self.head - self.sealed:5.1f} s   "
            f"{len(self.utterances)} utterances   {len(self.clips)} clips   {len(self.rows)} segments"
        )

    def first_dub(self) -> float | None:
        """Seconds from the capture of the first dubbed phrase to the publication of its segment."""
        for clip in sorted(self.clips.values(), key=lambda clip: clip.start):
            source = self.utterances.get(clip.utterance)
            for at, row in self.rows:
                if source and row.start / 90_000 <= clip.start < row.until:
                    return at - (row.date + source.start - row.start / 90_000)
        return None

    def summary(self, language: str | None = None) -> dict[str, float]:
        """The figures of the dub, all languages together or one."""

        def ours(key: tuple[str, str]) -> bool:
            return language is None or key[1] == language

        clips = [clip for key, clip in self.clips.items() if ours(key)]
        wanted = [key for key in self.translations if ours(key)]
        drifts = np.array(
            [c.start - self.utterances[c.utterance].start for c in clips if c.utterance in self.utterances]
        )
        delays = np.array([at - (row.date + row.duration / 90_000) for at, row in self.rows])
        found: dict[str, float] = {
            "media_s": self.sealed - self.first_segment if self.rows else 0.0,
            "utterances": len(self.utterances),
            "segments": len(self.rows),
            "dubbed_segments": self.dubbed_segments,
            "repeated": sum(self.repeated.values()),
        }
        if wanted:
            found["voiced"] = len(clips) / len(wanted)
            found["late_share"] = sum(map(ours, self.late)) / len(wanted)
            found["unreported"] = sum(map(self._unreported, wanted))
            for reason in ("late", "failed"):
                found[f"unvoiced.{reason}"] = sum(r == reason for key, r in self.dropped.items() if ours(key))
        if clips:
            spans = sum(u.end - u.start for u in (self.utterances[c.utterance] for c in clips))
            natural = sum(c.duration * c.rate for c in clips)
            voice_over = np.array([c.rate for c in clips])
            found |= {
                "ear_voice_mean_s": float(self.delay + drifts.mean()),
                "ear_voice_sd_s": float(drifts.std()),
                "ear_voice_p99_s": float(self.delay + np.percentile(drifts, 99)),
                "drift_p95_s": float(np.percentile(drifts, 95)),
                "over_1_15": float((voice_over > 1.15).mean()),
                "over_1_3": float((voice_over > 1.3 + 1e-6).mean()),
                "voice_ratio": natural / spans,
            }
        if (first := self.first_dub()) is not None:
            found["first_dub_s"] = first
        for stage, waits in self.waits.items():
            found[f"wait_p50_s.{stage}"], found[f"wait_p95_s.{stage}"] = map(float, np.percentile(waits, [50, 95]))
        if len(delays):
            found |= {"delay_mean_s": float(delays.mean()), "delay_sd_s": float(delays.std())}
            found["delay_p99_s"] = float(np.percentile(delays, 99))
        return found


class Watch:
    """Follows one stream by its events."""

    def __init__(self, bus: Bus, stream: str) -> None:
        self.bus, self.stream, self.figures = bus, stream, Figures()
        self.over = False
        self.reason = ""
        self._after = "0"

    async def follow(self, wait: float) -> list[Message]:
        """Fold what is new; the messages, oldest first."""
        events = await self.bus.events(self.stream, self._after, wait)
        for event in events:
            self.figures.add(event)
            self._after = event.id
        if found := await self.bus.record(self.stream):
            _, record = found
            self.figures.delay = record.delay
            self.reason = record.reason if record.state == "failed" else ""
        ended = any(event.stage == "sender" and isinstance(event.message, End) for event in events)
        self.over = self.over or ended or bool(self.reason)
        return [event.message for event in events]
