"""A video of two drawn people who move their mouths, one while he speaks and the other while she does."""

import subprocess
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from shared.audio import EAR, Pcm, to_bytes, to_pcm

Rgb = NDArray[np.float32]
Mask = NDArray[np.float32]

FACE = (320, 400)
"""Width and height of a drawn face."""
RATE = 25
SIZE = (1280, 720)

LINES = (
    ("rms", "Good evening and welcome to our programme about the sea."),
    ("slt", "Thank you, I am very happy to be here with you tonight."),
    ("rms", "You have sailed around the world in a very small boat."),
    ("slt", "It took me three years and two hundred days."),
    ("rms", "Were you ever afraid of the water and of the wind?"),
    ("slt", "Every night, but in the morning the sun came back."),
    ("rms", "What did you miss most when you were alone?"),
    ("slt", "Fresh bread, my garden, and the voice of my brother."),
)


@dataclass(frozen=True)
class Look:
    """What makes a drawn person."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    lips: tuple[float, float, float]
    width: float = 1.0
    brows: float = 1.0
    nose: float = 1.0


LEFT = Look((224, 180, 150), (70, 45, 30), (170, 70, 70))
RIGHT = Look((150, 100, 75), (25, 20, 20), (120, 50, 60), 0.88, 1.6, 1.2)


@dataclass(frozen=True, slots=True)
class Line:
    """What is said, seconds from the start of the video."""

    start: float
    end: float
    speaker: int
    """0: the left one, 1: the right one."""
    text: str


@dataclass(frozen=True)
class Scene:
    """The sound, and who says what when."""

    pcm: Pcm
    lines: tuple[Line, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.pcm) / EAR


def drawn(look: Look, opened: float) -> Rgb:
    """A face with its mouth open from 0 to 1, shape (400, 320, 3), 0 to 255."""
    width, height = FACE
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = np.full((height, width, 3), 120, np.float32)

    def oval(x: float, y: float, across: float, down: float) -> Mask:
        inside = 1 - ((columns - x) / across) ** 2 - ((rows - y) / down) ** 2
        mask: Mask = np.clip(inside * min(across, down) / 4 + 0.5, 0, 1).astype(np.float32)
        return mask

    def paint(where: Mask, colour: tuple[float, float, float], strength: float = 1.0) -> None:
        picture[:] += (np.array(colour, np.float32) - picture) * (where * strength)[..., None]

    wide = look.width
    paint(oval(160, 170, 118 * wide, 150), look.hair)
    head = oval(160, 205, 100 * wide, 135)
    paint(head, look.skin)
    round_ = np.clip(1 - ((columns - 160) / (130 * wide)) ** 2 * 0.5 - ((rows - 200) / 220) ** 2 * 0.35, 0, 1)
    picture *= (1 - head + head * round_)[..., None]
    for side in (-1, 1):
        eye = 160 + side * 42 * wide
        paint(oval(eye, 178, 32, 22), (60, 40, 30), 0.35)
        paint(oval(eye, 180, 20, 10), (240, 240, 240))
        paint(oval(eye, 180, 9, 10), (50, 35, 25))
        paint(oval(eye, 157, 26, 6 * look.brows), look.hair)
        paint(oval(eye, 172, 22, 4), (40, 25, 20), 0.8)
        paint(oval(160 + side * 12, 246, 7, 5), (60, 30, 25), 0.6)
    paint(oval(146, 205, 5, 38 * look.nose), (90, 55, 40), 0.35)
    paint(oval(162, 205, 6, 40 * look.nose), (255, 235, 220), 0.3)
    paint(oval(160, 252, 22, 6), (80, 40, 30), 0.25)
    paint(oval(160, 285, 34, 9 + 20 * opened), look.lips)
    paint(oval(160, 285, 28, 2 + 14 * opened), (50, 15, 15))
    paint(oval(160, 318, 26, 8), (90, 60, 50), 0.25)
    return np.clip(picture, 0, 255)


def scene(lines: Sequence[tuple[str, str]] = LINES) -> Scene:
    """The dialogue, spoken by flite, with pauses of 0.8 s."""
    sound, said = [np.zeros(EAR // 2, np.float32)], list[Line]()
    for voice, text in lines:
        pcm = spoken(voice, text)
        start = sum(map(len, sound)) / EAR
        said.append(Line(start, start + len(pcm) / EAR, int(voice == "slt"), text))
        sound += [pcm, np.zeros(EAR * 8 // 10, np.float32)]
    return Scene(np.concatenate(sound), tuple(said))


@cache
def spoken(voice: str, text: str) -> Pcm:
    """What flite says, 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, capture_output=True)
        with wave.open(str(path)) as file:
            return to_pcm(file.readframes(file.getnframes()))


def film(path: Path, play: Scene, looks: Sequence[Look] = (LEFT, RIGHT), size: tuple[int, int] = SIZE) -> None:
    """Write the scene as MP4: H.264 with a key picture every 2 s, and AAC."""
    width, height = size
    tall = min(height * 3 // 5, width // len(looks))
    faces = [[_scaled(drawn(look, step / 4), tall) for step in range(5)] for look in looks]
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "50"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=EAR)
        sound.layout = "mono"
        for number in range(round(play.duration * RATE)):
            canvas = np.full((height, width, 3), 120, np.uint8)
            for index, steps in enumerate(faces):
                face = steps[_opened(play, index, number / RATE)]
                left = width * (2 * index + 1) // (2 * len(looks)) - face.shape[1] // 2
                top = (height - face.shape[0]) // 2
                canvas[top : top + face.shape[0], left : left + face.shape[1]] = face
            container.mux(picture.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24")))
        container.mux(picture.encode())
        samples = np.frombuffer(to_bytes(play.pcm), "<i2").reshape(1, -1)
        for start in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, start : start + 1024]), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = EAR, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())


def _opened(play: Scene, speaker: int, time: float) -> int:
    """How far a mouth is open, 0 to 4: as loud as its voice is, and shut while the other one speaks."""
    if not any(line.start <= time < line.end and line.speaker == speaker for line in play.lines):
        return 0
    at = round(time * EAR)
    loud = float(np.sqrt(np.mean(np.square(play.pcm[at : at + EAR // RATE]) + 1e-12)))
    return min(4, round(loud * 30))


def _scaled(face: Rgb, tall: int) -> NDArray[np.uint8]:
    width = tall * FACE[0] // FACE[1] // 2 * 2
    frame = av.VideoFrame.from_ndarray(face.astype(np.uint8), format="rgb24")
    return frame.reformat(width=width, height=tall).to_ndarray(format="rgb24").astype(np.uint8)
