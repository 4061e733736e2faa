"""How loud people speak in the source, so that their dub is as loud."""

from pydantic import BaseModel

from services.sender.mix import Stereo, level
from shared.audio import VOICE

VOICED = -20.0
"""Level of clips as they come, dB."""
LOWEST, HIGHEST = -10.0, 8.0
"""dB by which clips are changed at most."""
SPAN = 60.0
"""Seconds of speech that the estimate rests on."""


class Loudness(BaseModel):
    """Running estimate of the level of speech."""

    speech: float = VOICED
    """dBFS."""
    weight: float = 0.0
    """Seconds heard, up to SPAN."""

    def add(self, pcm: Stereo) -> None:
        """Hear what an utterance sounded like."""
        heard = level(pcm)
        if heard is None:
            return
        length = pcm.shape[1] / VOICE
        self.weight = min(SPAN, self.weight + length)
        self.speech += (heard - self.speech) * min(1.0, length / self.weight)

    @property
    def gain(self) -> float:
        """Factor that brings a clip to the level of the source's speech."""
        change = min(HIGHEST, max(LOWEST, self.speech - VOICED)) if self.weight else 0.0
        return round(float(10 ** (change / 20)), 4)
