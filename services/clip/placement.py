"""Where a caption goes on the picture: beside the face that speaks, inside the picture, off other faces."""

from collections.abc import Sequence

from services.clip.story import Box

EDGE = 0.02
"""Of the picture that stays free at its sides."""
FLOOR = 0.1
"""Of the picture that stays free under a caption without a face."""


def place(face: Box | None, others: Sequence[Box], width: float, height: float) -> tuple[float, float]:
    """Left and top of a caption of this size, all as shares of the picture.

    Right or left of the face, under or above it, whatever hides the least; at the bottom without a face.
    """
    if face is None:
        return _lifted(_inside(0.5 - width / 2, 1 - FLOOR - height, width, height), others, width, height)
    mouth, middle = face.top + face.height * 0.75 - height / 2, face.left + face.width / 2 - width / 2
    wanted = [
        (face.left + face.width + EDGE, mouth),
        (face.left - width - EDGE, mouth),
        (middle, face.top + face.height * 1.25),
        (middle, face.top - face.height * 0.35 - height),
        (middle, 1.0),
    ]
    spots = [_inside(left, top, width, height) for left, top in wanted]

    def hidden(spot: tuple[float, float]) -> float:
        own = Box(*spot, width, height)
        return round(2 * common(own, face) + sum(common(own, other) for other in others), 9)

    return min(spots, key=hidden)


def common(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return width * height if width > 0 and height > 0 else 0.0


def _inside(left: float, top: float, width: float, height: float) -> tuple[float, float]:
    return max(EDGE, min(left, 1 - EDGE - width)), max(EDGE, min(top, 1 - EDGE - height))


def _lifted(spot: tuple[float, float], boxes: Sequence[Box], width: float, height: float) -> tuple[float, float]:
    hit = [box for box in boxes if common(Box(*spot, width, height), box) > 0]
    if not hit:
        return spot
    top = min(box.top for box in hit) - height - EDGE
    return spot if top < EDGE else _lifted((spot[0], top), boxes, width, height)
