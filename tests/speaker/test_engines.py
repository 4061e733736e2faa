"""Embedders: the protocol, pitch, the weights' reader, and the real weights where they have been fetched."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from services.speaker.engines import Embedder, Options, Piece, Unavailable, load
from services.speaker.engines.dvector import WHEEL, Checkpoint, DVector, mel_filters
from services.speaker.engines.gender import by_pitch, pitch
from shared.audio import EAR, Pcm

MODELS = Path(os.environ.get("SPEAKER_MODELS", "models"))


def hum(hertz: float, seconds: float = 2.0) -> Pcm:
    """A voice-like sound: harmonics that fall off by 12 dB an octave."""
    time = np.arange(int(seconds * EAR)) / EAR
    harmonics = [np.sin(2 * np.pi * hertz * n * time) / n**2 for n in range(1, 20)]
    pcm: Pcm = (0.05 * np.sum(harmonics, axis=0)).astype(np.float32)
    return pcm


@pytest.fixture(scope="module", params=["scripted", "dvector"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "dvector" and not (MODELS / WHEEL).is_file():
        pytest.skip(f"{MODELS / WHEEL} has not been fetched")
    return load(request.param, MODELS)


def test_vectors_have_unit_length_one_a_piece(embedder: Embedder) -> None:
    vectors = embedder.embed([Piece(0.0, hum(120, 0.4)), Piece(4.0, hum(210, 3.0)), Piece(9.0, hum(120, 1.6))])
    assert len(vectors) == 3
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-4)


def test_a_vector_does_not_depend_on_what_else_is_embedded(embedder: Embedder) -> None:
    pieces = [Piece(0.0, hum(120, 1.2)), Piece(40.0, hum(210, 2.0))]
    together = embedder.embed(pieces)
    assert np.allclose(together, np.concatenate([embedder.embed([piece]) for piece in pieces]), atol=1e-4)


def test_gender_is_never_surer_than_six(embedder: Embedder) -> None:
    [vector] = embedder.embed([Piece(0.0, hum(210))])
    log_odds = embedder.gender(hum(210), vector)
    assert log_odds is not None
    assert -6 <= log_odds <= 6


def test_scripted_speakers_take_turns_by_media_time() -> None:
    scripted = load("scripted", MODELS)
    vectors = scripted.embed([Piece(start, hum(100)) for start in (1.0, 20.0, 33.0)])
    assert (vectors[0] == vectors[2]).all()
    assert (vectors[0] != vectors[1]).any()


@pytest.mark.parametrize("hertz", [90.0, 120.0, 200.0, 250.0])
def test_pitch_is_heard_to_two_hertz_in_a_hundred(hertz: float) -> None:
    assert np.median(pitch(hum(hertz))) == pytest.approx(hertz, rel=0.02)


def test_low_voices_are_men_high_ones_women_and_silence_neither() -> None:
    low, high = by_pitch(hum(100)), by_pitch(hum(200))
    assert low is not None
    assert high is not None
    assert low < 0 < high
    assert by_pitch(np.zeros(EAR, np.float32)) is None
    assert by_pitch(np.zeros(10, np.float32)) is None


def test_missing_weights_are_told_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"pip download --no-deps --dest .* Resemblyzer==0\.1\.4"):
        DVector(Options(tmp_path))


def test_an_unknown_engine_is_told_with_those_there_are() -> None:
    with pytest.raises(Unavailable, match="dvector, ecapa, titanet, scripted"):
        load("nobody", MODELS)


def test_a_checkpoint_cannot_run_code() -> None:
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        Checkpoint(io.BytesIO(pickle.dumps(os.getcwd))).load()


def test_each_mel_filter_has_area_and_they_rise() -> None:
    filters = mel_filters()
    assert filters.shape == (201, 40)
    assert (filters.sum(axis=0) > 0).all()
    assert (np.diff(filters.argmax(axis=0)) >= 0).all()
