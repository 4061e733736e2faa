"""The test card: bars, a burnt-in clock, who speaks, and a frame number that a program can read."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.audio import VOICE

BITS = 24
"""Blocks of the frame number."""
_LETTERS = "0123456789:.ABCDEFGHIJKLMNOPQRSTUVWXYZ -"
_DOTS = (
    "75557 26227 71747 71717 55711 74717 74757 71111 75757 75717 02020 00002 75755 65656 74447 65556 74647 74644 74557 "
    "55755 72227 11157 55655 44447 57755 75555 75557 75744 75573 75655 74717 72222 55557 55552 55775 55255 55722 71247 "
    "00000 00700"
)
"""Five rows of three dots a letter, each row an octal digit."""
_FONT = dict(zip(_LETTERS, _DOTS.split(), strict=True))


class Look(NamedTuple):
    """How one source looks and sounds."""

    title: str
    width: int
    height: int
    fps: int
    rate: int
    channels: int


PROGRAMME = Look("NEWS", 640, 360, 25, VOICE, 2)
ADVERT = Look("ADVERT", 320, 180, 25, 44_100, 1)
RECODED = Look("RECODED", 640, 360, 25, VOICE, 1)
"""The programme from another encoder: H.264 High instead of Baseline, mono."""


def bitmap(text: str, scale: int) -> NDArray[np.uint8]:
    """Text in a 3 x 5 font, `scale` pixels a dot, white on black with a dot of margin."""
    rows = np.zeros((7, 4 * len(text) + 1), np.uint8)
    for index, letter in enumerate(text):
        for y, octal in enumerate(_FONT.get(letter, _FONT[" "])):
            rows[y + 1, 4 * index + 1 : 4 * index + 4] = [int(octal) >> bit & 1 for bit in (2, 1, 0)]
    return np.kron(rows * 219 + 16, np.ones((scale, scale), np.uint8))


@lru_cache(4)
def background(look: Look) -> NDArray[np.uint8]:
    """Colour bars as one yuv420p array, shape (1.5 height, width); grey at the top, where the frame number goes."""
    w, h = look.width, look.height
    luma = np.repeat(np.linspace(180, 40, 8).astype(np.uint8), w // 8)[None].repeat(h, 0)
    hue = np.arange(8) * np.pi / 4
    u, v = (
        np.repeat((128 + 60 * wave(hue)).astype(np.uint8), w // 16)[None].repeat(h // 2, 0) for wave in (np.cos, np.sin)
    )
    for plane in (u, v):
        plane[: h // 8] = plane[h // 4 :] = 128
    return np.concatenate([luma, u.reshape(-1, w), v.reshape(-1, w)])


def barcode(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """`number` as BITS blocks, most significant first, white is 1; shape (height, width)."""
    bits = np.array([number >> bit & 1 for bit in reversed(range(BITS))], np.uint8)
    row = np.repeat(bits * 219 + 16, width // BITS)
    return np.pad(row, (0, width - row.size), constant_values=16)[None].repeat(height, 0)


def frame_number(luma: NDArray[np.uint8]) -> int:
    """The number that `barcode` wrote into the top of a picture, shape (height, width)."""
    height, width = luma.shape
    block = width // BITS
    row = luma[height // 24, block // 2 : BITS * block : block]
    return int("".join("1" if level > 128 else "0" for level in row), 2)


def picture(look: Look, number: int, speaker: str = "") -> NDArray[np.uint8]:
    """Frame `number` of the test card with its clock and who speaks: yuv420p, shape (1.5 height, width)."""
    card = background(look).copy()
    w, h = look.width, look.height
    card[: h // 12] = barcode(number, w, h // 12)
    seconds, frame = divmod(number, look.fps)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{frame:02d}"
    for text, y, scale in (
        (look.title, h // 10, w // 128),
        (speaker.upper(), h // 2, w // 71),
        (clock, h * 3 // 4, w // 91),
    ):
        glyphs = bitmap(text, scale)[:, : w - 8]
        card[y : y + glyphs.shape[0], 8 : 8 + glyphs.shape[1]] = glyphs
    x = number * 4 % (w - 16)
    card[h - h // 30 : h, x : x + 16] = 235
    return card
