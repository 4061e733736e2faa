"""Coqui XTTS-v2 (coqui-tts, MPL-2.0; weights CPML: no commercial use), which imitates a voice it has heard.

Casanova et al., "XTTS: a Massively Multilingual Zero-Shot Text-to-Speech Model" (2024).
"""

import asyncio
import threading
from collections import OrderedDict
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from services.tts.engines import EngineMissing, Options, Sound, SpeechFailed
from services.tts.engines.checkpoint import LIST, Listed, checked, listed
from services.tts.engines.vits import seed
from shared.audio import EAR, Pcm
from shared.context import Voice
from shared.messages import Gender

RATE = 24_000
REFERENCE = 22_050
"""Samples a second of what the model listens to."""
OWN = "own"
GENDERS: tuple[Gender, ...] = ("f", "m")
KNOWN = 64
"""Voices kept in mind."""
PIECE = 6
"""Seconds that it listens to at once."""
CHUNK = 20
"""Tokens of sound that are decoded at once, some 0.9 s."""
CHARACTER = 0.3
"""Seconds of speech for each character beyond which the model only babbles."""


class Xtts:
    """One checkpoint; its voices are those of `voices.json`: the model's own by name, or recordings."""

    rates = (0.8, 1.4)
    cheap = False

    def __init__(self, options: Options | None = None) -> None:
        options = options or Options()
        folder = checked(options, "model.pth", "config.json", "vocab.json")
        found = listed(folder)
        if not found and not options.imitate:
            raise EngineMissing(
                f"{folder / LIST} is missing: list voices there, or set TTS_IMITATE with the speakers' consent"
            )
        self._torch: Any = import_module("torch")
        self._resampled: Any = import_module("torchaudio.functional").resample
        if options.threads:
            self._torch.set_num_threads(options.threads)
        config = import_module("TTS.tts.configs.xtts_config").XttsConfig()
        config.load_json(str(folder / "config.json"))
        self._model: Any = import_module("TTS.tts.models.xtts").Xtts.init_from_config(config)
        self._model.load_checkpoint(config, checkpoint_dir=str(folder), eval=True)
        self._model.to(options.device)
        self._listed: dict[str, tuple[Any, Any]] = {}
        self._heard: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()
        languages = [str(language) for language in config.languages]
        self._list(folder, found)
        found = found or [Listed(name=f"{OWN}-{gender}", gender=gender) for gender in GENDERS]
        self.voices = [
            Voice(name=f"{tongue}/{each.name}", language=_tag(tongue), gender=each.gender, pace=each.pace)
            for each in found
            for tongue in languages
            if each.language in ("", _tag(tongue))
        ]

    async def speak(self, text: str, voice: str, *, rate: float = 1.0) -> Sound:
        """24 kHz, streamed and cut off where the model does not end; the same each time. Raises SpeechFailed."""
        language, _, name = voice.partition("/")
        if name not in self._listed:
            raise SpeechFailed(f"there is no voice {name!r} yet")
        return await asyncio.to_thread(self._spoken, text, language, name, self._listed[name], rate)

    async def imitate(self, text: str, voice: str, heard: Pcm, *, rate: float = 1.0) -> Sound:
        """24 kHz, as who is heard; whether that is allowed is the caller's to know. Raises SpeechFailed."""
        name = sha256(heard.tobytes()).hexdigest()
        if name not in self._heard:
            self._heard[name] = await asyncio.to_thread(self._listen, heard, EAR)
        self._heard.move_to_end(name)
        while len(self._heard) > KNOWN:
            self._heard.popitem(last=False)
        return await asyncio.to_thread(self._spoken, text, voice.partition("/")[0], name, self._heard[name], rate)

    def _spoken(self, text: str, language: str, name: str, latents: tuple[Any, Any], rate: float) -> Sound:
        longest, chunks, samples = (3 + CHARACTER * len(text)) * RATE, [], 0
        with self._lock, self._torch.inference_mode():
            self._torch.manual_seed(seed(text, name, str(rate)))
            try:
                for chunk in self._model.inference_stream(
                    text,
                    language,
                    *latents,
                    stream_chunk_size=CHUNK,
                    speed=min(max(rate, self.rates[0]), self.rates[1]),
                    enable_text_splitting=False,
                ):
                    chunks.append(chunk.float().cpu().numpy())
                    samples += len(chunks[-1])
                    if samples > longest:
                        raise SpeechFailed("XTTS does not come to an end")
            except (RuntimeError, ValueError, IndexError, AssertionError) as error:
                if isinstance(error, SpeechFailed):
                    raise
                raise SpeechFailed(f"XTTS failed: {str(error)[:200]}") from error
        return Sound(np.concatenate(chunks) if chunks else np.zeros(0, np.float32), RATE)

    def _listen(self, pcm: Pcm, rate: int) -> tuple[Any, Any]:
        """What the model needs to know of a voice: how it speaks, and its sound."""
        sound = self._torch.from_numpy(np.ascontiguousarray(pcm))[None]
        sound = self._resampled(sound, rate, REFERENCE).to(self._model.device)
        length = max(1, sound.shape[-1] // REFERENCE)
        with self._lock, self._torch.inference_mode():
            try:
                latent = self._model.get_gpt_cond_latents(
                    sound, REFERENCE, length=length, chunk_length=min(PIECE, length)
                )
                return latent, self._model.get_speaker_embedding(sound, REFERENCE)
            except (RuntimeError, ValueError) as error:
                raise SpeechFailed(f"XTTS cannot imitate this: {str(error)[:200]}") from error

    def _list(self, folder: Path, found: list[Listed]) -> None:
        known = getattr(self._model.speaker_manager, "speakers", None) or {}
        for each in found:
            if each.recording:
                pcm, rate = import_module("soundfile").read(folder / each.recording, dtype="float32", always_2d=True)
                self._listed[each.name] = self._listen(pcm.mean(axis=1), int(rate))
            elif each.name in known:
                speaker = known[each.name]
                self._listed[each.name] = speaker["gpt_cond_latent"], speaker["speaker_embedding"]
            else:
                raise EngineMissing(f"{folder.name} has no voice {each.name!r}: give it a recording in {LIST}")


def _tag(language: str) -> str:
    """BCP 47 of the model's own name of a language."""
    return {"zh-cn": "zh"}.get(language, language)
