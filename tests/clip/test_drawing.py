"""Subtitles as libass draws them: letters of every script, joined where they have to be, inside the picture."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from services.clip import film, fonts
from services.clip.story import Sentence, Story
from services.clip.subtitles import burnt

BASE = 10.0
SIZE = (640, 360)
APART = "\u200c"
"""Keeps two letters from joining."""
UNKNOWN = "\U0010fffd"
"""A letter that no font has."""

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


@pytest.fixture(scope="module")
def black(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of nothing."""
    path = tmp_path_factory.mktemp("picture") / "black.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


async def drawn(text: str, language: str, black: Path, folder: Path) -> NDArray[np.bool_]:
    """Where letters are at the end of the sentence."""
    sentence = Sentence(BASE, BASE + 0.5, text, language, None, ())
    burnt(Story(sentences={"1": sentence}), language, *SIZE, BASE).save(str(folder / "text.ass"))
    await film.burn(black, folder / "text.ass", folder / "burnt.mp4", 1.0, lambda share: None)
    with av.open(str(folder / "burnt.mp4")) as container:
        *_, last = container.decode(video=0)
    bright: NDArray[np.bool_] = last.to_ndarray(format="gray") > 120
    return bright


def width(letters: NDArray[np.bool_]) -> int:
    columns = np.flatnonzero(letters.any(axis=0))
    return int(columns[-1] - columns[0])


@pytest.mark.parametrize(
    ("language", "text"),
    [("pl", "Żółty most"), ("ru", "Мост открыт"), ("ar", "الجسر مفتوح"), ("he", "הגשר פתוח"), ("ja", "橋が開いた")],
)
async def test_letters_of_a_script_are_drawn_inside_the_picture(
    language: str, text: str, black: Path, tmp_path: Path
) -> None:
    if lacking := fonts.missing([language]):
        pytest.skip(lacking)
    letters = await drawn(text, language, black, tmp_path)
    boxes = await drawn("".join(UNKNOWN if each != " " else each for each in text), language, black, tmp_path)
    assert letters.sum() > 150
    assert (letters ^ boxes).sum() > 0.3 * letters.sum(), "they are not the boxes of unknown letters"
    assert not letters[:5].any()
    assert not letters[-5:].any()
    assert not letters[:, :5].any()
    assert not letters[:, -5:].any()


async def test_arabic_letters_join(black: Path, tmp_path: Path) -> None:
    if lacking := fonts.missing(["ar"]):
        pytest.skip(lacking)
    joined, apart = [await drawn(text, "ar", black, tmp_path) for text in ("سلسلة", APART.join("سلسلة"))]
    assert 0 < width(joined) < 0.8 * width(apart)
