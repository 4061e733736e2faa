"""Who is thought to speak, and which gender, against references: labelled clips and streams with RTTM."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from loadtest.fit_gender import clips, labelled, scores, windows
from services.speaker.attribution import Listener, attribute
from services.speaker.cut import FRAME, voiced
from services.speaker.engines import load
from services.speaker.engines.dvector import DVector
from services.speaker.engines.gender import clamped
from services.speaker.ledger import Known, Ledger
from shared.audio import EAR, Pcm
from shared.context import Record
from shared.messages import Utterance, Word

PAUSE = 0.4
"""Seconds of silence that bound a phrase."""
LONGEST = 8.0
HUNDREDTHS = 100
SPEAKERS, PHRASES = 4, 12
SIX_PERCENT = 1.555
"""Standard deviations behind which a normal distribution has 6 %."""
CONFUSIONS = ((0.3, 0.02), (0.5, 0.1), (0.5, 0.2))
"""Share of the variance that is the speaker's, and share of phrases that go to a wrong speaker."""
DOUBTFUL = ("ls1688",)
"""Readers whose label is wrong by pitch and by embedding."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Speech of one speaker in the reference, seconds."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True)
class Told:
    """A piece as the speaker stage tells it, and its own gender evidence."""

    piece: Utterance
    log_odds: float | None


class Phrase(NamedTuple):
    """A simulated phrase: whose it is, what its sound says, and whose it is taken for."""

    female: bool
    log_odds: float
    heard_as: int


def measure(
    folder: Path, models: Path = Path("models"), engine: str = "dvector", *, whole: bool = True
) -> dict[str, float]:
    """Speaker figures of an engine with weights in `models`: of everything, or of stream-A and a simulation alone."""
    embedder = load(engine, models)
    figures = gender_figures(folder, embedder) if whole and isinstance(embedder, DVector) else {}
    figures |= simulated_confusion()
    errors, alone, judged = 0, 0, 0
    chosen = ("streams/*.rttm", "multi/phone*.rttm") if whole else ("streams/stream-A.rttm",)
    for rttm in sorted(path for pattern in chosen for path in folder.glob(pattern)):
        sound = next((path for ending in (".flac", ".ogg") if (path := rttm.with_suffix(ending)).exists()), None)
        if not sound:
            continue
        pcm = _read(sound)
        turns = reference(rttm)
        told = tell(Listener(embedder), pcm)
        confusion, missed = compare(turns, [entry.piece for entry in told])
        figures[f"speaker_confusion.{rttm.stem}"] = confusion
        figures[f"missed_speech.{rttm.stem}"] = missed
        figures[f"voice_switches_per_min.{rttm.stem}"] = switches(turns, told) / (len(pcm) / EAR / 60)
        figures[f"speakers_found.{rttm.stem}"] = len({entry.piece.speaker for entry in told})
        labels = _genders(rttm.with_suffix(".csv"))
        for entry in told:
            truth = labels.get(_main(turns, entry.piece))
            if truth:
                judged += 1
                errors += entry.piece.gender != truth
                alone += entry.log_odds is None or ("f" if entry.log_odds > 0 else "m") != truth
    if judged:
        figures["gender_errors"] = errors
        figures["gender_errors_no_history"] = alone
        figures["gender_judged"] = judged
    return figures


def simulated_confusion(trials: int = 400) -> dict[str, float]:
    """How many times fewer gender errors the history makes than a phrase alone, when phrases go to wrong speakers.

    Four speakers, twelve phrases each; a phrase alone is wrong in 6 %. Of the variance of its score, a share is its
    speaker's own and the rest the phrase's; a share of phrases is entered at any speaker.
    """
    figures = {}
    for own, wrong in CONFUSIONS:
        random, alone, kept = np.random.default_rng(0), 0, 0
        for _ in range(trials):
            ledger = Ledger(known=[Known(mean="", seconds=1.0) for _ in range(SPEAKERS)])
            for phrase in _conversation(random, own, wrong):
                alone += (phrase.log_odds > 0) != phrase.female
                kept += (ledger.gender(phrase.heard_as, phrase.log_odds, 3.0) == "f") != phrase.female
        figures[f"gender_history_gain.{own:g}_{wrong:g}"] = alone / max(1, kept)
    return figures


def _conversation(random: np.random.Generator, own: float, wrong: float) -> Iterator[Phrase]:
    """Phrases in any order with natural log-odds; means are as far apart as 6 % errors of one phrase say."""
    female = random.random(SPEAKERS) < 0.5
    centre = np.where(female, SIX_PERCENT, -SIX_PERCENT) + random.normal(0, own**0.5, SPEAKERS)
    for speaker in random.permutation(np.repeat(np.arange(SPEAKERS), PHRASES)):
        score = centre[speaker] + random.normal(0, (1 - own) ** 0.5)
        entered = int(random.integers(SPEAKERS)) if random.random() < wrong else int(speaker)
        yield Phrase(bool(female[speaker]), clamped(2 * SIX_PERCENT * float(score)), entered + 1)


def gender_figures(folder: Path, embedder: DVector) -> dict[str, float]:
    """Accuracy on clips and on windows of 3 s; every voice is judged by a line that has not seen it."""
    whole = clips(folder)
    train = labelled(embedder, windows(whole))
    judged = labelled(embedder, whole)
    return {
        "gender_accuracy": float(np.mean((scores(train, judged) > 0) == judged.female)),
        "gender_accuracy_3s": float(np.mean((scores(train, train) > 0) == train.female)),
    }


def tell(listener: Listener, pcm: Pcm) -> list[Told]:
    """Run the speaker stage over phrases between pauses, as if each 0.1 s of them were a word."""
    ledger, told = Ledger(), []
    for number, (start, end) in enumerate(phrases(pcm), 1):
        times = np.arange(start, end, 0.1).tolist()
        words = [Word(text="w", start=a, end=b) for a, b in pairwise([*times, end])]
        utterance = Utterance(
            stream="s",
            until=end,
            utterance=str(number),
            start=start,
            end=end,
            text=" ".join("w" for _ in words),
            words=tuple(words),
            spoken="en",
        )
        for heard in listener.hear(utterance, pcm[round(start * EAR) : round(end * EAR)]):
            told.append(Told(attribute(ledger, heard, listener.embedder.same, Record()), heard.log_odds))
    return told


def phrases(pcm: Pcm) -> list[tuple[float, float]]:
    """Speech between pauses of 0.4 s, cut at the next short pause after 8 s: stands in for utterances."""
    step = FRAME / EAR
    frames = voiced(pcm).frames
    breaks = np.flatnonzero(np.diff(frames) > 1)
    runs = np.split(frames, breaks + 1)
    found: list[tuple[float, float]] = []
    for run in runs:
        start, end = float(run[0]) * step, float(run[-1] + 1) * step
        # voiced() keeps 0.1 s on either side of a pause.
        if found and start - found[-1][1] < PAUSE - 0.2 and found[-1][1] - found[-1][0] < LONGEST:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def reference(rttm: Path) -> list[Turn]:
    """The turns of an RTTM file (NIST RT-09)."""
    rows = [line.split() for line in rttm.read_text().splitlines() if line.startswith("SPEAKER")]
    return [Turn(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]


def compare(turns: Sequence[Turn], pieces: Sequence[Utterance]) -> tuple[float, float]:
    """Confusion and missed speech.

    Confusion is the share of reference speech with exactly one speaker, covered by a piece, that goes to the wrong
    speaker under the best one-to-one match; missed is the share of reference speech that no piece covers.
    """
    names = sorted({turn.speaker for turn in turns})
    size = int(HUNDREDTHS * max([turn.end for turn in turns] + [piece.end for piece in pieces])) + 1
    active = np.zeros((len(names), size), bool)
    for turn in turns:
        active[names.index(turn.speaker), _hundredths(turn.start, turn.end)] = True
    heard: NDArray[np.intp] = np.full(size, -1)
    for piece in pieces:
        heard[_hundredths(piece.start, piece.end)] = piece.speaker or 0
    speech = active.any(axis=0)
    use = (active.sum(axis=0) == 1) & (heard >= 0)
    table = np.zeros((len(names), int(heard.max()) + 1))
    np.add.at(table, (active[:, use].argmax(axis=0), heard[use]), 1)
    right = table[linear_sum_assignment(-table)].sum()
    return float(1 - right / table.sum()), float((speech & (heard < 0)).sum() / speech.sum())


def switches(turns: Sequence[Turn], told: Sequence[Told]) -> int:
    """How often a reference speaker has another speaker number than in their piece before."""
    last: dict[str, int | None] = {}
    count = 0
    for entry in told:
        who = _main(turns, entry.piece)
        if who:
            count += who in last and last[who] != entry.piece.speaker
            last[who] = entry.piece.speaker
    return count


def _main(turns: Sequence[Turn], piece: Utterance) -> str:
    """The reference speaker who has most of a piece."""
    shares: dict[str, float] = {}
    for turn in turns:
        overlap = min(turn.end, piece.end) - max(turn.start, piece.start)
        if overlap > 0:
            shares[turn.speaker] = shares.get(turn.speaker, 0.0) + overlap
    return max(shares, key=shares.__getitem__, default="")


def _genders(table: Path) -> dict[str, str]:
    if not table.exists():
        return {}
    with table.open() as file:
        rows = list(csv.DictReader(file))
    return {
        row["speaker"]: row["gender"].lower()
        for row in rows
        if row["gender"] in ("F", "M") and row["speaker"] not in DOUBTFUL
    }


def _hundredths(start: float, end: float) -> slice:
    return slice(int(HUNDREDTHS * start), int(HUNDREDTHS * end))


def _read(path: Path) -> Pcm:
    pcm, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != EAR:
        raise ValueError(f"{path.name} is not at {EAR} Hz")
    mono: Pcm = pcm.mean(axis=1)
    return mono
