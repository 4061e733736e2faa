"""dlib: faces by HOG (Dalal and Triggs, 2005), 5 landmarks, an embedding of 128 numbers by a residual network.

The weights (CC0) are read out of the archive of face_recognition_models 0.3.0, which is never installed; its
68-landmark file, whose data excludes commercial use, is not touched.
"""

import tarfile
import tempfile
from pathlib import Path

import dlib
import numpy as np

from services.faces.engines import Box, Colour, Found, Grey, Unavailable, Vector

ARCHIVE = "face_recognition_models-0.3.0.tar.gz"
INSIDE = "face_recognition_models-0.3.0/face_recognition_models/models/"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
EMBEDDING = "dlib_face_recognition_resnet_model_v1.dat"
FETCH = "pip download --no-deps --no-binary :all: --dest {} face_recognition_models==0.3.0"


class Hog:
    """Finds frontal faces of 70 pixels and more: 30 ms on 640x360; 60 ms for an embedding."""

    same = 0.5

    def __init__(self, models: Path) -> None:
        archive = models / ARCHIVE
        if not archive.is_file():
            raise Unavailable(f"{archive} is missing: {FETCH.format(models)}")
        with tempfile.TemporaryDirectory() as folder:
            unpack(archive, Path(folder))
            self._landmarks = dlib.shape_predictor(f"{folder}/{LANDMARKS}")
            self._embedding = dlib.face_recognition_model_v1(f"{folder}/{EMBEDDING}")
        self._detector = dlib.get_frontal_face_detector()

    def find(self, picture: Grey) -> list[Found]:
        """All frontal faces."""
        height, width = picture.shape
        boxes, scores, _ = self._detector.run(np.ascontiguousarray(picture), 0, 0.0)
        return [
            Found(Box(box.left() / width, box.top() / height, box.width() / width, box.height() / height), score)
            for box, score in zip(boxes, scores, strict=True)
        ]

    def embed(self, picture: Colour, box: Box) -> Vector:
        """128 numbers."""
        height, width, _ = picture.shape
        picture = np.ascontiguousarray(picture)
        left, top = round(box.left * width), round(box.top * height)
        place = dlib.rectangle(left, top, left + round(box.width * width), top + round(box.height * height))
        marks = self._landmarks(picture, place)
        return np.array(self._embedding.compute_face_descriptor(picture, marks), np.float32)


def unpack(archive: Path, folder: Path) -> None:
    """Write the two files of weights into a folder; what lies behind them in the archive is not read."""
    missing = {LANDMARKS, EMBEDDING}
    with tarfile.open(archive, "r|gz") as files:
        for member in files:
            name = member.name.removeprefix(INSIDE)
            if name in missing and (content := files.extractfile(member)):
                (folder / name).write_bytes(content.read())
                missing.remove(name)
            if not missing:
                return
    raise Unavailable(f"{archive} has no {', '.join(sorted(missing))}: fetch it again")
