"""Who is on the picture and who speaks, as a JSON object beside each segment: rendition `faces`.

`/hls/<stream>/faces.m3u8` lists them like any other rendition; the multivariant playlist does not, since no player but
ours knows what they are. An object holds

    {"seen": [{"at": 12.5, "faces": [{"person": 1, "left": 0.2, "top": 0.3, "width": 0.1, "height": 0.2}]}],
     "speaks": {"7": 1, "8": null}}

with `at` in seconds on the media clock, boxes as shares of the picture, good until the next `at`, and for each
utterance near the segment the person who speaks; null: nobody on the picture.
"""

import hashlib
import json

from pydantic import BaseModel, ConfigDict

from shared.audio import seconds
from shared.messages import Face, Faces, Sealed
from shared.store import Store

RENDITION = "faces"
SPOKEN = 15.0
"""Seconds after an utterance's start for which it is told who speaks it."""


class Shown(BaseModel):
    """The faces from one time on."""

    model_config = ConfigDict(frozen=True)

    at: float
    faces: tuple[Face, ...]


class Sights(BaseModel):
    """What the next segments have to tell."""

    shown: list[Shown] = []
    speaks: dict[str, tuple[float, int | None]] = {}
    """Utterance to its start and who speaks it."""

    def take(self, message: Faces) -> None:
        """Remember who is on the picture, or who speaks."""
        if message.utterance:
            who = message.faces[0].person if message.faces else None
            self.speaks[message.utterance] = message.start, who
        else:
            self.shown = sorted([*self.shown, Shown(at=message.start, faces=message.faces)], key=lambda each: each.at)

    def told(self, start: float, end: float) -> bytes:
        """The object of a segment of [start, end) seconds; the same bytes for the same knowledge."""
        before = [each for each in self.shown if each.at <= start][-1:]
        seen = [*before, *(each for each in self.shown if start < each.at < end)]
        body = {
            "seen": [each.model_dump() for each in seen],
            "speaks": {name: who for name, (at, who) in self.speaks.items() if start - SPOKEN < at < end},
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    def publish(self, end: float) -> None:
        """The seal has passed `end` seconds."""
        past = [each for each in self.shown if each.at <= end]
        self.shown = [*past[-1:], *(each for each in self.shown if each.at > end)]
        self.speaks = {name: said for name, said in self.speaks.items() if said[0] > end - SPOKEN}


async def beside(sights: Sights, sealed: Sealed, store: Store) -> Sealed:
    """Store what a sealed segment shows; the row with its object. Raises OSError when the store takes nothing."""
    body = sights.told(seconds(sealed.start), sealed.until)
    key = f"{sealed.stream}/{RENDITION}-{sealed.start}-{hashlib.sha256(body).hexdigest()[:16]}.json"
    await store.put(key, body)
    sights.publish(sealed.until)
    return sealed.model_copy(update={"objects": {**sealed.objects, RENDITION: key}})
