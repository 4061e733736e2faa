"""How much a mouth moves: what changes in the lower face beyond what changes in the upper one."""

import numpy as np

from services.faces.engines import Box, Grey

MOUTH = (0.22, 0.62, 0.78, 0.98)
EYES = (0.15, 0.12, 0.85, 0.55)
"""Left, top, right, bottom as shares of a face's box."""
FLAT = 6.0
"""Contrast, of 255, that is added to a face's own: noise on a flat patch is no movement."""


def movement(first: Grey, second: Grey, box: Box) -> float:
    """0 for a still mouth, about 0.1 and more for one that speaks; a head that moves as a whole counts little."""
    mouth, eyes = (_change(first, second, box, part) for part in (MOUTH, EYES))
    return round(max(0.0, mouth - eyes), 3)


def _change(first: Grey, second: Grey, box: Box, part: tuple[float, float, float, float]) -> float:
    height, width = first.shape
    left, right = (round((box.left + box.width * part[side]) * width) for side in (0, 2))
    top, bottom = (round((box.top + box.height * part[side]) * height) for side in (1, 3))
    here = np.s_[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    one, other = first[here].astype(np.float32), second[here].astype(np.float32)
    if one.size == 0 or one.shape != other.shape:
        return 0.0
    # Light that changes evenly is no movement.
    difference = np.abs((one - one.mean()) - (other - other.mean())).mean()
    return float(difference / (one.std() + FLAT))
