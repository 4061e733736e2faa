"""Pages served for a browser, and what is asked of every page."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import numpy
import uvicorn
from av.container import OutputContainer
from fastapi import FastAPI
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
SEGMENTS = 15
"""Of two seconds each."""


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serves an app on a free port of the loopback; yields its URL."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        # A page that asks before the server is up waits instead of being refused.
        door.listen()
        port = door.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(10)


def violations(page: Page) -> list[str]:
    """Returns what axe-core finds wrong with a page, in words."""
    page.evaluate((ROOT / "node_modules/axe-core/axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


def until(page: Page, condition: str, seconds: float = 10.0) -> None:
    """Waits for a condition; the page's policy forbids the eval that Playwright would wait with."""
    for _ in range(round(seconds * 20)):
        if page.evaluate(f"() => Boolean({condition})"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def keep(page: Page, name: str) -> None:
    """Keeps a screenshot among the artefacts."""
    folder = ROOT / "artefacts" / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)


def fragments(tone: float | None) -> list[bytes]:
    """Codes a moving picture, or a tone (Hz), as fragmented MP4: its init segment, then fragments of two seconds."""
    file = BytesIO()
    cut = {"movflags": "empty_moov+default_base_moof+frag_keyframe"}
    if tone is not None:
        cut = {"movflags": "empty_moov+default_base_moof", "frag_duration": "2000000"}
    with av.open(file, "w", format="mp4", options=cut) as container:
        if tone is None:
            draw(container)
        else:
            sing(container, tone)
    return boxes(file.getvalue())


def draw(container: OutputContainer) -> None:
    options = {"preset": "ultrafast", "g": "24", "bf": "0", "sc_threshold": "0"}
    picture = container.add_stream("libx264", rate=12, options=options)
    picture.width, picture.height, picture.pix_fmt = 160, 90, "yuv420p"
    for number in range(SEGMENTS * 24):
        shade = numpy.full((90, 160, 3), (40, 60 + number % 120, 90), numpy.uint8)
        frame = av.VideoFrame.from_ndarray(shade, format="rgb24")
        frame.pts = number
        container.mux(picture.encode(frame))
    container.mux(picture.encode(None))


def sing(container: OutputContainer, tone: float) -> None:
    sound = container.add_stream("aac", rate=48000, layout="mono")
    wave = (0.2 * numpy.sin(2 * numpy.pi * tone * numpy.arange(SEGMENTS * 96000 // 1024 * 1024) / 48000)).astype("f4")
    for start in range(0, wave.size, 1024):
        piece = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        piece.sample_rate, piece.pts = 48000, start
        container.mux(sound.encode(piece))
    container.mux(sound.encode(None))


def boxes(file: bytes) -> list[bytes]:
    """Splits an MP4 file before each `moof`."""
    cuts, place = [], 0
    while place < len(file):
        size, kind = int.from_bytes(file[place : place + 4], "big"), file[place + 4 : place + 8]
        if kind == b"moof":
            cuts.append(place)
        if kind == b"mfra":
            file = file[:place]
            break
        place += size
    edges = [0, *cuts, len(file)]
    return [file[start:end] for start, end in pairwise(edges)]
