"""Coqui's VITS and XTTS: the adapters' contract, on weights that mean nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from services.tts import engines
from services.tts.engines import EngineMissing, Imitator, Options, SpeechFailed, Synthesiser
from shared.audio import EAR, Pcm

for package in ("torch", "TTS"):
    pytest.importorskip(package)

TEXT = "guten abend meine damen und herren"


@pytest.fixture(scope="module")
def vits_engine(vits: Path) -> Synthesiser:
    return engines.load("vits", Options(model=vits, threads=1))


@pytest.fixture(scope="module")
def xtts_engine(xtts: Path) -> Synthesiser:
    return engines.load("xtts", Options(model=xtts, threads=1, imitate=True))


def humming(pitch: float, seconds: float = 4.0) -> Pcm:
    return (0.1 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * EAR)) / EAR)).astype(np.float32)


async def test_vits_speaks_with_each_of_its_voices_and_the_same_way_each_time(vits_engine: Synthesiser) -> None:
    assert [(voice.name, voice.gender, voice.language) for voice in vits_engine.voices] == [
        ("female_0", "f", "de"),
        ("male_0", "m", "de"),
    ]
    woman, again, man = [await vits_engine.speak(TEXT, name) for name in ("female_0", "female_0", "male_0")]
    assert woman.rate == 22_050
    assert np.array_equal(woman.pcm, again.pcm)
    assert not np.array_equal(woman.pcm, man.pcm)


async def test_vits_is_asked_for_the_rate_first(vits_engine: Synthesiser) -> None:
    slow, quick = [await vits_engine.speak(TEXT, "male_0", rate=rate) for rate in (0.7, 1.5)]
    assert len(quick.pcm) < 0.9 * len(slow.pcm)


async def test_a_voice_that_does_not_exist_is_a_failure_of_speech(
    vits_engine: Synthesiser, xtts_engine: Synthesiser
) -> None:
    for engine in (vits_engine, xtts_engine):
        with pytest.raises(SpeechFailed, match="no voice"):
            await engine.speak(TEXT, "de/nobody")


def test_a_voice_that_is_listed_but_not_in_the_model_is_told(vits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vits"
    shutil.copytree(vits, folder)
    (folder / "voices.json").write_text(json.dumps([{"name": "nobody", "gender": "f", "language": "de"}]))
    with pytest.raises(EngineMissing, match="no voice nobody"):
        engines.load("vits", Options(model=folder))
    (folder / "voices.json").unlink()
    with pytest.raises(EngineMissing, match=r"voices\.json is missing"):
        engines.load("vits", Options(model=folder))


async def test_xtts_speaks_as_a_recording_in_every_language_and_the_same_way_each_time(
    xtts_engine: Synthesiser,
) -> None:
    assert [(voice.name, voice.language) for voice in xtts_engine.voices] == [("en/ana", "en"), ("de/ana", "de")]
    once, again = [await xtts_engine.speak(TEXT, "de/ana") for _ in range(2)]
    assert once.rate == 24_000
    assert len(once.pcm) > 2_400
    assert np.array_equal(once.pcm, again.pcm)


async def test_xtts_imitates_whom_it_hears(xtts_engine: Synthesiser) -> None:
    assert isinstance(xtts_engine, Imitator)
    low, again, high = [await xtts_engine.imitate(TEXT, "de/ana", humming(pitch)) for pitch in (110, 110, 220)]
    assert np.array_equal(low.pcm, again.pcm)
    assert not np.array_equal(low.pcm, high.pcm)


async def test_xtts_that_does_not_come_to_an_end_is_cut_off(
    xtts_engine: Synthesiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tts.engines.xtts.CHARACTER", -1.0)
    with pytest.raises(SpeechFailed, match="does not come to an end"):
        await xtts_engine.speak(TEXT, "de/ana")


def test_xtts_without_voices_is_refused_unless_the_operator_lets_it_imitate(xtts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "xtts"
    shutil.copytree(xtts, folder)
    (folder / "voices.json").unlink()
    with pytest.raises(EngineMissing, match="consent"):
        engines.load("xtts", Options(model=folder))
    engine = engines.load("xtts", Options(model=folder, imitate=True))
    assert {(voice.language, voice.gender) for voice in engine.voices} == {
        (language, gender) for language in ("en", "de") for gender in ("f", "m")
    }
