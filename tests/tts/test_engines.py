import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from services.tts import engines
from services.tts.engines import EngineMissing, SpeechFailed, Synthesiser, stretch
from services.tts.engines.checkpoint import checked, listed
from services.tts.levels import fault, resampled, trimmed
from services.tts.synthesis import Studio
from shared.audio import VOICE, Pcm

needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
ENGINES = ["scripted", pytest.param("espeak", marks=needs_espeak)]
TEXT = "El lunes por la mañana hablamos en Londres."


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Synthesiser:
    return engines.load(request.param)


async def heard(engine: Synthesiser, voice: str, rate: float = 1.0) -> Pcm:
    sound = await engine.speak(TEXT, voice, rate=rate)
    return trimmed(resampled(sound.pcm, sound.rate))


def test_every_language_has_a_man_and_a_woman(engine: Synthesiser) -> None:
    names = [voice.name for voice in engine.voices]
    assert len(names) == len(set(names))
    for language in ("es", "ca"):
        assert {voice.gender for voice in engine.voices if voice.language == language} == {"f", "m"}


async def test_speech_is_sound_and_the_same_every_time(engine: Synthesiser) -> None:
    voice = engine.voices[0].name
    once, again = await heard(engine, voice), await heard(engine, voice)
    assert fault(once) == ""
    assert np.array_equal(once, again)
    assert 1.0 < len(once) / VOICE < 6.0


async def test_a_higher_rate_is_shorter(engine: Synthesiser) -> None:
    voice = engine.voices[0].name
    plain, quick = await heard(engine, voice), await heard(engine, voice, rate=1.3)
    assert 1.15 < len(plain) / len(quick) < 1.45


async def test_women_and_men_sound_different(engine: Synthesiser) -> None:
    man, woman = (next(v.name for v in engine.voices if v.language == "es" and v.gender == g) for g in ("m", "f"))
    assert not np.array_equal(await heard(engine, man), await heard(engine, woman))


async def test_a_text_spoken_again_is_fitted_exactly(engine: Synthesiser) -> None:
    studio = Studio(lambda: engine, lambda: stretch.load("signalsmith"))
    voice = engine.voices[0].name
    take = await studio.take(TEXT, voice)
    samples = round(len(take) / 1.25)
    assert len(await studio.again(TEXT, voice, 1.25, samples)) == samples
    assert len(await studio.paced(take, 1.25)) == samples


@needs_espeak
async def test_a_voice_that_does_not_exist_is_a_failure_of_speech() -> None:
    with pytest.raises(SpeechFailed):
        await engines.load("espeak").speak(TEXT, "xx-nobody")


def test_a_missing_program_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EngineMissing, match="apt install espeak-ng"):
        engines.load("espeak")


def test_an_unknown_engine_is_told_with_those_there_are() -> None:
    with pytest.raises(EngineMissing, match="espeak, vits, xtts, scripted"):
        engines.load("flute")
    with pytest.raises(EngineMissing, match="rubberband, signalsmith"):
        stretch.load("flute")


@pytest.mark.parametrize("name", ["rubberband", "signalsmith", "auto"])
def test_stretching_keeps_the_pitch(name: str) -> None:
    try:
        stretcher = stretch.load(name)
    except EngineMissing as missing:
        pytest.skip(str(missing))
    tone = (0.2 * np.sin(2 * np.pi * 440 * np.arange(VOICE) / VOICE)).astype(np.float32)
    quick = stretcher(tone, 1.2)
    assert len(quick) == pytest.approx(VOICE / 1.2, abs=0.02 * VOICE)
    middle = quick[8000:32000]
    assert np.argmax(np.abs(np.fft.rfft(middle))) * VOICE / len(middle) == pytest.approx(440, abs=5)


def sound(seconds: float, level: float = 0.2) -> Pcm:
    at = np.arange(round(seconds * VOICE)) / VOICE
    return (level * np.sin(2 * np.pi * 220 * at)).astype(np.float32)


@pytest.mark.parametrize(
    ("pcm", "reason"),
    [
        (sound(2.0), ""),
        (sound(0.05), "short"),
        (sound(0.3), "short"),
        (sound(30.0), "long"),
        (sound(2.0, level=1e-4), "silent"),
        (np.sign(sound(2.0)), "clipped"),
        (sound(2.0) * np.float32(np.nan), "broken"),
    ],
)
def test_a_sound_that_cannot_be_the_text_is_told_apart(pcm: Pcm, reason: str) -> None:
    assert fault(pcm, TEXT) == reason


def test_a_model_folder_that_is_not_one_is_told_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match="TTS_MODEL"):
        checked(engines.Options())
    with pytest.raises(EngineMissing, match=r"no model\.pth: set TTS_MODEL"):
        checked(engines.Options(model=tmp_path), "model.pth")


def test_voices_are_those_that_the_operator_lists(tmp_path: Path) -> None:
    assert listed(tmp_path) == []
    (tmp_path / "voices.json").write_text(json.dumps([{"name": "ana", "gender": "f", "language": "es"}]))
    [voice] = listed(tmp_path)
    assert (voice.name, voice.gender, voice.language, voice.recording) == ("ana", "f", "es", "")
    (tmp_path / "voices.json").write_text(json.dumps([{"name": "ana", "gender": "woman"}]))
    with pytest.raises(EngineMissing, match=r"voices\.json cannot be read: 0\.gender"):
        listed(tmp_path)
