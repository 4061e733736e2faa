"""The OpenCV engine on networks of a few numbers: how it finds, aligns and embeds, and nothing of quality."""

from pathlib import Path

import numpy as np
import pytest

from services.faces import engines
from services.faces.engines import Box, Colour, Engine, Grey
from services.faces.engines.yunet import DETECTOR, EMBEDDING
from tests.faces import tiny

pytest.importorskip("cv2", reason="opencv-python-headless is not installed")

LEFT, RIGHT = (slice(128, 160), slice(64, 96)), (slice(128, 160), slice(384, 416))


@pytest.fixture(scope="module")
def yunet(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("models")
    tiny.write(folder)
    return engines.load("yunet", folder)


def grey(*white: tuple[slice, slice]) -> Grey:
    picture = np.full((352, 640), 60, np.uint8)
    for cell in white:
        picture[cell] = 255
    return picture


def test_every_face_is_found_with_its_box_as_shares_of_the_picture(yunet: Engine) -> None:
    left, right = sorted(yunet.find(grey(LEFT, RIGHT)))
    assert left.box == pytest.approx((48 / 640, 112 / 352, 64 / 640, 64 / 352), abs=0.01)
    assert right.box.left - left.box.left == pytest.approx(320 / 640, abs=0.01)
    assert left.clearness > 0.4
    assert yunet.find(grey()) == []


def test_any_size_of_picture_is_looked_at(yunet: Engine) -> None:
    tall = np.ascontiguousarray(grey(LEFT).T)
    assert len(yunet.find(tall)) == len(yunet.find(grey(LEFT))) == 1
    assert yunet.find(np.full((35, 61), 60, np.uint8)) == []


def coloured(cell: tuple[slice, slice], around: tuple[int, int, int]) -> Colour:
    picture = np.full((352, 640, 3), 60, np.uint8)
    picture[cell[0].start - 16 : cell[0].stop + 16, cell[1].start - 16 : cell[1].stop + 16] = around
    picture[cell] = 255
    return picture


def test_an_embedding_has_unit_length_and_goes_with_the_face_and_not_with_its_place(yunet: Engine) -> None:
    boxes = [Box(cell[1].start / 640 - 0.025, 112 / 352, 0.1, 64 / 352) for cell in (LEFT, RIGHT)]
    red, blue = (250, 30, 30), (30, 30, 250)
    here, there = yunet.embed(coloured(LEFT, red), boxes[0]), yunet.embed(coloured(RIGHT, red), boxes[1])
    other = yunet.embed(coloured(LEFT, blue), boxes[0])
    assert np.linalg.norm(here) == pytest.approx(1.0, abs=1e-4)
    assert np.linalg.norm(here - there) < 0.1
    assert np.linalg.norm(here - other) > 0.2


def test_a_face_that_is_not_found_again_from_near_is_embedded_as_it_stands(yunet: Engine) -> None:
    vector = yunet.embed(np.full((352, 640, 3), 60, np.uint8), Box(0.9, 0.8, 0.2, 0.3))
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-4)


def test_missing_and_broken_models_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(engines.Unavailable, match=f"lacks {DETECTOR} and {EMBEDDING}.*opencv_zoo"):
        engines.load("yunet", tmp_path)
    (tmp_path / DETECTOR).write_bytes(b"no model")
    with pytest.raises(engines.Unavailable, match=f"lacks {EMBEDDING}: copy what is missing there"):
        engines.load("yunet", tmp_path)
    (tmp_path / EMBEDDING).write_bytes(b"no model")
    with pytest.raises(engines.Unavailable, match="cannot be read"):
        engines.load("yunet", tmp_path)
