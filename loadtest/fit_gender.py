"""Fits the line that tells women's from men's voices by their embeddings.

Trained on 24 readers of LibriSpeech (Panayotov et al. 2015, openslr.org/12, CC BY 4.0), about 7 s each, half of
them women: a folder with `gender_labels.csv` (file, speaker, gender) and `gender/*.ogg`.

    python -m loadtest.fit_gender SPEECH_FOLDER
"""

import csv
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from services.speaker.cut import voiced
from services.speaker.engines import Options, Piece
from services.speaker.engines.dvector import LINE, DVector
from services.speaker.engines.gender import Line, by_pitch
from shared.audio import EAR, Pcm

WINDOW = 3
"""Seconds."""
ORIGIN = "24 readers of LibriSpeech (openslr.org/12, CC BY 4.0), fitted by loadtest/fit_gender.py"


class Sample(NamedTuple):
    speaker: str
    female: bool
    pcm: Pcm


class Labelled(NamedTuple):
    """Embeddings of samples, one a row."""

    speakers: NDArray[np.str_]
    female: NDArray[np.bool_]
    vectors: NDArray[np.float32]


def clips(folder: Path) -> list[Sample]:
    """Each labelled clip whole."""
    with (folder / "gender_labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["gender"] in "FM"]
    samples = []
    for row in rows:
        pcm, rate = soundfile.read(folder / "gender" / Path(row["file"]).name, dtype="float32")
        if rate != EAR:
            raise ValueError(f"{row['file']} is not at {EAR} Hz")
        samples.append(Sample(row["speaker"], row["gender"] == "F", pcm))
    return samples


def windows(samples: list[Sample]) -> list[Sample]:
    """Every whole window of 3 s."""
    size = WINDOW * EAR
    return [
        Sample(speaker, female, pcm[start : start + size])
        for speaker, female, pcm in samples
        for start in range(0, len(pcm) - size + 1, size)
    ]


def labelled(embedder: DVector, samples: list[Sample]) -> Labelled:
    """Embed what is voiced of each sample."""
    vectors = [embedder.embed([Piece(0.0, voiced(sample.pcm).pcm)])[0] for sample in samples]
    speakers = np.array([sample.speaker for sample in samples])
    return Labelled(speakers, np.array([sample.female for sample in samples]), np.stack(vectors))


def fit(female: NDArray[np.bool_], vectors: NDArray[np.float32]) -> Line:
    """The line between the class means, with no scale yet."""
    women, men = vectors[female].mean(axis=0), vectors[~female].mean(axis=0)
    direction = women - men
    return Line(direction, float((women + men) @ direction / 2), 1.0)


def scores(train: Labelled, judged: Labelled) -> NDArray[np.float64]:
    """Distance of each judged sample from a line that has not seen its speaker."""
    found = []
    for speaker, vector in zip(judged.speakers, judged.vectors, strict=True):
        others = train.speakers != speaker
        line = fit(train.female[others], train.vectors[others])
        found.append(float(vector @ line.direction) - line.middle)
    return np.array(found)


def scale(distances: NDArray[np.float64], female: NDArray[np.bool_]) -> float:
    """Log-odds a unit of distance, for two normal distributions of equal variance: distance of the means / variance."""
    women, men = distances[female], distances[~female]
    variance = (women.var() * len(women) + men.var() * len(men)) / len(distances)
    return float((women.mean() - men.mean()) / variance)


def main(folder: Path, models: Path = Path("models")) -> None:
    """Print the accuracy on voices left out and write the line."""
    embedder = DVector(Options(models))
    whole = clips(folder)
    short = windows(whole)
    train, judged = labelled(embedder, short), labelled(embedder, whole)
    left_out = scores(train, train)
    print(f"windows of 3 s, voice left out: {np.mean((left_out > 0) == train.female):.3f} of {len(short)}")
    print(f"whole clips, voice left out: {np.mean((scores(train, judged) > 0) == judged.female):.3f} of {len(whole)}")
    told = [(by_pitch(sample.pcm) or 0.0) > 0 for sample in short]
    print(f"windows of 3 s by pitch: {np.mean(np.array(told) == train.female):.3f}")
    line = fit(train.female, train.vectors)
    numbers = {
        "origin": ORIGIN,
        "direction": [round(float(number), 6) for number in line.direction],
        "middle": round(line.middle, 6),
        "scale": round(scale(left_out, train.female), 3),
    }
    LINE.write_text(json.dumps(numbers) + "\n")
    print(f"scale {numbers['scale']}, wrote {LINE}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
