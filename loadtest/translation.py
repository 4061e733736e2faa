"""How good translations are: chrF and BLEU against the references of WMT24 and TED talks.

Popović, "chrF" (2015); Post, "A Call for Clarity in Reporting BLEU Scores" (2018); Kocmi et al., WMT24 (2024).
python -m loadtest.translation SPEECH_FOLDER [ENGINE ...]
"""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from services.translator import engines
from services.translator.engines import Options, Source, Translator, Unavailable
from services.translator.service import Settings

SENTENCES = re.compile(r"(?<=[.!?]) +|\n+")
TEXTS = ("wmt24_en-x.jsonl", "ted_wmt21_en-de.jsonl")
UNSPACED = ("ja", "zh")
"""BLEU counts words, and these do not write spaces."""


async def measure(folder: Path, names: tuple[str, ...] = ("apertium",)) -> dict[str, float]:
    """`chrf.<engine>.<pair>` and `bleu.<engine>.<pair>`; `chrf_as_heard`: the source in lower case, without commas.

    Pairs without a reference are left out. Models are those of TRANSLATOR_MODEL; an engine that cannot run is told.
    """
    settings = Settings()
    options = Options(settings.model, settings.device, settings.threads, settings.reserve, settings.formality)
    files = [folder / "text_mt" / name for name in TEXTS]
    rows = [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]
    if not rows:
        raise FileNotFoundError(f"no texts in {folder / 'text_mt'}")
    figures: dict[str, float] = {}
    for name in names:
        engine = engines.load(name, options)
        try:
            await engine.start()
        except Unavailable as missing:
            print(f"{name}: not measured: {missing}")
            continue
        try:
            for spoken, target in engine.pairs:
                scored = [row for row in rows if spoken == "en" and target in row["refs"]]
                if scored:
                    figures |= await _pair(engine, name, target, scored)
        finally:
            await engine.stop()
    return figures


async def _pair(engine: Translator, name: str, target: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    references = [[row["refs"][target] for row in rows]]
    written = [await _translated(engine, row["src"], target) for row in rows]
    heard = [await _translated(engine, _as_heard(row["src"]), target) for row in rows]
    pair, found = f"{name}.en-{target}", CHRF().corpus_score(written, references).score
    figures = {f"chrf.{pair}": found, f"chrf_as_heard.{pair}": CHRF().corpus_score(heard, references).score}
    if target not in UNSPACED:
        figures[f"bleu.{pair}"] = BLEU().corpus_score(written, references).score
    return figures


async def _translated(engine: Translator, text: str, target: str) -> str:
    sentences = [sentence for sentence in SENTENCES.split(text.strip()) if sentence.strip()]
    wordings = await engine.translate([Source(sentence, "en") for sentence in sentences], target)
    return " ".join(best[0].text for best in wordings)


def _as_heard(text: str) -> str:
    return text.lower().replace(",", "")


if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    for key, figure in asyncio.run(measure(Path(folder), tuple(names) or ("apertium",))).items():
        print(f"{key:40} {figure:.1f}")
