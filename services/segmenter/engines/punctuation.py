"""Sentence ends and marks in any language by token classification (XLM-R family) with transformers (Apache-2.0).

Guhr et al., "FullStop: Multilingual deep models for punctuation prediction" (2021).
"""

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.segmenter.engines import Options
from shared.memory import refusal

STOPS = (".", "?", "!")
MARKS = (*STOPS, ",", "-", ":", ";")
BELIEVED = 0.99
"""Probability of an end where the recogniser itself has set a stop."""


class Punctuation:
    """One model for all streams of a replica: a mark, or none, behind each word."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._torch: Any = import_module("torch")
        self._library: Any = import_module("transformers")

    def load(self) -> None:
        """Load the folder.

        Raises FileNotFoundError where there is no model, MemoryError where the GPU has no room for it, and ValueError
        where none of its labels is a full stop.
        """
        if "." not in self._labels:
            raise ValueError(f"{str(self._options.model)!r} has no label for a full stop: {', '.join(self._labels)}")

    def ends(self, words: Sequence[str], pauses: Sequence[float]) -> list[float]:
        """Probability of an end after each word; that of the last one waits for a word behind it, or a pause."""
        chances = self._marks(words)
        stops = [number for number, label in enumerate(self._labels) if label in STOPS]
        found = [float(chance) for chance in chances[:, stops].sum(1)]
        told = [word.endswith(STOPS) for word in words]
        found[len(words) - 1 :] = [0.0] * bool(words)
        return [max(chance, BELIEVED * stop) for chance, stop in zip(found, told, strict=True)]

    def restore(self, words: Sequence[str]) -> str:
        """The sentence with marks and capitals, unless the recogniser has set them."""
        text = " ".join(words)
        if not words or text != text.lower() or any(mark in text for mark in (*STOPS, ",")):
            return text
        chances = self._marks(words)
        marks = [self._labels[number] for number in chances.argmax(1)]
        stops = [label for label in self._labels if label in STOPS]
        marks[-1] = max(stops, key=lambda stop: chances[-1, self._labels.index(stop)])
        said, begins = [], True
        for word, mark in zip(words, marks, strict=True):
            said.append((word[:1].upper() + word[1:] if begins else word) + (mark if mark in MARKS else ""))
            begins = mark in STOPS
        return " ".join(said)

    def _marks(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities of the labels behind each word, shape (words, labels): those of a word's last piece."""
        bare = [word.strip("".join(MARKS)).lower() or word for word in words]
        chances = np.zeros((len(words), len(self._labels)), np.float32)
        if not words:
            return chances
        batch = self._tokenizer(bare, is_split_into_words=True, return_tensors="pt", truncation=True)
        with self._torch.inference_mode():
            logits = self._model(**batch.to(self._options.device)).logits[0]
        found = logits.float().softmax(-1).cpu().numpy()
        for piece, word in enumerate(batch.word_ids()):
            if word is not None:
                chances[word] = found[piece]
        return chances

    @cached_property
    def _labels(self) -> list[str]:
        return [str(label) for _, label in sorted(self._model.config.id2label.items())]

    @cached_property
    def _tokenizer(self) -> Any:
        return self._library.AutoTokenizer.from_pretrained(self._options.model, local_files_only=True)

    @cached_property
    def _model(self) -> Any:
        folder, device = self._options.model, self._options.device
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"no model of transformers in {str(folder)!r}")
        half = device.startswith("cuda")
        if reason := refusal(folder, device, self._options.reserve, share=0.5 if half else 1.0):
            raise MemoryError(reason)
        kind = self._torch.float16 if half else self._torch.float32
        library = self._library.AutoModelForTokenClassification
        return library.from_pretrained(folder, local_files_only=True, dtype=kind).to(device).eval()
