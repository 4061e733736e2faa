"""Recognition and sentence ends on real speech, through the code that runs live, on media time."""

import asyncio
import csv
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from loadtest.broadcast import music
from loadtest.fit_sentence_ends import ASIDE, DELIBERATE, HASTY, LIKELY, PREPARED, Pauses, Text, spoken
from loadtest.scores import errors, f1, normal
from services.asr.hearing import EarState, Hearing, Source
from services.asr.service import Settings, listener
from services.segmenter import engines as sentence_engines
from services.segmenter.segmentation import Open, Rule, Segmenter, rule
from shared.audio import EAR, VOICE, Pcm
from shared.messages import AudioChunk, End, Message, Word, Words

CHUNK = 0.5
"""Seconds of sound that arrive at once."""
BEGIN = 10.0
"""Media time of the first sample."""
LONGEST = 8.0
"""Seconds of the longest sentence in what is reported of stream-A."""
NO_LIMIT = Rule(longest=1e9, shortest=0.0, careful=LIKELY, eager=LIKELY, pause=1e9, behind=3)
"""Evidence alone, all of it: no longest sentence, and silence is no rule but evidence."""
SILENT = 60
"""Seconds of noise and of music in which nobody speaks."""
MUSIC = 0.1
"""Its level, rms."""
READ = 10_000
"""Words of each punctuated text that are segmented."""


class Said(NamedTuple):
    """A message of asr, and the media time up to which the source had been heard by then."""

    head: float
    message: Message


class Cut(NamedTuple):
    """A sentence, and the media time at which its end was decided."""

    head: float
    words: tuple[Word, ...]


def load(path: Path) -> Pcm:
    """Mono float PCM at 16 kHz; ValueError for another rate."""
    pcm, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != EAR:
        raise ValueError(f"{path.name} has {rate} samples a second, not {EAR}")
    return np.asarray(pcm.mean(1), np.float32)


async def live(hearing: Hearing, pcm: Pcm) -> AsyncIterator[Said]:
    """Feed sound chunk by chunk, as the downloader would."""

    async def listen(start: float, end: float) -> Pcm:
        return pcm[round((start - BEGIN) * EAR) : round((end - BEGIN) * EAR)]

    source, state, length = Source("measured", "en", listen), EarState(), len(pcm) / EAR
    times = [*np.arange(0, length, CHUNK).tolist(), length]
    for start, end in pairwise(BEGIN + time for time in times):
        chunk = AudioChunk(stream="measured", until=end, start=start, end=end, captured_at=0)
        async for message in hearing.hear(chunk, state, source):
            yield Said(end, message)
    async for last in hearing.end(End(stream="measured", until=BEGIN + length), state, source):
        yield Said(BEGIN + length, last)


async def hear(hearing: Hearing, pcm: Pcm) -> list[Said]:
    """All that asr says of a recording."""
    return [said async for said in live(hearing, pcm)]


def words(said: Sequence[Said]) -> list[Word]:
    """The recognised words."""
    return [word for one in said if isinstance(one.message, Words) for word in one.message.words]


def text(said: Sequence[Said]) -> str:
    """The recognised text."""
    return " ".join(word.text for word in words(said))


def waits(said: Sequence[Said]) -> list[float]:
    """Seconds from the end of each word to its commit."""
    return [one.head - word.end for one in said if isinstance(one.message, Words) for word in one.message.words]


def sentences(said: Sequence[Said], law: Rule) -> Iterator[Cut]:
    """What the embedded segmenter makes of it, and when."""
    segmenter, state = Segmenter(sentence_engines.load("embedded")), Open()
    for head, message in said:
        if isinstance(message, Words):
            yield from (Cut(head, cut) for cut in segmenter.push(state, message.words, message.spoken, law))
        if isinstance(message, End):
            yield from (Cut(head, cut) for cut in segmenter.flush(state))
        yield from (Cut(head, cut) for cut in segmenter.silence(state, message.until, law))


def true_ends(punctuated: str) -> tuple[list[str], set[int]]:
    """Normalised words of a text, and the places of those that end a sentence."""
    spoken: list[str] = []
    places: set[int] = set()
    for sentence in re.split(r"(?<=[.?!])[\"'”’)]*\s+(?!(?<=Mr\. )|(?<=Mrs\. ))", punctuated):
        spoken += normal(sentence)
        places.add(len(spoken) - 1)
    return spoken, places


