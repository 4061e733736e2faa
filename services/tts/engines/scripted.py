"""Tones instead of speech, for tests and load tests: as long as a reader would take, and no words in them."""

import asyncio
import hashlib

import numpy as np

from services.tts.engines import Options, Sound, SpeechFailed
from shared.audio import VOICE, Pcm
from shared.context import Voice

PACE = 150
"""Words a minute at rate 1.0."""
CHARACTERS = 15.0
"""A second at rate 1.0."""
LANGUAGES = ("es", "ca", "fr", "de", "it", "pt", "gl", "en", "xx")
PITCHES = {"m": (98.0, 116.0, 131.0), "f": (185.0, 208.0, 233.0)}


class Scripted:
    """One tone a voice; its length is that of the text."""

    rates = (0.5, 2.0)
    cheap = True

    def __init__(self, options: Options | None = None) -> None:
        self.voices = [
            Voice(name=f"{language}-{gender}{number}", language=language, gender=gender, pace=PACE)
            for language in LANGUAGES
            for gender, pitches in (("m", PITCHES["m"]), ("f", PITCHES["f"]))
            for number in range(1, len(pitches) + 1)
        ]

    async def speak(self, text: str, voice: str, *, rate: float = 1.0) -> Sound:
        """48 kHz. Raises SpeechFailed for a text without a letter or digit."""
        characters = sum(character.isalnum() for character in text)
        if not characters:
            raise SpeechFailed("there is nothing to say")
        seconds = max(0.3, len(text.strip()) / CHARACTERS) / rate
        gender, number = voice[-2], int(voice[-1])
        tint = hashlib.sha256(text.encode()).digest()[0] / 256
        pitch = PITCHES[gender][number - 1] * (1 + 0.05 * tint)
        return Sound(await asyncio.to_thread(tone, seconds, pitch), VOICE)


def tone(seconds: float, pitch: float) -> Pcm:
    """48 kHz, at a pitch in Hz, swelling eight times a second."""
    at = np.arange(round(seconds * VOICE), dtype=np.float32) / VOICE
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * at) ** 2
    return (0.25 * swell * np.sin(2 * np.pi * pitch * at)).astype(np.float32)
