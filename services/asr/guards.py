"""What was never said: cheap tests on a hypothesis. A suspicious one is neither committed nor fed back as a prompt."""

import zlib
from collections.abc import Iterator, Sequence

from services.asr.engines import Hypothesis, Word
from services.asr.recognition import STEP, Phrase


def trusted(hypothesis: Hypothesis, phrase: Phrase, share: float = 0.3) -> list[Word]:
    """Words that pass every guard: none of a suspicious hypothesis, none with less than `share` voiced."""
    kept = hypothesis._replace(words=voiced(hypothesis.words, phrase.marks, share))
    return [] if any(suspicions(kept)) else kept.words


def voiced(words: Sequence[Word], marks: str, share: float = 0.3) -> list[Word]:
    """Words of which at least `share` lies in speech; `marks` has a letter a window from time 0, 0 for none."""
    return [word for word in words if _speech(word, marks) >= share * max(1e-3, word.end - word.start)]


def suspicions(hypothesis: Hypothesis) -> Iterator[str]:
    """Names of the guards that fire."""
    words = hypothesis.words
    text = " ".join(word.text for word in words)
    if (hypothesis.no_speech or 0.0) > 0.6 and (hypothesis.logprob or 0.0) < -1.0:
        yield "no speech"
    if len(text) > 40 and _compression(text, hypothesis) > 2.4:
        yield "compresses too well"
    if _loops([word.text for word in words]):
        yield "loop"
    if len(words) >= 4:
        seconds = max(0.2, words[-1].end - words[0].start)
        if len(words) / seconds > 6.5 or len(text) / seconds > 25:
            yield "too fast"


def _speech(word: Word, marks: str) -> float:
    first, last = int(word.start / STEP), int(word.end / STEP)
    return sum(
        max(0.0, min(word.end, (window + 1) * STEP) - max(word.start, window * STEP))
        for window in range(first, last + 1)
        if marks[window : window + 1] in ("1", "2")
    )


def _compression(text: str, hypothesis: Hypothesis) -> float:
    if hypothesis.compression is not None:
        return hypothesis.compression
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def _loops(texts: Sequence[str]) -> bool:
    return any(_loop(texts, n) for n in range(1, 5))


def _loop(texts: Sequence[str], n: int) -> bool:
    run = longest = 1
    for i in range(n, len(texts)):
        # In k repeats of n words, (k - 1) * n words in a row equal the one n before them.
        run = run + 1 if texts[i] == texts[i - n] else 1
        longest = max(longest, run)
    repeats = (longest - 1) / n + 1
    # People repeat a word up to five times; a recogniser that hangs fills its hypothesis with it.
    return repeats >= 3 and (n > 1 or repeats >= 6 or repeats > 0.6 * len(texts))
