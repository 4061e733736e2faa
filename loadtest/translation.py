"""How good translations are: chrF against the references of WMT24 (Popović 2015; Kocmi et al. 2024).

python -m loadtest.translation SPEECH_FOLDER [ENGINE ...]
"""

import asyncio
import json
import re
import sys
from pathlib import Path

from sacrebleu.metrics.chrf import CHRF

from services.translator import engines
from services.translator.engines import Source, Translator

SENTENCES = re.compile(r"(?<=[.!?]) +|\n+")


async def measure(folder: Path, names: tuple[str, ...] = ("apertium",)) -> dict[str, float]:
    """`chrf.<engine>.<pair>` for each engine and pair; `chrf_as_heard`: lower case, without commas."""
    rows = [json.loads(line) for line in (folder / "text_mt" / "wmt24_en-x.jsonl").read_text().splitlines()]
    figures: dict[str, float] = {}
    for name in names:
        engine = engines.load(name)
        await engine.start()
        try:
            for spoken, target in engine.pairs:
                scored = [row for row in rows if spoken == "en" and target in row["refs"]]
                if not scored:
                    continue
                references = [[row["refs"][target] for row in scored]]
                written = [await _translated(engine, row["src"], target) for row in scored]
                heard = [await _translated(engine, _as_heard(row["src"]), target) for row in scored]
                pair = f"{name}.{spoken}-{target}"
                figures[f"chrf.{pair}"] = CHRF().corpus_score(written, references).score
                figures[f"chrf_as_heard.{pair}"] = CHRF().corpus_score(heard, references).score
        finally:
            await engine.stop()
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
