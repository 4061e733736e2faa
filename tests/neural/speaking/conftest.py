"""Tiny models, built once a session."""

from pathlib import Path

import pytest

from tests.neural.speaking import models

Factory = pytest.TempPathFactory


@pytest.fixture(scope="session")
def marian(tmp_path_factory: Factory) -> Path:
    """English to German, as OPUS-MT is published."""
    return models.marian(tmp_path_factory.mktemp("translation") / "opus-mt-en-de")


@pytest.fixture(scope="session")
def nllb(tmp_path_factory: Factory) -> Path:
    """Many languages in one model."""
    return models.nllb(tmp_path_factory.mktemp("translation") / "nllb")


@pytest.fixture(scope="session")
def marian_ct2(marian: Path) -> Path:
    return models.converted(marian)


@pytest.fixture(scope="session")
def nllb_ct2(nllb: Path) -> Path:
    return models.converted(nllb)


@pytest.fixture(scope="session")
def vits(tmp_path_factory: Factory) -> Path:
    """A woman and a man in one VITS."""
    return models.vits(tmp_path_factory.mktemp("vits"))


@pytest.fixture(scope="session")
def xtts(tmp_path_factory: Factory) -> Path:
    """An XTTS with a recording of one voice."""
    return models.xtts(tmp_path_factory.mktemp("xtts"))
