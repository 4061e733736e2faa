from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.faces.pictures import fitted, pictures


def coded(path: Path, seconds: float, size: tuple[int, int] = (320, 180), rate: int = 25, key: int = 50) -> bytes:
    """A film of noise."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "g": str(key)})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        noise = np.random.default_rng(1)
        for _ in range(round(seconds * rate)):
            canvas = np.repeat(noise.integers(0, 255, (size[1], size[0], 1), np.uint8), 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def test_two_pictures_a_second_with_those_behind_them(tmp_path: Path) -> None:
    found = list(pictures(b"", coded(tmp_path / "a.mp4", 4), 0.0, 640))
    assert [each.time for each in found] == pytest.approx([n / 2 for n in range(8)], abs=0.13)
    assert all(each.grey.shape == (360, 640) for each in found)
    assert all(1 <= len(each.behind) <= 3 for each in found)
    assert found[0].colour().shape == (180, 320, 3)


def test_nothing_before_the_start_is_looked_at(tmp_path: Path) -> None:
    found = list(pictures(b"", coded(tmp_path / "a.mp4", 3), 1.6, 640))
    assert found[0].time == pytest.approx(1.6, abs=0.13)


def test_a_vertical_picture_keeps_its_shape(tmp_path: Path) -> None:
    found = list(pictures(b"", coded(tmp_path / "a.mp4", 1, (90, 160)), 0.0, 640))
    assert found[0].grey.shape == (640, 360)


def test_of_4k_only_key_pictures_are_decoded(tmp_path: Path) -> None:
    found = list(pictures(b"", coded(tmp_path / "a.mp4", 2, (3840, 2160), rate=2, key=2), 0.0, 640))
    assert [each.time for each in found] == pytest.approx([0.0, 1.0])
    assert found[0].grey.shape == (360, 640)
    assert max(found[0].colour().shape) == 1280


@pytest.mark.parametrize("body", [b"", b"nothing", bytes(5000), b"\x00\x00\x00\x18ftypmp42" + bytes(100)])
def test_what_cannot_be_decoded_shows_nothing(body: bytes) -> None:
    assert list(pictures(b"", body, 0.0, 640)) == []


def test_a_broken_segment_shows_what_can_be_decoded(tmp_path: Path) -> None:
    body = bytearray(coded(tmp_path / "a.mp4", 2))
    body[len(body) // 2 :] = bytes(len(body) - len(body) // 2)
    list(pictures(b"", bytes(body), 0.0, 640))


@given(st.integers(2, 8000), st.integers(2, 8000), st.integers(16, 2000))
def test_a_fitted_size_is_even_and_no_larger_than_it_may(width: int, height: int, longer: int) -> None:
    for larger in (False, True):
        wide, high = fitted(width, height, longer, larger)
        assert wide % 2 == high % 2 == 0
        assert 2 <= min(wide, high) <= max(wide, high) <= longer + 1
