import sys
from pathlib import Path

import av
import numpy as np
import pytest

from loadtest.persons import LEFT, RIGHT, drawn
from services.faces import engines
from services.faces.engines import Colour, Engine, Grey


def scaled(width: int) -> tuple[Grey, Colour]:
    """Both drawn people beside each other, with room around them."""
    pair = np.hstack(
        [np.pad(drawn(look, 0), ((80, 80), (80, 80), (0, 0)), constant_values=120) for look in (LEFT, RIGHT)]
    )
    frame = av.VideoFrame.from_ndarray(pair.astype(np.uint8), format="rgb24")
    size = {"width": width, "height": width * pair.shape[0] // pair.shape[1]}
    grey, colour = (frame.to_ndarray(format=form, **size).astype(np.uint8) for form in ("gray", "rgb24"))
    return grey, colour


def test_faces_are_found_and_told_apart(engine: Engine) -> None:
    grey, colour = scaled(640)
    found = sorted(engine.find(grey))
    assert len(found) == 2
    assert found[0].box.left + found[0].box.width < 0.5 < found[1].box.left
    left, right = (engine.embed(colour, each.box) for each in found)
    again = engine.embed(scaled(600)[1], found[0].box)
    assert left.shape == (128,)
    assert np.linalg.norm(left - again) < np.linalg.norm(left - right)
    assert np.linalg.norm(left - again) < engine.same


def test_there_is_no_face_in_noise_or_on_a_flat_picture(engine: Engine) -> None:
    assert engine.find(np.full((360, 640), 128, np.uint8)) == []
    assert engine.find(np.random.default_rng(1).integers(0, 255, (360, 640), np.uint8)) == []


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(engines.Unavailable, match="pip download"):
        engines.load("hog", tmp_path)
    with pytest.raises(engines.Unavailable, match="choose one of hog, yunet"):
        engines.load("eagle", tmp_path)


def test_a_library_that_is_not_installed_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(engines.Unavailable, match=r"cv2 is not installed: pip install 'dragoman\[faces-opencv\]'"):
        engines.load("yunet", tmp_path)
