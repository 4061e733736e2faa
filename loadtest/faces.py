"""Faces on videos: how many are found, how many people they are, what it costs; and who speaks in a drawn scene."""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av

from loadtest.persons import film, scene
from loadtest.report import parser, tell
from services.faces import engines
from services.faces.engines import Engine
from services.faces.gallery import Gallery
from services.faces.ledger import Look
from services.faces.service import FacesState, Looks


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    engine = engines.load("hog", options.models)
    figures: dict[str, float] = {}
    spent = length = 0.0
    for video in sorted(options.video):
        cost, duration, gallery, looks = watch(engine, video)
        name = video.stem
        figures[f"frames.{name}"], figures[f"frames_with_faces.{name}"] = len(looks), sum(bool(x.moved) for x in looks)
        figures[f"faces_per_frame.{name}"] = sum(len(look.moved) for look in looks) / max(1, len(looks))
        figures[f"clusters.{name}"], figures[f"ms_per_s.{name}"] = len(gallery.people), 1000 * cost / duration
        spent, length = spent + cost, length + duration
    if length:
        figures["ms_per_s"] = 1000 * spent / length
    figures["assigned"] = assigned(engine)
    tell("faces", figures, options)
    return 0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    found = parser("faces", __doc__)
    found.add_argument("--video", type=Path, nargs="*", default=[], metavar="PATH", help="videos to look at")
    found.add_argument("--models", type=Path, default=Path("models"), help="folder with the weights")
    return found.parse_args(argv)


def watch(engine: Engine, video: Path) -> tuple[float, float, Gallery, list[Look]]:
    """Look at a whole video: CPU seconds, media seconds, the people, and who was seen when."""
    with av.open(str(video)) as container:
        duration = float((container.duration or 0) / av.time_base)
    state, body, looks = FacesState(), video.read_bytes(), list[Look]()
    started = time.process_time()
    for _ in Looks(engine, state, 640).at(b"", body, 0.0):
        looks += [look for look in state.ledger.looks if not looks or look.time > looks[-1].time]
    looks += [look for look in state.ledger.looks if not looks or look.time > looks[-1].time]
    return time.process_time() - started, duration, state.gallery, looks


def assigned(engine: Engine) -> float:
    """Share of the utterances of a drawn dialogue that go to the face whose mouth moved."""
    play = scene()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.mp4"
        film(path, play)
        state = FacesState()
        told = list(Looks(engine, state, 640).at(b"", path.read_bytes(), 0.0))
    faces = next(faces for _, faces in told if len(faces) == 2)
    order = [face.person for face in sorted(faces, key=lambda face: face.left)]
    right = [state.ledger.speaks(line.speaker + 1, line.start, line.end) == order[line.speaker] for line in play.lines]
    return sum(right) / len(right)
