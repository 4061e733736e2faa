"""A continuous flow of packets, cut into segments at its key pictures."""

from collections.abc import Sequence

from services.downloader.demux import Fragment, Head, Packet, Tracks, fragment
from shared.audio import TICKS

LENGTH = 2 * TICKS
"""Ticks after which the next key picture starts a new segment."""
LATE = 5 * TICKS
"""Ticks of pictures after which sound that has not come is not waited for."""


class Shears:
    """Takes packets in order of decoding, hands out segments; `pictured` says whether there is a picture track."""

    def __init__(self, audio: Head, pictured: bool) -> None:
        self._audio, self._pictured = audio, pictured
        self._pictures: list[tuple[Head, Packet]] = []
        self._sounds: list[Packet] = []

    def picture(self, head: Head, row: Packet) -> None:
        """One coded picture; those before the first key picture are of no use."""
        if self._pictures or row.key:
            self._pictures.append((head, row))

    def sound(self, rows: Sequence[Packet]) -> None:
        """Some coded sound."""
        self._sounds += rows

    def next(self) -> Fragment | None:
        """A segment, once the picture (or, without one, the sound) after it is known, and its sound is there."""
        rows = [row for _, row in self._pictures] if self._pictured else self._sounds
        for index, row in enumerate(rows):
            if index and row.key and (row.pts - rows[0].pts >= LENGTH - TICKS // 50 or self._changes(index)):
                late = rows[-1].pts - row.pts > LATE
                heard = bool(self._sounds) and self._sounds[-1].pts >= row.pts
                return self._take(index) if late or heard else None
        return None

    def _changes(self, index: int) -> bool:
        return self._pictured and self._pictures[index][0] != self._pictures[0][0]

    def _take(self, cut: int) -> Fragment:
        if not self._pictured:
            sounds, self._sounds = self._sounds[:cut], self._sounds[cut:]
            return fragment(Tracks(audio=self._audio, sounds=tuple(sounds)))
        head, first = self._pictures[0]
        after = self._pictures[cut][1]
        sounds = [row for row in self._sounds if row.pts < after.pts]
        tracks = Tracks(head, tuple(row for _, row in self._pictures[:cut]), self._audio, tuple(sounds))
        self._pictures, self._sounds = self._pictures[cut:], [row for row in self._sounds if row.pts >= after.pts]
        return fragment(tracks, after.dts - first.dts)

    def rest(self) -> Fragment | None:
        """What has been taken in and not handed out."""
        if not (self._pictures if self._pictured else self._sounds):
            return None
        head = self._pictures[0][0] if self._pictured else None
        tracks = Tracks(head, tuple(row for _, row in self._pictures), self._audio, tuple(self._sounds))
        self._pictures, self._sounds = [], []
        return fragment(tracks)
