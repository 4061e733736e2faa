"""A log of the dub that OmniSTEval scores: when each dubbed word was played, against when its source was said.

    omnisteval longform --word_level --speech_segmentation seg.yaml --ref_sentences_file refs.txt \\
        --hypothesis_file instances.log

Polák et al., "Better Late Than Never: Evaluation of Latency Metrics for Simultaneous Speech Translation" (2025).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.messages import Clip, Translation

BEYOND = 10_000.0
"""Milliseconds of source behind the last word: later words are left out without a word."""


class Dubbed(NamedTuple):
    """An utterance and what was played for it."""

    translation: Translation
    clip: Clip | None


def heard(phrases: Sequence[Dubbed], delay: float) -> Iterator[tuple[str, float]]:
    """Each dubbed word and the live time of its playout, seconds, spread evenly over its clip."""
    for translation, clip in phrases:
        words = translation.wordings[clip.wording].text.split() if clip else []
        for place, word in enumerate(words):
            assert clip
            yield word, clip.start + delay + place / len(words) * clip.duration


def write(folder: Path, phrases: Sequence[Dubbed], delay: float) -> None:
    """`instances.log`, `refs.txt` and `seg.yaml`; the references are the full wordings, as only delays are scored."""
    folder.mkdir(parents=True, exist_ok=True)
    words = list(heard(phrases, delay))
    delays = [round(1000 * at, 1) for _, at in words]
    references = [translation.wordings[0].text for translation, _ in phrases]
    instance = {
        "index": 0,
        "prediction": " ".join(word for word, _ in words),
        "delays": delays,
        "elapsed": delays,
        "prediction_length": len(words),
        "reference": " ".join(references),
        "source": ["live.wav"],
        "source_length": max([1000 * phrases[-1].translation.end, *delays]) + BEYOND,
    }
    (folder / "instances.log").write_text(json.dumps(instance) + "\n")
    (folder / "refs.txt").write_text("\n".join(references) + "\n")
    spans = [
        f"- {{wav: live.wav, offset: {each.start:.3f}, duration: {each.end - each.start:.3f}, "
        f"speaker_id: spk{each.speaker}}}\n"
        for each, _ in phrases
    ]
    (folder / "seg.yaml").write_text("".join(spans))
