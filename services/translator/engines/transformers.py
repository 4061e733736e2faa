"""Marian (OPUS-MT) and NLLB as they are published, by transformers (Apache-2.0) and torch; no conversion is needed."""

from collections.abc import Sequence
from importlib import import_module
from itertools import groupby
from typing import Any

from services.translator.engines import Options
from services.translator.engines.folders import FLORES, Folder
from services.translator.engines.shelf import Shelf, Task
from services.translator.engines.variants import HYPOTHESES, wordings
from shared.messages import Wording

LONGER = 3
"""A translation has at most this many tokens for each of the source, and some."""


class Transformers(Shelf):
    """The models of a folder that are in transformers' format."""

    name = "transformers"

    def __init__(self, options: Options) -> None:
        super().__init__(options, ("*.safetensors", "pytorch_model.bin"), Model)


class Model:
    """One model and its tokenizer; blocks."""

    def __init__(self, folder: Folder, options: Options) -> None:
        self._torch: Any = import_module("torch")
        library: Any = import_module("transformers")
        library.logging.disable_progress_bar()
        if options.threads:
            self._torch.set_num_threads(options.threads)
        half = options.device.startswith("cuda")
        self._tokenizer: Any = library.AutoTokenizer.from_pretrained(folder.path, local_files_only=True)
        model = library.AutoModelForSeq2SeqLM.from_pretrained(
            folder.path, local_files_only=True, dtype=self._torch.float16 if half else self._torch.float32
        )
        self._model: Any = model.to(options.device).eval()
        self._codes, self._device = folder.codes, options.device

    def translate(self, tasks: Sequence[Task]) -> list[list[Wording]]:
        """Wordings of sentences; those of one pair of languages are decoded together."""
        order = sorted(range(len(tasks)), key=lambda place: tasks[place][1:])
        answers: dict[int, list[Wording]] = {}
        for (spoken, target), places in groupby(order, key=lambda place: tasks[place][1:]):
            chosen = list(places)
            answers |= zip(chosen, self._decoded([tasks[place].text for place in chosen], spoken, target), strict=True)
        return [answers[place] for place in range(len(tasks))]

    def _decoded(self, texts: list[str], spoken: str, target: str) -> list[list[Wording]]:
        forced: dict[str, int] = {}
        if self._codes:
            self._tokenizer.src_lang = FLORES[spoken]
            forced["forced_bos_token_id"] = self._tokenizer.convert_tokens_to_ids(FLORES[target])
        batch = self._tokenizer(texts, return_tensors="pt", padding=True, truncation=True).to(self._device)
        with self._torch.inference_mode():
            out = self._model.generate(
                **batch,
                **forced,
                num_beams=HYPOTHESES,
                num_return_sequences=HYPOTHESES,
                max_new_tokens=16 + LONGER * int(batch["input_ids"].shape[1]),
                do_sample=False,
                return_dict_in_generate=True,
                output_scores=True,
            )
        lines = self._tokenizer.batch_decode(out.sequences, skip_special_tokens=True)
        pairs = list(zip(lines, out.sequences_scores.tolist(), strict=True))
        return [wordings(pairs[at : at + HYPOTHESES]) for at in range(0, len(pairs), HYPOTHESES)]
