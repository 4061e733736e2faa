"""Folders of translation models: which pairs each translates, told by its name or by its tokenizer."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from services.translator.engines import Options, Pair, Unavailable
from shared.memory import refusal

FLORES = {
    "ar": "arb_Arab",
    "bg": "bul_Cyrl",
    "ca": "cat_Latn",
    "cs": "ces_Latn",
    "da": "dan_Latn",
    "de": "deu_Latn",
    "el": "ell_Grek",
    "en": "eng_Latn",
    "es": "spa_Latn",
    "et": "est_Latn",
    "eu": "eus_Latn",
    "fa": "pes_Arab",
    "fi": "fin_Latn",
    "fr": "fra_Latn",
    "gl": "glg_Latn",
    "he": "heb_Hebr",
    "hi": "hin_Deva",
    "hr": "hrv_Latn",
    "hu": "hun_Latn",
    "id": "ind_Latn",
    "it": "ita_Latn",
    "ja": "jpn_Jpan",
    "ko": "kor_Hang",
    "lt": "lit_Latn",
    "lv": "lvs_Latn",
    "nb": "nob_Latn",
    "nl": "nld_Latn",
    "pl": "pol_Latn",
    "pt": "por_Latn",
    "ro": "ron_Latn",
    "ru": "rus_Cyrl",
    "sk": "slk_Latn",
    "sl": "slv_Latn",
    "sr": "srp_Cyrl",
    "sv": "swe_Latn",
    "th": "tha_Thai",
    "tr": "tur_Latn",
    "uk": "ukr_Cyrl",
    "vi": "vie_Latn",
    "zh": "zho_Hans",
}
"""BCP 47 to NLLB's own codes (FLORES-200)."""
SOURCES = ("en", "ar", "de", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "uk", "zh")
_PAIR = re.compile(r"(?:^|[-_])(?P<source>[a-z]{2,3})-(?P<target>[a-z]{2,3})(?:[-_](?:ct2|int8|float16|bfloat16))*$")


@dataclass(frozen=True, slots=True)
class Folder:
    """A model on disk."""

    path: Path
    pairs: tuple[Pair, ...]
    codes: bool
    """Whether each sentence begins with a code of its language (NLLB)."""


def found(options: Options, *weights: str) -> list[Folder]:
    """The models in the folder that is set; `weights` are patterns of the files that make a folder a model.

    Raises Unavailable with one line where there is none, where a name tells no pair, or where one does not fit.
    """
    root = options.model
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())] if root.is_dir() else []
    known = [path for path in folders if any(list(path.glob(pattern)) for pattern in weights)]
    if root == Path() or not known:
        raise Unavailable(f"no model ({' or '.join(weights)}) in {str(root)!r}: set TRANSLATOR_MODEL to its folder")
    for path in known:
        if reason := refusal(path, options.device, options.reserve):
            raise Unavailable(reason)
    return [_folder(path) for path in known]


def _folder(path: Path) -> Folder:
    if codes := _codes(path):
        pairs = tuple((source, target) for source in SOURCES for target in FLORES if source != target)
        return Folder(path, tuple(pair for pair in pairs if {FLORES[pair[0]], FLORES[pair[1]]} <= codes), True)
    if told := _PAIR.search(path.name.lower()):
        return Folder(path, ((told["source"], told["target"]),), False)
    raise Unavailable(f"{path.name!r} does not tell its languages: rename the folder so that it ends in -en-es")


def _codes(path: Path) -> set[str]:
    """Language codes that a tokenizer has as tokens of their own."""
    file = path / "tokenizer.json"
    if not file.is_file():
        return set()
    added = {token["content"] for token in json.loads(file.read_text()).get("added_tokens", ())}
    return added & set(FLORES.values())