def found_ends(cuts: Sequence[Cut], spoken: Sequence[str]) -> set[int]:
    """Places in the reference at which recognised sentences end, by aligning the words."""
    heard = [normal(word.text) for cut in cuts for word in cut.words]
    lasts = set(np.cumsum([len(cut.words) for cut in cuts]).tolist())
    matcher = SequenceMatcher(None, list(spoken), [" ".join(word) for word in heard], autojunk=False)
    places, reached = set(), 0
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for j in range(j1, j2):
            reached = i1 + (j - j1) if tag == "equal" else min(i1 + (j - j1), max(i1, i2 - 1))
            if j + 1 in lasts:
                places.add(reached)
    return places


class Read(NamedTuple):
    """Words of a text with simulated pauses, and the places of its sentence ends."""

    words: list[Word]
    ends: set[int]
    silences: NDArray[np.float64]


def spoken_text(path: Path, pauses: Pauses, seed: int = 1) -> Read:
    """Punctuated text as words at 2.6 a second (gamma, shape 9) with pauses drawn from a seed."""
    random, at = np.random.default_rng(seed), 0.0
    lines = map(json.loads, path.read_text().splitlines())
    whole = spoken(ASIDE.sub(" ", sentence) for line in lines for sentence in line["sentences"])
    text = Text(whole.words[:READ], whole.ends[:READ], whole.commas[:READ])
    silences = pauses.draw(text, random)
    said: list[Word] = []
    for word, length, silence in zip(text.words, random.gamma(9, 1 / 9 / 2.6, READ), silences, strict=False):
        said.append(Word(text=word, start=at, end=at + float(length)))
        at += float(length + silence)
    return Read(said, set(np.flatnonzero(text.ends).tolist()), silences)


def segmented(said: Sequence[Word], law: Rule) -> list[Cut]:
    """Sentences of the embedded segmenter, each with the time at which it was decided, word by word."""
    segmenter, state, cuts = Segmenter(sentence_engines.load("embedded")), Open(), []
    for word in said:
        cuts += [Cut(cut[-1].end + law.pause, cut) for cut in segmenter.silence(state, word.start, law)]
        cuts += [Cut(word.end, cut) for cut in segmenter.push(state, [word], "en", law)]
    return cuts + [Cut(cut[-1].end, cut) for cut in segmenter.flush(state)]


def by_pauses(read: Read) -> float:
    """Best F1 of a single bound on the pause, knowing the truth: what the words must beat."""
    bounds = np.arange(0, 1, 0.05)
    return max(f1(set(np.flatnonzero(read.silences > bound).tolist()), read.ends) for bound in bounds)


def measure_asr(
    speech: Path, engine: str = "pocketsphinx", workers: int = 2, *, whole: bool = True
) -> dict[str, float]:
    """Figures of recognition on a folder of speech, or of stream-A and noise alone; OSError where a file is missing."""
    return asyncio.run(_measure(speech, engine, workers, whole))


async def _measure(speech: Path, engine: str, workers: int, whole: bool) -> dict[str, float]:
    ear = listener(Settings(engine=engine, workers=workers))
    await asyncio.to_thread(ear.load)
    try:
        hearing = Hearing(ear)
        figures = await _stream(hearing, speech / "streams" / "stream-A.flac")
        figures |= await _invented(hearing, load(speech / "noisy" / "nonspeech-noise.flac"))
        if whole:
            figures |= await _files(hearing, speech)
    finally:
        ear.close()
    return figures


async def _stream(hearing: Hearing, path: Path) -> dict[str, float]:
    pcm = load(path)
    said = await hear(hearing, pcm)
    cuts = list(sentences(said, rule(LONGEST)))
    reference, places = true_ends(path.with_suffix(".txt").read_text())
    late, decided = quantiles(waits(said), n=20), quantiles([cut.head - cut.words[-1].end for cut in cuts], n=20)
    rows = list(csv.DictReader(path.with_suffix(".csv").open()))
    parts = [pcm[round(float(row["start"]) * EAR) : round(float(row["end"]) * EAR)] for row in rows]
    alone = await asyncio.gather(*(hear(hearing, part) for part in parts))
    rows_said = [normal(row["text"]) for row in rows]
    wrong = [errors(ref, normal(text(one))) for ref, one in zip(rows_said, alone, strict=True)]
    live_wer, offline = errors(reference, normal(text(said))) / len(reference), sum(wrong) / sum(map(len, rows_said))
    speakers = sorted({row["speaker"] for row in rows})
    return {
        "wer": live_wer,
        "wer_offline": offline,
        "wer_live_over_offline": live_wer / offline,
        **{f"wer.speaker.{who}": _share(rows, rows_said, wrong, who) for who in speakers},
        "word_latency_p50_s": late[9],
        "word_latency_p90_s": late[17],
        "word_latency_p95_s": late[18],
        "sentence_f1.stream-A": f1(found_ends(cuts, reference), places),
        "sentence_wait_p95_s": decided[18],
        "longest_s": max(cut.words[-1].end - cut.words[0].start for cut in cuts),
    }


