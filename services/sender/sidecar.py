"""What was said, by whom, and how it is said instead, as a JSON object beside each segment: rendition `utterances`.

`/hls/<stream>/utterances.m3u8` lists them like any other rendition; the multivariant playlist does not, since no player
knows what they are. An object holds

    {"utterances": [{"utterance": "7", "start": 12.5, "end": 15.1, "spoken": "en", "speaker": 1, "name": "Speaker 2",
      "gender": "f", "text": "Good evening.", "words": [["Good", 12.5, 12.8, 0.93], ["evening.", 12.9, 13.4, null]],
      "translations": {"es": {"text": "Buenas noches.", "start": 12.9, "duration": 1.1, "rate": 1.0, "voice": "es+f2",
      "ear_voice": 12.4}}}]}

in seconds on the media clock; a word is its text, start, end and confidence. `ear_voice` is from the utterance to its
dub as heard live: the delay and the drift. An utterance stands in every segment that it or a dub of it touches, and in
one at least; the last object knows most. What is null or missing is not known, or there was no dub.
"""

import hashlib
import json

from pydantic import BaseModel

from shared.audio import seconds
from shared.messages import Clip, Gender, Sealed, Translation, Utterance
from shared.store import Store

RENDITION = "utterances"
MEMORY = 15.0
"""Seconds behind the seal for which an utterance may still get a dub."""


class Heard(BaseModel):
    """How a dub sounds."""

    start: float
    duration: float
    rate: float
    voice: str
    ear_voice: float


class Dub(BaseModel):
    """An utterance in another language."""

    text: str
    others: tuple[str, ...] = ()
    """Other wordings that its clip may have."""
    heard: Heard | None = None

    def told(self) -> dict[str, object]:
        """As viewers read it."""
        return {"text": self.text} | (self.heard.model_dump() if self.heard else {})


class Said(BaseModel):
    """One utterance."""

    utterance: str
    start: float
    end: float
    spoken: str
    speaker: int | None
    name: str
    gender: Gender | None
    text: str
    words: tuple[tuple[str, float, float, float | None], ...]
    translations: dict[str, Dub] = {}
    told: bool = False

    @property
    def last(self) -> float:
        """When the last sound of it ends, dubs included."""
        dubs = [dub.heard.start + dub.heard.duration for dub in self.translations.values() if dub.heard]
        return max([self.end, *dubs])

    def shown(self) -> dict[str, object]:
        """As viewers read it."""
        rest = self.model_dump(exclude={"translations", "told"})
        return rest | {"translations": {language: dub.told() for language, dub in self.translations.items()}}


class Sidecar(BaseModel):
    """What the next segments have to tell."""

    said: dict[str, Said] = {}

    def hear(self, message: Utterance, name: str) -> None:
        """Take what was said, and the speaker's name."""
        words = tuple((w.text, round(w.start, 3), round(w.end, 3), w.confidence) for w in message.words)
        self.said[message.utterance] = Said(
            utterance=message.utterance,
            start=round(message.start, 3),
            end=round(message.end, 3),
            spoken=message.spoken,
            speaker=message.speaker,
            name=name,
            gender=message.gender,
            text=message.text,
            words=words,
        )

    def translate(self, message: Translation) -> None:
        """Take how it is said instead."""
        if (said := self.said.get(message.utterance)) and message.wordings:
            text, *others = (each.text for each in message.wordings)
            said.translations[message.language] = Dub(text=text, others=tuple(others))

    def dub(self, clip: Clip, start: float, delay: float) -> None:
        """Take how its dub sounds, from `start` seconds on, in a stream with this delay."""
        said = self.said.get(clip.utterance)
        known = said.translations.get(clip.language) if said else None
        if said is None or known is None:
            return
        heard = Heard(
            start=round(start, 3),
            duration=round(clip.duration, 3),
            rate=clip.rate,
            voice=clip.voice,
            ear_voice=round(delay + start - said.start, 3),
        )
        wordings = (known.text, *known.others)
        text = wordings[clip.wording] if clip.wording < len(wordings) else known.text
        said.translations[clip.language] = Dub(text=text, heard=heard)

    def of(self, start: float, end: float) -> bytes:
        """The object of the segment [start, end) seconds; the same bytes for the same knowledge."""
        chosen = [said for said in self.said.values() if self._due(said, start, end)]
        listed = [said.shown() for said in sorted(chosen, key=lambda said: (said.start, said.utterance))]
        return json.dumps({"utterances": listed}, ensure_ascii=False, separators=(",", ":")).encode()

    def publish(self, start: float, end: float) -> None:
        """The seal has passed [start, end) seconds."""
        for said in self.said.values():
            said.told = said.told or self._due(said, start, end)
        self.said = {key: said for key, said in self.said.items() if said.last > end - MEMORY}

    @staticmethod
    def _due(said: Said, start: float, end: float) -> bool:
        return said.start < end and (said.last > start or not said.told)


async def beside(sidecar: Sidecar, sealed: Sealed, store: Store) -> Sealed:
    """Store what is said in a sealed segment; the row with its object. Raises OSError when the store takes nothing."""
    start = seconds(sealed.start)
    body = sidecar.of(start, sealed.until)
    key = f"{sealed.stream}/{RENDITION}-{sealed.start}-{hashlib.sha256(body).hexdigest()[:16]}.json"
    await store.put(key, body)
    sidecar.publish(start, sealed.until)
    return sealed.model_copy(update={"objects": {**sealed.objects, RENDITION: key}})
