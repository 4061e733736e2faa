"""Coqui VITS (coqui-tts, MPL-2.0), one speaker or many; the licence of the weights is told with each checkpoint."""

import asyncio
import threading
from hashlib import sha256
from importlib import import_module
from typing import Any

import numpy as np

from services.tts.engines import EngineMissing, Options, Sound, SpeechFailed
from services.tts.engines.checkpoint import LIST, Listed, checked, listed
from shared.context import Voice


class Vits:
    """One checkpoint; its voices are those of `voices.json` beside it."""

    rates = (0.7, 1.5)
    cheap = False

    def __init__(self, options: Options | None = None) -> None:
        options = options or Options()
        folder = checked(options, "model.pth", "config.json")
        found = listed(folder)
        if not found:
            raise EngineMissing(f"{folder / LIST} is missing: list name, language and gender of each voice there")
        self._torch: Any = import_module("torch")
        if options.threads:
            self._torch.set_num_threads(options.threads)
        self._model: Any = import_module("TTS.utils.synthesizer").Synthesizer(
            tts_checkpoint=str(folder / "model.pth"),
            tts_config_path=str(folder / "config.json"),
            use_cuda=options.device.startswith("cuda"),
        )
        self._speakers = _speakers(self._model.tts_model)
        self._named = {
            name: each for each in found for name in [each.name] if not self._speakers or name in self._speakers
        }
        if unknown := {each.name for each in found} - set(self._named):
            raise EngineMissing(f"{folder.name} has no voice {', '.join(sorted(unknown))}")
        self.voices = [
            Voice(name=each.name, language=each.language, gender=each.gender, pace=each.pace) for each in found
        ]
        self._lock = threading.Lock()

    async def speak(self, text: str, voice: str, *, rate: float = 1.0) -> Sound:
        """Longer or shorter phonemes give the rate; the same text sounds the same each time. Raises SpeechFailed."""
        if voice not in self._named:
            raise SpeechFailed(f"there is no voice {voice!r}")
        return await asyncio.to_thread(
            self._spoken, text, self._named[voice], min(max(rate, self.rates[0]), self.rates[1])
        )

    def _spoken(self, text: str, voice: Listed, rate: float) -> Sound:
        model = self._model.tts_model
        languages = getattr(model, "language_manager", None)
        with self._lock:
            self._torch.manual_seed(seed(text, voice.name, str(rate)))
            model.length_scale = 1 / rate
            try:
                samples = self._model.tts(
                    text,
                    speaker_name=voice.name if self._speakers else None,
                    language_name=voice.language if languages and languages.name_to_id else None,
                    split_sentences=False,
                )
            except (RuntimeError, ValueError, IndexError, AssertionError) as error:
                raise SpeechFailed(f"VITS failed: {str(error)[:200]}") from error
        return Sound(np.asarray(samples, np.float32), int(self._model.output_sample_rate))


def _speakers(model: Any) -> set[str]:
    manager = getattr(model, "speaker_manager", None)
    return set(manager.name_to_id) if manager and manager.name_to_id else set()


def seed(*parts: str) -> int:
    """A number that depends on text, voice and rate alone, so that a repeated turn makes the same sound."""
    return int.from_bytes(sha256("\0".join(parts).encode()).digest()[:6], "big")
