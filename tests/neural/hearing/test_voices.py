"""Speaker embeddings of speechbrain and NeMo, with random weights."""

from pathlib import Path

import numpy as np
import pytest

from services.speaker.engines import Embedder, Piece, Unavailable, load
from shared.audio import EAR

RANDOM = np.random.default_rng(0)
PIECES = [Piece(0.0, (RANDOM.standard_normal(length) * 0.1).astype(np.float32)) for length in (6400, EAR, 3 * EAR)]


@pytest.fixture(params=["ecapa", "titanet"], scope="module")
def embedder(request: pytest.FixtureRequest, voices: Path) -> Embedder:
    """Each adapter, loaded."""
    return load(request.param, voices)


def test_a_piece_is_a_vector_of_unit_length_whatever_stands_beside_it(embedder: Embedder) -> None:
    vectors = embedder.embed(PIECES)
    assert vectors.shape[0] == len(PIECES)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(PIECES[1:2])[0], vectors[1], atol=1e-5)


def test_who_is_the_same_is_further_from_other_than_who_is_not(embedder: Embedder) -> None:
    assert embedder.different < embedder.same < 1


def test_gender_is_told_by_pitch_while_nobody_has_fitted_a_line(embedder: Embedder) -> None:
    time = np.arange(EAR) / EAR
    for hertz, side in ((110, -1), (220, 1)):
        tone = sum(np.sin(2 * np.pi * hertz * harmonic * time) / harmonic for harmonic in range(1, 6))
        pcm = (0.1 * np.asarray(tone)).astype(np.float32)
        told = embedder.gender(pcm, embedder.embed([Piece(0.0, pcm)])[0])
        assert told is not None
        assert told * side > 1


@pytest.mark.parametrize("name", ["ecapa", "titanet"])
def test_a_folder_without_a_model_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=name):
        load(name, tmp_path)
