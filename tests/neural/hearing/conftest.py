"""Tiny models, built once a session."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the neural engines are not installed")

from tests.neural.hearing import models

Factory = pytest.TempPathFactory


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: Factory) -> Path:
    """A folder with a Whisper for faster-whisper."""
    pytest.importorskip("faster_whisper", reason="faster-whisper is not installed")
    return models.whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="session")
def fastconformer(tmp_path_factory: Factory) -> Path:
    """A folder with a cache-aware FastConformer of NeMo."""
    pytest.importorskip("nemo", reason="NeMo is not installed")
    return models.fastconformer(tmp_path_factory.mktemp("nemo") / "fastconformer")


@pytest.fixture(scope="session")
def punctuation(tmp_path_factory: Factory) -> Path:
    """A folder with a token classifier of transformers."""
    return models.punctuation(tmp_path_factory.mktemp("punctuation"))


@pytest.fixture(scope="session")
def voices(tmp_path_factory: Factory) -> Path:
    """A folder with the speaker models `ecapa` and `titanet`."""
    pytest.importorskip("speechbrain", reason="speechbrain is not installed")
    pytest.importorskip("nemo", reason="NeMo is not installed")
    folder = tmp_path_factory.mktemp("voices")
    models.ecapa(folder / "ecapa")
    models.titanet(folder / "titanet")
    return folder
