from pathlib import Path

import pytest

from loadtest.persons import Scene, film, scene
from services.faces import engines
from services.faces.engines import Engine
from services.faces.engines.hog import ARCHIVE

MODELS = Path("models")


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The embedded engine, where its weights have been fetched."""
    if not (MODELS / ARCHIVE).is_file():
        pytest.skip(f"models/ has no {ARCHIVE}")
    return engines.load("hog", MODELS)


@pytest.fixture(scope="session")
def play() -> Scene:
    """A dialogue of a man and a woman."""
    return scene()


@pytest.fixture(scope="session")
def dialogue(play: Scene, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The dialogue as a film of two drawn people."""
    path = tmp_path_factory.mktemp("film") / "dialogue.mp4"
    film(path, play, size=(640, 360))
    return path.read_bytes()
