"""OpenCV: faces with 5 landmarks by YuNet (Wu and others, 2023), an embedding by SFace (Zhong and others, 2021)."""

from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from services.faces.engines import Box, Colour, Found, Grey, Unavailable, Vector

DETECTOR = "face_detection_yunet_2023mar.onnx"
EMBEDDING = "face_recognition_sface_2021dec.onnx"
FETCH = "copy what is missing there from the OpenCV model zoo (github.com/opencv/opencv_zoo, folder models)"
LEAST = 0.6
"""Score of a detection below which it is none."""
CLEAR = 0.9
"""Score of a clear face."""
ROOM = 0.5
"""Of a face's size that is looked at around it when it is aligned."""


class YuNet:
    """Finds faces of 10 pixels and more, turned aside too; embeddings of unit length."""

    same = 1.128
    """Its authors' cosine of 0.363 as a distance."""

    def __init__(self, models: Path) -> None:
        cv2: Any = import_module("cv2")
        if missing := [name for name in (DETECTOR, EMBEDDING) if not (models / name).is_file()]:
            raise Unavailable(f"{models}/ lacks {' and '.join(missing)}: {FETCH}")
        cv2.setNumThreads(1)
        self._cv2, self._lock = cv2, Lock()
        try:
            self._detector = cv2.FaceDetectorYN.create(str(models / DETECTOR), "", (320, 320), LEAST)
            self._embedding = cv2.FaceRecognizerSF.create(str(models / EMBEDDING), "")
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1]
            raise Unavailable(f"{models}/ has a {DETECTOR} or {EMBEDDING} that cannot be read: {reason}") from error

    def find(self, picture: Grey) -> list[Found]:
        """All faces."""
        height, width = picture.shape
        return [
            Found(
                Box(row[0] / width, row[1] / height, row[2] / width, row[3] / height),
                round((row[14] - LEAST) / (CLEAR - LEAST), 3),
            )
            for row in self._rows(np.repeat(picture[..., None], 3, axis=2))
        ]

    def embed(self, picture: Colour, box: Box) -> Vector:
        """128 numbers."""
        height, width, _ = picture.shape
        aside, above = box.width * ROOM, box.height * ROOM
        left, top = max(0, round((box.left - aside) * width)), max(0, round((box.top - above) * height))
        right, bottom = round((box.left + box.width + aside) * width), round((box.top + box.height + above) * height)
        around = np.ascontiguousarray(picture[top:bottom, left:right, ::-1])
        rows = self._rows(around)
        with self._lock:
            if rows:
                face = self._embedding.alignCrop(
                    around, np.array(max(rows, key=lambda row: row[2] * row[3]), np.float32)
                )
            else:
                # Seen on the whole picture and not from near: as it stands, then.
                face = self._cv2.resize(around, (112, 112))
            vector = np.array(self._embedding.feature(face), np.float32).ravel()
        return vector / max(float(np.linalg.norm(vector)), 1e-6)

    def _rows(self, picture: Colour) -> list[list[float]]:
        """Left, top, width, height, five landmarks and the score of each face, in pixels of a BGR picture."""
        height, width, _ = picture.shape
        with self._lock:
            self._detector.setInputSize((width, height))
            _, rows = self._detector.detect(np.ascontiguousarray(picture))
        return [] if rows is None else [list(map(float, row)) for row in rows]
