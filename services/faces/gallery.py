"""Faces followed from picture to picture, and the people they are; embeddings live here and die with the stream."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from services.faces.engines import Box, Found, Vector
from shared.messages import Face

OVERLAP = 0.3
"""Of two boxes (intersection over union) that may be one face a moment later."""
LOST = 1.6
"""Seconds after which a face that is not found again is gone."""
CLEAR = 0.4
"""Clearness at which a face is believed at once; others have to be found twice."""
BETTER = 2.0
"""How much clearer than before a face must be to be embedded again."""
DRIFT = 0.1
"""Distance beyond `same` at which a face that was followed is somebody else after all."""
MOST = 20
"""People of a stream."""


class Person(BaseModel):
    """Somebody who was seen: the mean of the embeddings (base64 of float16), weighted by their clearness."""

    mean: str
    weight: float

    @property
    def vector(self) -> Vector:
        return np.frombuffer(b64decode(self.mean), np.float16).astype(np.float32)

    def take(self, vector: Vector, weight: float) -> None:
        """Learn from one more embedding."""
        total = self.weight + weight
        self.mean = packed((self.vector * self.weight + vector * weight) / total)
        self.weight = total


class Track(BaseModel):
    """A face that is followed."""

    box: Box
    seen: float
    times: int = 1
    best: float = 0.0
    """Clearness at which it was embedded."""
    person: int | None = None


class Gallery(BaseModel):
    """The people of one stream; person n is entry n - 1."""

    tracks: list[Track] = []
    people: list[Person] = []

    def cut(self) -> None:
        """The scene has changed: who stands where somebody stood is not that person."""
        self.tracks = []

    def see(self, time: float, found: Sequence[Found], embed: Callable[[Box], Vector], same: float) -> list[Face]:
        """Who is on the picture at `time` seconds; `embed` is asked only where it is not known yet, or seen badly."""
        self.tracks = [track for track in self.tracks if time - track.seen <= LOST]
        here = [(self._follow(time, track, each), each) for track, each in self._paired(found)]
        self._part([track for track, _ in here])
        vectors: list[tuple[Track, Found, Vector]] = []
        for track, each in here:
            known = track.person is not None
            if (each.clearness > track.best * BETTER + 0.2) if known else (track.times > 1 or each.clearness >= CLEAR):
                vectors.append((track, each, embed(each.box)))
        self._name(vectors, [track for track, _ in here], same)
        named = [(track.person, track.box) for track, _ in here if track.person is not None]
        return [Face(person=who, **_rounded(box)) for who, box in sorted(named)]

    def _paired(self, found: Sequence[Found]) -> list[tuple[Track | None, Found]]:
        """Each face with the one it was a moment ago, the best matches first."""
        pairs = [
            (overlap(track.box, each.box), t, f) for t, track in enumerate(self.tracks) for f, each in enumerate(found)
        ]
        of: dict[int, int] = {}
        for share, t, f in sorted(pairs, key=lambda pair: -pair[0]):
            if share >= OVERLAP and t not in of.values() and f not in of:
                of[f] = t
        return [(self.tracks[of[f]] if f in of else None, each) for f, each in enumerate(found)]

    def _follow(self, time: float, track: Track | None, found: Found) -> Track:
        if track is None:
            track = Track(box=found.box, seen=time)
            self.tracks.append(track)
        else:
            track.box, track.seen, track.times = found.box, time, track.times + 1
        return track

    @staticmethod
    def _part(here: list[Track]) -> None:
        """Two faces of a picture that were one person while only one of them was seen: the less clear one is not."""
        known: set[int] = set()
        for track in sorted(here, key=lambda track: -track.best):
            if track.person in known:
                track.person, track.best = None, 0.0
            elif track.person is not None:
                known.add(track.person)

    def _name(self, vectors: list[tuple[Track, Found, Vector]], here: list[Track], same: float) -> None:
        """Give each embedded face its person: nearest pairs first, and never one person to two faces of a picture."""
        unnamed = []
        for track, found, vector in vectors:
            track.best = found.clearness
            if track.person is not None:
                person = self.people[track.person - 1]
                if distance(person.vector, vector) <= same + DRIFT:
                    person.take(vector, max(0.1, found.clearness))
                    continue
                track.person = None
            unnamed.append((track, found, vector))
        taken = {track.person for track in here}
        near = [
            (distance(person.vector, vector), number, index)
            for number, person in enumerate(self.people, 1)
            for index, (_, _, vector) in enumerate(unnamed)
        ]
        full = len(self.people) >= MOST
        for far, number, index in sorted(near):
            track, found, vector = unnamed[index]
            if track.person is None and number not in taken and (far <= same or full):
                track.person = number
                taken.add(number)
                if far <= same:
                    self.people[number - 1].take(vector, max(0.1, found.clearness))
        for track, found, vector in unnamed:
            if track.person is None and len(self.people) < MOST:
                self.people.append(Person(mean=packed(vector), weight=max(0.1, found.clearness)))
                track.person = len(self.people)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (one.width * one.height + other.width * other.height - common)


def distance(one: Vector, other: Vector) -> float:
    """Euclidean."""
    return float(np.linalg.norm(one - other))


def packed(vector: NDArray[np.floating]) -> str:
    return b64encode(vector.astype(np.float16).tobytes()).decode()


def _rounded(box: Box) -> dict[str, float]:
    """Within the picture, four digits."""
    left, top = min(max(box.left, 0.0), 1.0), min(max(box.top, 0.0), 1.0)
    right, bottom = min(max(box.left + box.width, left), 1.0), min(max(box.top + box.height, top), 1.0)
    sides = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {side: round(value, 4) for side, value in sides.items()}
