"""The original sound as PCM by media time: a cache that can always be rebuilt from the store."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from services.sender import encode
from services.sender.mix import Stereo
from services.sender.timeline import Piece
from shared.audio import TICKS, VOICE
from shared.cmaf import samples_of, track_of

log = logging.getLogger(__name__)

LEAD_IN = 3
"""Frames of the piece before that the decoder hears first."""


@dataclass
class Sound:
    """Decoded pieces by key; (first sample, PCM) each."""

    decoded: dict[str, tuple[int, Stereo]] = field(default_factory=dict)

    def decode(self, piece: Piece, init: bytes, media: bytes, lead: bytes | None) -> None:
        """Decode the sound of a piece; the same bytes give the same PCM, whatever was decoded before."""
        assert piece.audio
        try:
            track = track_of(init)
            start, samples = samples_of(media)
            before = samples_of(lead)[1][-LEAD_IN:] if lead else []
            found = encode.decode(track.codec, track.config, start, track.timescale, samples, before)
        except ValueError as error:
            log.warning("sound cannot be decoded", extra={"object": piece.audio.media, "error": repr(error)})
            found = 0, np.zeros((2, 0), np.float32)
        self.decoded[piece.audio.media] = found

    def keep(self, pieces: Sequence[Piece]) -> None:
        """Forget what is no longer around."""
        alive = {piece.audio.media for piece in pieces if piece.audio}
        self.decoded = {key: value for key, value in self.decoded.items() if key in alive}

    def read(self, pieces: Sequence[Piece], start: int, end: int) -> Stereo:
        """PCM of samples [start, end), silent where nothing was decoded; each piece within its own time."""
        out = np.zeros((2, end - start), np.float32)
        for piece in pieces:
            at, pcm = self.decoded.get(piece.audio.media if piece.audio else "", (0, out[:, :0]))
            low = max(start, at)
            high = min(end, at + pcm.shape[1])
            if low < high:
                out[:, low - start : high - start] = pcm[:, low - at : high - at]
        return out


def around(pieces: Sequence[Piece], start: int, end: int) -> list[Piece]:
    """Pieces with sound in samples [start, end), generously: coded sound is not cut where pictures are."""
    low, high = start * TICKS // VOICE - TICKS // 4, end * TICKS // VOICE + TICKS // 4
    return [piece for piece in pieces if piece.audio and piece.start < high and piece.end > low]
