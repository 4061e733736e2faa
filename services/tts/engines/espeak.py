"""espeak-ng as a program, a process a phrase: its licence (GPL-3) stays out of ours."""

import asyncio
import shutil

import numpy as np

from services.tts.engines import EngineMissing, Options, Sound, SpeechFailed
from shared.audio import to_pcm
from shared.context import Voice

PROGRAM = "espeak-ng"
PACE = 175
"""Words a minute at rate 1.0."""
LANGUAGES = {
    "es": "es",
    "ca": "ca",
    "en": "en-us",
    "fr": "fr-fr",
    "de": "de",
    "it": "it",
    "pt": "pt",
    "pt-BR": "pt-br",
    "es-419": "es-419",
    "nl": "nl",
    "pl": "pl",
    "ro": "ro",
    "ru": "ru",
    "uk": "uk",
    "tr": "tr",
    "sv": "sv",
    "eu": "eu",
}
"""BCP 47 to the program's own names; it has no Galician."""
VARIANTS = {"m": ("m7", "m1", "m3", "m4", "m2", "m6"), "f": ("f2", "f5", "f1", "f3", "f4")}
HEADROOM = np.float32(0.8)
"""Some voices reach full scale."""
PATIENCE = 20.0
"""Seconds after which a phrase is given up."""


class Espeak:
    """Every language with six male and five female variants."""

    rates = (0.7, 2.0)
    cheap = True

    def __init__(self, options: Options | None = None) -> None:
        if not shutil.which(PROGRAM):
            raise EngineMissing("espeak-ng is not installed: apt install espeak-ng, or set TTS_ENGINE")
        self.voices = [
            Voice(name=f"{name}+{variant}", language=language, gender=gender, pace=PACE)
            for language, name in LANGUAGES.items()
            for gender, variants in (("m", VARIANTS["m"]), ("f", VARIANTS["f"]))
            for variant in variants
        ]

    async def speak(self, text: str, voice: str, *, rate: float = 1.0) -> Sound:
        """22.05 kHz in some 10 ms. Raises SpeechFailed."""
        words = round(PACE * min(max(rate, self.rates[0]), self.rates[1]))
        program = await asyncio.create_subprocess_exec(
            *(PROGRAM, "--stdin", "--stdout", "-z", "-b", "1", "-s", str(words), "-v", voice),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                out, error = await program.communicate(text.encode())
        except TimeoutError as late:
            raise SpeechFailed("espeak-ng took too long") from late
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
        if program.returncode:
            raise SpeechFailed(f"espeak-ng failed: {error.decode(errors='replace').strip()[:200]}")
        return _parsed(out)


def _parsed(wav: bytes) -> Sound:
    """The samples of a WAV that was written to a pipe: its lengths are not to be trusted."""
    at = wav.find(b"data", 12)
    if wav[:4] != b"RIFF" or at < 36:
        raise SpeechFailed("espeak-ng gave no sound")
    samples = wav[at + 8 :]
    pcm = to_pcm(samples[: len(samples) // 2 * 2]) * HEADROOM
    return Sound(pcm, int.from_bytes(wav[24:28], "little"))
