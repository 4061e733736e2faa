"""Takes and clips: an engine's sound made fit to be placed, and fitted to its place."""

import asyncio
import logging
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from subprocess import SubprocessError

import numpy as np

from services.tts.engines import Imitator, SpeechFailed, Synthesiser
from services.tts.engines.stretch import Stretcher
from services.tts.levels import fault, fitted, levelled, resampled, trimmed
from shared.audio import VOICE, Pcm, ticks, to_bytes

log = logging.getLogger(__name__)

CLOSE = 0.004
"""Residual change of pace that cutting or padding hides: a take ends in 20 ms of silence."""
ANEW = 1.001
"""Rate of a second attempt: nobody hears it, and a model that draws at random draws anew at another rate."""


class Studio:
    """One engine and one stretcher; both are loaded when they are first needed."""

    def __init__(self, engine: Callable[[], Synthesiser], stretcher: Callable[[], Stretcher]) -> None:
        self._engine, self._stretcher = engine, stretcher

    @cached_property
    def engine(self) -> Synthesiser:
        """Raises EngineMissing."""
        return self._engine()

    @cached_property
    def stretcher(self) -> Stretcher:
        """Raises EngineMissing."""
        return self._stretcher()

    async def take(self, text: str, voice: str, heard: Pcm | None = None) -> Pcm:
        """A text at 1.0x: 48 kHz, trimmed, levelled and checked, tried twice. Raises SpeechFailed.

        `heard`: 16 kHz of who is to be imitated, by an engine that can.
        """
        try:
            return await self._spoken(text, voice, 1.0, heard)
        except SpeechFailed as error:
            log.info("spoken again", extra={"voice": voice, "error": str(error)})
            return await self._spoken(text, voice, ANEW, heard)

    async def paced(self, pcm: Pcm, rate: float) -> Pcm:
        """A take at another pace, in exactly its length over `rate`. Raises SpeechFailed."""
        samples = max(1, round(len(pcm) / rate))
        residue = len(pcm) / samples
        if abs(residue - 1) > CLOSE:
            pcm = await self._stretched(pcm, residue)
        return fitted(pcm, samples)

    async def again(self, text: str, voice: str, rate: float, samples: int) -> Pcm:
        """A text spoken anew at a rate by an engine that is cheap, in exactly `samples`. Raises SpeechFailed."""
        slow, fast = self.engine.rates
        pcm = await self._spoken(text, voice, min(max(rate, slow), fast))
        residue = len(pcm) / samples
        if abs(residue - 1) > CLOSE:
            pcm = await self._stretched(pcm, residue)
        return fitted(pcm, samples)

    async def _stretched(self, pcm: Pcm, rate: float) -> Pcm:
        try:
            return await asyncio.to_thread(self.stretcher, pcm, rate)
        except (OSError, RuntimeError, ValueError, SubprocessError) as error:
            raise SpeechFailed(f"stretching failed: {error!r}") from error

    async def _spoken(self, text: str, voice: str, rate: float, heard: Pcm | None = None) -> Pcm:
        if heard is not None and isinstance(self.engine, Imitator):
            sound = await self.engine.imitate(text, voice, heard, rate=rate)
        else:
            sound = await self.engine.speak(text, voice, rate=rate)
        pcm = await asyncio.to_thread(lambda: trimmed(resampled(np.asarray(sound.pcm, np.float32), sound.rate)))
        if reason := fault(pcm, text):
            raise SpeechFailed(f"the sound is {reason}")
        return await asyncio.to_thread(levelled, pcm)


def key(stream: str, kind: str, start: float, samples: bytes) -> str:
    """Name of an object: where it belongs in time, and a hash of what is in it."""
    return f"{stream}/{kind}-{ticks(start)}-{sha256(samples).hexdigest()[:12]}"


def duration(samples: bytes) -> float:
    """Seconds of 48 kHz mono s16."""
    return len(samples) / 2 / VOICE


def encoded(pcm: Pcm) -> bytes:
    """48 kHz mono s16."""
    return to_bytes(pcm)