async def _invented(hearing: Hearing, noise: Pcm) -> dict[str, float]:
    """Words heard in a minute of noise, looped, and in a minute of music that a program plays."""
    looped = np.resize(noise, SILENT * EAR).astype(np.float32)
    tune = music(SILENT, MUSIC, seed=2)[:: VOICE // EAR]
    found = [len(words(await hear(hearing, pcm))) for pcm in (noise, looped, np.ascontiguousarray(tune))]
    per_minute = found[1] / (SILENT / 60), found[2] / (SILENT / 60)
    return {"invented_words": found[0], "invented_words_per_min.noise": per_minute[0]} | {
        "invented_words_per_min.music": per_minute[1]
    }


def _share(rows: Sequence[dict[str, str]], said: Sequence[list[str]], wrong: Sequence[int], who: str) -> float:
    """Word error rate of one speaker's rows."""
    own = [number for number, row in enumerate(rows) if row["speaker"] == who]
    return sum(wrong[number] for number in own) / max(1, sum(len(said[number]) for number in own))


async def _files(hearing: Hearing, speech: Path) -> dict[str, float]:
    paths = [
        path
        for folder in ("single", "long", "noisy")
        for path in sorted((speech / folder).glob("*.flac"))
        if path.with_suffix(".txt").exists()
    ]
    said = await asyncio.gather(*(hear(hearing, load(path)) for path in paths))
    wrong: dict[str, int] = {}
    count: dict[str, int] = {}
    for path, one in zip(paths, said, strict=True):
        # Clips of one reader are one row.
        found = re.match(r"ls-\d+|sns", path.stem)
        name, reference = found.group() if found else path.stem, normal(path.with_suffix(".txt").read_text())
        wrong[name] = wrong.get(name, 0) + errors(reference, normal(text(one)))
        count[name] = count.get(name, 0) + len(reference)
    return {f"wer.{name}": wrong[name] / count[name] for name in wrong}


def measure_sentences(speech: Path) -> dict[str, float]:
    """Sentence ends on punctuated texts with simulated pauses, for each longest sentence and each way to pause."""
    paths = sorted((speech / "segmentation").glob("*.jsonl"))
    if not paths:
        return {}
    figures: dict[str, float] = {}
    for name, pauses in (("prepared", PREPARED), ("deliberate", DELIBERATE), ("hasty", HASTY)):
        reads = [spoken_text(path, pauses) for path in paths]
        figures[f"sentence_f1.{name}"] = _mean(
            f1(_places(segmented(read.words, NO_LIMIT)), read.ends) for read in reads
        )
        figures[f"sentence_f1_by_pauses_alone.{name}"] = _mean(map(by_pauses, reads))
        if pauses is PREPARED:
            figures["sentence_f1"] = figures[f"sentence_f1.{name}"]
            for seconds in (6.0, 8.0, 12.0):
                figures |= _limited(reads, seconds)
    return figures


def _limited(reads: Sequence[Read], seconds: float) -> dict[str, float]:
    cuts = [segmented(read.words, rule(seconds)) for read in reads]
    waited = [cut.head - cut.words[-1].end for found in cuts for cut in found]
    spans = [cut.words[-1].end - cut.words[0].start for found in cuts for cut in found]
    decided = [cut.head - cut.words[0].start for found in cuts for cut in found]
    key = f"longest_{seconds:g}"
    return {
        f"sentence_f1.{key}": _mean(f1(_places(found), read.ends) for found, read in zip(cuts, reads, strict=True)),
        f"sentence_wait_mean_s.{key}": float(np.mean(waited)),
        f"sentence_wait_p95_s.{key}": float(np.percentile(waited, 95)),
        f"sentence_decided_p99_s.{key}": float(np.percentile(decided, 99)),
        f"sentence_span_max_s.{key}": max(spans),
    }


def _places(cuts: Sequence[Cut]) -> set[int]:
    return set((np.cumsum([len(cut.words) for cut in cuts]) - 1).tolist())


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
