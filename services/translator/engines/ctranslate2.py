"""Marian (OPUS-MT) and NLLB by CTranslate2 (MIT): int8 on a CPU, float16 on a GPU; torch is not needed."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from services.translator.engines import Options, Unavailable
from services.translator.engines.folders import FLORES, Folder
from services.translator.engines.shelf import Shelf, Task
from services.translator.engines.variants import HYPOTHESES, wordings
from shared.messages import Wording

COMPUTE = {"cpu": "int8", "cuda": "float16"}
BATCH = 1024
"""Tokens that are decoded together."""
LONGER = 3
"""A translation has at most this many tokens for each of the source, and some."""


class CTranslate2(Shelf):
    """The models of a folder that are in CTranslate2's format."""

    name = "CTranslate2"

    def __init__(self, options: Options) -> None:
        super().__init__(options, ("model.bin",), Model)


class Model:
    """One model and its tokenizer; blocks."""

    def __init__(self, folder: Folder, options: Options) -> None:
        device, _, index = options.device.partition(":")
        if device not in COMPUTE:
            raise Unavailable(f"no device {options.device!r}; there are {', '.join(COMPUTE)}")
        self._translator: Any = import_module("ctranslate2").Translator(
            str(folder.path),
            device=device,
            device_index=int(index or 0),
            compute_type=COMPUTE[device],
            inter_threads=1,
            intra_threads=options.threads,
        )
        self._codes = folder.codes
        self._encode, self._decode = _coded(folder) if folder.codes else _marian(folder)

    def translate(self, tasks: Sequence[Task]) -> list[list[Wording]]:
        """Wordings of sentences, which may be of several languages where the model is."""
        sources = [self._source(task) for task in tasks]
        skipped = int(self._codes)
        prefixes = [[FLORES[task.target]] for task in tasks] if self._codes else None
        results = self._translator.translate_batch(
            sources,
            target_prefix=prefixes,
            beam_size=HYPOTHESES,
            num_hypotheses=HYPOTHESES,
            return_scores=True,
            max_batch_size=BATCH,
            batch_type="tokens",
            min_decoding_length=1 + skipped,
            max_decoding_length=16 + LONGER * max(map(len, sources)),
        )
        return [
            wordings(
                (self._decode(tokens[skipped:]), score)
                for tokens, score in zip(result.hypotheses, result.scores, strict=True)
            )
            for result in results
        ]

    def _source(self, task: Task) -> list[str]:
        tokens = [*self._encode(task.text), "</s>"]
        return [FLORES[task.spoken], *tokens] if self._codes else tokens


Encode = Callable[[str], list[str]]
Decode = Callable[[list[str]], str]


def _marian(folder: Folder) -> tuple[Encode, Decode]:
    """SentencePiece, one vocabulary a side; Marian wants `</s>` at the end, which its models do not add."""
    pieces = import_module("sentencepiece")
    source, target = (
        pieces.SentencePieceProcessor(model_file=str(folder.path / f"{side}.spm")) for side in ("source", "target")
    )
    return lambda text: list(source.encode(text, out_type=str)), lambda tokens: str(target.decode(tokens))


def _coded(folder: Folder) -> tuple[Encode, Decode]:
    """NLLB's tokenizer.json: the bare .spm knows no language codes."""
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(folder.path / "tokenizer.json"))
    return (
        lambda text: list(tokenizer.encode(text, add_special_tokens=False).tokens),
        lambda tokens: str(tokenizer.decode([tokenizer.token_to_id(token) for token in tokens])),
    )
