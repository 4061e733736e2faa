"""The test broadcast says what it says it says."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from loadtest.broadcast import PEOPLE, SCRIPT, Bed, Play, Say, broadcast, from_recording, music, tone
from shared.audio import VOICE

needs_flite = pytest.mark.skipif(not shutil.which("flite"), reason="needs the program flite")
SHORT = (Bed(on=True), Say("Susan", "Good evening.", 0.5), Say("Robert", "Thank you, Susan.", 0.4), Bed(on=False))


@needs_flite
def test_the_timeline_is_where_the_speech_is(tmp_path: Path) -> None:
    programme = broadcast(
        (*SHORT, Play("jingle", 2.0), Play("silence", 1.0), Say("Susan", "Good night.", 0.5)), tmp_path
    )
    assert [row.speaker for row in programme.timeline] == ["Susan", "Robert", "Susan"]
    mono = programme.sound.mean(axis=0)
    for row in programme.timeline:
        level = np.sqrt(np.mean(mono[round(row.start * VOICE) : round(row.end * VOICE)] ** 2))
        assert 20 * np.log10(level) == pytest.approx(-23, abs=1)
        assert programme.speaker((row.start + row.end) / 2) == row.speaker
    assert all(a.end < b.start for a, b in pairwise(programme.timeline))
    last = programme.timeline[-1]
    assert np.abs(mono[round((last.start - 0.9) * VOICE) : round((last.start - 0.1) * VOICE)]).max() < 0.01
    assert programme.duration % 8 == 0


@needs_flite
def test_a_broadcast_is_the_same_from_the_cache(tmp_path: Path) -> None:
    first, second = broadcast(SHORT, tmp_path), broadcast(SHORT, tmp_path)
    assert first.digest == second.digest
    assert first.timeline == second.timeline
    assert np.array_equal(first.sound, second.sound)
    assert len(list((tmp_path / "broadcast").iterdir())) == 2


def test_without_flite_there_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get install flite"):
        broadcast(SHORT, tmp_path)


def test_the_script_has_two_voices_music_and_a_silence() -> None:
    said = [step for step in SCRIPT if isinstance(step, Say)]
    assert {step.who for step in said} == set(PEOPLE)
    assert all(0.3 <= step.pause <= 1.2 for step in said)
    assert {step.what for step in SCRIPT if isinstance(step, Play)} == {"jingle", "silence"}
    assert [step.on for step in SCRIPT if isinstance(step, Bed)] == [True, False, True, False]


def test_a_recording_becomes_a_broadcast_of_whole_segments(tmp_path: Path) -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(3 * 16_000) / 16_000) * 0.5
    soundfile.write(tmp_path / "talk.flac", wave, 16_000)
    programme = from_recording(tmp_path / "talk.flac")
    assert programme.title == "TALK"
    assert programme.sound.shape == (2, 8 * VOICE)
    assert np.sqrt(np.mean(programme.sound[0, VOICE : 2 * VOICE] ** 2)) == pytest.approx(0.5 / 2**0.5, abs=0.01)
    assert not programme.sound[:, 4 * VOICE :].any()


def test_the_sound_goes_on_from_the_start_when_it_ends() -> None:
    programme = tone(8)
    size = programme.sound.shape[1]
    seam = programme.read(size - 100, size + 100)
    assert np.array_equal(seam, np.concatenate([programme.sound[:, -100:], programme.sound[:, :100]], axis=1))
    assert np.array_equal(programme.read(-100, 0), programme.sound[:, -100:])


def test_music_has_the_level_that_was_asked_for() -> None:
    assert np.sqrt(np.mean(music(5.0, 0.05, seed=3) ** 2)) == pytest.approx(0.05, rel=1e-3)
