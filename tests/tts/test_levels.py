import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tts.levels import fault, fitted, levelled, loudness, resampled, trimmed
from shared.audio import VOICE, Pcm


def tone(seconds: float, level: float = 0.1, pitch: float = 997.0, rate: int = VOICE) -> Pcm:
    return (level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_a_full_scale_tone_of_997_hertz_has_minus_3_lufs() -> None:
    assert loudness(tone(5.0, level=1.0)) == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("level", [0.01, 0.1, 0.3])
def test_a_levelled_sound_has_minus_20_lufs(level: float) -> None:
    assert loudness(levelled(tone(2.0, level))) == pytest.approx(-20.0, abs=0.1)


def test_silence_has_no_loudness_and_stays_silence() -> None:
    assert loudness(np.zeros(VOICE, np.float32)) == -np.inf
    assert not levelled(np.zeros(VOICE, np.float32)).any()


def test_pauses_do_not_count_as_quiet_speech() -> None:
    gapped = np.concatenate([tone(2.0), np.zeros(4 * VOICE, np.float32), tone(2.0)])
    assert loudness(gapped) == pytest.approx(loudness(tone(4.0)), abs=0.8)


def test_silence_at_the_ends_is_cut_and_speech_is_not() -> None:
    silent = np.zeros(VOICE, np.float32)
    assert len(trimmed(np.concatenate([silent, tone(1.0), silent]))) == pytest.approx(VOICE, abs=0.06 * VOICE)
    assert not len(trimmed(silent))


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100])
def test_resampling_keeps_pitch_level_and_length(rate: int) -> None:
    out = resampled(tone(1.0, rate=rate), rate)
    assert len(out) == VOICE
    assert np.abs(out - tone(1.0))[2000:-2000].max() < 0.002


@pytest.mark.parametrize(
    ("pcm", "reason"),
    [
        (tone(0.05), "short"),
        (np.zeros(VOICE, np.float32), "silent"),
        (np.clip(tone(1.0, 5.0), -1, 1), "clipped"),
        (np.full(VOICE, np.nan, np.float32), "broken"),
        (tone(1.0), ""),
    ],
)
def test_what_cannot_be_spoken_has_a_reason(pcm: Pcm, reason: str) -> None:
    assert fault(pcm) == reason


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_fitted_sound_has_exactly_the_length_asked_for(have: int, wanted: int) -> None:
    assert len(fitted(np.ones(have, np.float32), wanted)) == wanted
