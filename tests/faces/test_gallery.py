from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.faces.engines import Box, Found, Vector
from services.faces.gallery import Gallery, overlap

LEFT, RIGHT = Box(0.1, 0.3, 0.15, 0.25), Box(0.7, 0.3, 0.15, 0.25)
ANA, BEN = np.eye(2, 8, dtype=np.float32)


def embed(*known: tuple[Box, Vector]) -> Callable[[Box], Vector]:
    """An engine that knows whose face is where."""
    return lambda box: max(known, key=lambda each: overlap(each[0], box))[1]


def never(_: Box) -> Vector:
    raise AssertionError("nothing new is to be seen in this face")


def test_two_faces_of_one_picture_are_two_people_and_each_is_embedded_once() -> None:
    gallery = Gallery()
    found = [Found(LEFT, 1.0), Found(RIGHT, 1.0)]
    first = gallery.see(0.0, found, embed((LEFT, ANA), (RIGHT, BEN)), 0.5)
    assert [face.person for face in first] == [1, 2]
    moved = [Found(box._replace(left=box.left + 0.03), 1.0) for box in (LEFT, RIGHT)]
    assert [face.person for face in gallery.see(0.5, moved, never, 0.5)] == [1, 2]


def test_faces_that_look_alike_are_two_people_while_both_are_on_the_picture() -> None:
    gallery = Gallery()
    faces = gallery.see(0.0, [Found(LEFT, 1.0), Found(RIGHT, 1.0)], embed((LEFT, ANA), (RIGHT, ANA)), 0.5)
    assert len({face.person for face in faces}) == 2


def test_somebody_who_comes_back_after_a_cut_is_the_same_person_elsewhere() -> None:
    gallery = Gallery()
    gallery.see(0.0, [Found(LEFT, 1.0)], embed((LEFT, ANA)), 0.5)
    gallery.cut()
    assert [face.person for face in gallery.see(0.5, [Found(LEFT, 1.0)], embed((LEFT, BEN)), 0.5)] == [2]
    gallery.cut()
    assert [face.person for face in gallery.see(9.0, [Found(RIGHT, 1.0)], embed((RIGHT, ANA)), 0.5)] == [1]


def test_a_face_that_is_hardly_one_is_believed_when_it_is_found_again() -> None:
    gallery = Gallery()
    assert gallery.see(0.0, [Found(LEFT, 0.1)], never, 0.5) == []
    assert [face.person for face in gallery.see(0.5, [Found(LEFT, 0.1)], embed((LEFT, ANA)), 0.5)] == [1]


def test_a_clearer_face_is_embedded_again_and_its_person_learns() -> None:
    gallery = Gallery()
    gallery.see(0.0, [Found(LEFT, 0.5)], embed((LEFT, ANA)), 0.5)
    before = gallery.people[0].weight
    gallery.see(0.5, [Found(LEFT, 2.0)], embed((LEFT, ANA)), 0.5)
    assert gallery.people[0].weight > before
    assert len(gallery.people) == 1


def test_there_are_never_more_than_twenty_people() -> None:
    gallery = Gallery()
    for number in range(30):
        gallery.cut()
        vector = np.eye(40, dtype=np.float32)[number]
        gallery.see(number, [Found(LEFT, 1.0)], embed((LEFT, vector)), 0.5)
    assert len(gallery.people) == 20


boxes = st.builds(Box, *(st.floats(-0.2, 1.0) for _ in range(2)), *(st.floats(0.01, 0.5) for _ in range(2)))
pictures = st.lists(st.lists(st.tuples(boxes, st.floats(0, 3), st.integers(0, 3)), max_size=10), max_size=12)


@given(pictures)
def test_no_person_is_twice_on_a_picture_and_boxes_stay_inside(seen: list[list[tuple[Box, float, int]]]) -> None:
    gallery = Gallery()
    for number, faces in enumerate(seen):
        who = {box: np.eye(4, dtype=np.float32)[person] for box, _, person in faces}
        shown = gallery.see(number / 2, [Found(box, clear) for box, clear, _ in faces], who.__getitem__, 0.5)
        people = [face.person for face in shown]
        assert len(set(people)) == len(people)
        for face in shown:
            assert 0 <= face.left <= face.left + face.width <= 1.0001
            assert 0 <= face.top <= face.top + face.height <= 1.0001
        gallery = Gallery.model_validate_json(gallery.model_dump_json())
