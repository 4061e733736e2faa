"""Faces on videos: how many are found, how many people they are, what it costs; and who speaks in a drawn scene.

python -m loadtest faces --video talk.mp4
python -m loadtest faces --off          what the service costs the streams that do not ask for it
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from loadtest.fleet import SERVICES, Fleet, Load, Reading, fleet
from loadtest.persons import film, scene
from loadtest.report import parser, show, tell
from loadtest.streams import settle
from services.faces import engines
from services.faces.engines import Engine
from services.faces.gallery import Gallery
from services.faces.ledger import Look
from services.faces.service import FacesState, Looks

FRONTAL: Mapping[str, Sequence[tuple[float, float]]] = {
    "googlework_short": ((21.2, 24.5), (26.5, 32.4)),
    "noisy_restaurant": ((0.0, 8.96),),
}
"""Seconds of known videos, told by eye, in which a face of 70 pixels or more is turned to the camera."""
WINDOW = 10.0
"""Seconds between two readings of what the service costs when it is not asked for."""


@dataclass
class Together(Load):
    """All of these services in one process."""

    names: tuple[str, ...] = SERVICES

    def layout(self) -> dict[str, tuple[str, ...]]:
        return {"services": self.names}


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    if options.off:
        figures = asyncio.run(off(options.streams, options.seconds))
    else:
        figures = seen(engines.load(options.engine, options.models), options.video)
    tell("faces", figures, options)
    return 0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    found = parser("faces", (__doc__ or "").partition("\n")[0])
    found.add_argument("--video", type=Path, nargs="*", default=[], metavar="PATH", help="videos to look at")
    found.add_argument("--engine", choices=tuple(engines.ENGINES), default="hog")
    found.add_argument("--models", type=Path, default=Path("models"), help="folder with the weights")
    found.add_argument("--off", action="store_true", help="compare a mesh that has the service with one that has not")
    found.add_argument("--streams", type=int, default=4, help="with --off: live streams in each mesh")
    found.add_argument("--seconds", type=float, default=150.0, help="with --off: how long to compare")
    return found.parse_args(argv)


def seen(engine: Engine, videos: Sequence[Path]) -> dict[str, float]:
    """Faces, people and cost of each video, and the share of a drawn dialogue that goes to the right face."""
    figures: dict[str, float] = {}
    spent = length = frontal = met = 0.0
    for video in sorted(videos):
        cost, duration, gallery, looks = watch(engine, video)
        name = video.stem
        figures[f"frames.{name}"], figures[f"frames_with_faces.{name}"] = len(looks), sum(bool(x.moved) for x in looks)
        figures[f"faces_per_frame.{name}"] = sum(len(look.moved) for look in looks) / max(1, len(looks))
        figures[f"clusters.{name}"], figures[f"ms_per_s.{name}"] = len(gallery.people), 1000 * cost / duration
        spent, length = spent + cost, length + duration
        spans = FRONTAL.get(name, ())
        due = [look for look in looks if any(start <= look.time < end for start, end in spans)]
        if due:
            found = sum(bool(look.moved) for look in due)
            figures[f"frontal.{name}"], figures[f"recall.{name}"] = len(due), found / len(due)
            frontal, met = frontal + len(due), met + found
    if length:
        figures["ms_per_s"] = 1000 * spent / length
    if frontal:
        figures["recall"] = met / frontal
    figures["assigned"] = assigned(engine)
    return figures


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


async def off(streams: int, seconds: float) -> dict[str, float]:
    """CPU of a mesh with the service over that of one without, side by side, on streams that do not ask for faces.

    `off_ratio` is of what the streams cost, `off_ratio_whole` of everything, `off_idle_ms_per_s` what the service
    costs a process that has no stream at all.
    """
    async with AsyncExitStack() as open_:
        meshes = [
            await open_.enter_async_context(fleet(Together(environment={"PYTHONHASHSEED": "0"}, names=names)))
            for names in (SERVICES, (*SERVICES, "faces"))
        ]
        idle, _ = await _rates(meshes, 3 * WINDOW)
        for _ in range(streams):
            # One by one in turn, so that both are as warm as each other.
            for mesh in meshes:
                await mesh.add(1, audited=False)
        await asyncio.gather(*(settle(mesh, mesh.streams) for mesh in meshes))
        busy, turns = await _rates(meshes, seconds)
    added = busy - idle.mean(axis=0)
    ratios = added[:, 1] / added[:, 0]
    show("CPU seconds a second", ("without", "with", "ratio"), np.column_stack([busy, ratios]).tolist())
    without, with_ = added.mean(axis=0)
    return {
        "streams": float(streams),
        "cpu_per_stream": without / streams,
        "off_ratio": with_ / without,
        "off_ratio_se": float(np.std(ratios) / np.sqrt(max(1, len(ratios) - 1))),
        "off_ratio_whole": float(busy[:, 1].mean() / busy[:, 0].mean()),
        "off_idle_ms_per_s": 1000 * float(np.diff(idle.mean(axis=0))[0]),
        "faces_turns": turns,
    }


async def _rates(meshes: Sequence[Fleet], seconds: float) -> tuple[NDArray[np.float64], float]:
    """CPU seconds a second of each mesh, shape (windows, meshes), and the turns of faces in the last one so far."""
    readings = [await _read(meshes)]
    while len(readings) <= seconds / WINDOW:
        await asyncio.sleep(WINDOW)
        readings.append(await _read(meshes))
    cpu = np.array([[sum(each.cpu.values()) + each.redis["cpu"] for each in both] for both in readings])
    at = np.array([[each.at for each in both] for both in readings])
    return np.diff(cpu, axis=0) / np.diff(at, axis=0), readings[-1][-1].stages["faces"].turns


async def _read(meshes: Sequence[Fleet]) -> list[Reading]:
    return list(await asyncio.gather(*(mesh.read() for mesh in meshes)))
