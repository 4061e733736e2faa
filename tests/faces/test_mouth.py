import numpy as np

from services.faces.engines import Box, Grey
from services.faces.mouth import MOUTH, movement

BOX = Box(0.25, 0.2, 0.5, 0.6)


def picture(seed: int = 1) -> Grey:
    return np.random.default_rng(seed).integers(40, 220, (180, 320), np.uint8)


def test_nothing_moves_on_the_same_picture_or_when_the_light_changes() -> None:
    assert movement(picture(), picture(), BOX) == 0
    assert movement(picture(), picture() + np.uint8(9), BOX) < 0.01


def test_a_mouth_that_opens_moves() -> None:
    later = picture().copy()
    top, bottom = (round((BOX.top + BOX.height * MOUTH[side]) * 180) for side in (1, 3))
    later[top:bottom, 110:210] = 20
    assert movement(picture(), later, BOX) > 0.2


def test_a_head_that_moves_as_a_whole_says_nothing() -> None:
    assert movement(picture(), picture(2), BOX) < 0.1


def test_a_face_at_the_edge_or_of_no_size_is_still() -> None:
    assert movement(picture(), picture(2), Box(0.99, 0.99, 0.5, 0.5)) >= 0
    assert movement(picture(), picture(2), Box(0.5, 0.5, 0.0, 0.0)) == 0
