"""CTranslate2 and transformers with Marian and NLLB: the adapters' contract, on weights that mean nothing."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from services.translator import engines
from services.translator.engines import Failed, Options, Source, Translator, Unavailable
from services.translator.engines.variants import FEWER
from shared.messages import Wording

for package in ("ctranslate2", "sentencepiece", "torch", "transformers"):
    pytest.importorskip(package)

TEXTS = ["hello world", "good evening ladies and gentlemen", "the stream is live now"]
BEGIN = 12
"""Characters: weights that mean nothing never come to an end, and where they are cut depends on the batch."""
MODELS = [
    ("ctranslate2", "marian_ct2"),
    ("ctranslate2", "nllb_ct2"),
    ("transformers", "marian"),
    ("transformers", "nllb"),
]


@pytest.fixture(params=MODELS, ids="-".join)
async def engine(request: pytest.FixtureRequest) -> Translator:
    name, model = request.param
    found = engines.load(name, Options(model=request.getfixturevalue(model), threads=1))
    await found.start()
    return found


async def test_english_is_translated_and_the_same_way_each_time(engine: Translator) -> None:
    assert ("en", "de") in engine.pairs
    batch = [Source(text, "en-GB") for text in TEXTS]
    once, again = [await engine.translate(batch, "de") for _ in range(2)]
    assert [[each.text for each in wordings] for wordings in once] == [[e.text for e in w] for w in again]
    assert len(once) == len(TEXTS)
    for best, *shorter in once:
        assert best.score is not None
        assert not best.shorter
        assert len(shorter) <= 1
        assert all(each.shorter and len(each.text) <= FEWER * len(best.text) for each in shorter)


async def test_a_sentence_is_translated_in_a_batch_of_all_lanes_as_it_is_alone(engine: Translator) -> None:
    alone = [(await engine.translate([Source(text, "en")], "de"))[0][0].text[:BEGIN] for text in TEXTS]
    lanes = await asyncio.gather(*(engine.translate([Source(text, "en")], "de") for text in TEXTS))
    assert [wordings[0][0].text[:BEGIN] for wordings in lanes] == alone


async def test_a_language_that_no_model_has_is_a_failure_that_is_not_retried(engine: Translator) -> None:
    with pytest.raises(Failed, match="no model translates en to xx") as failure:
        await engine.translate([Source("hello", "en")], "xx")
    assert not failure.value.retryable


@pytest.mark.parametrize(("name", "model"), [("ctranslate2", "nllb_ct2"), ("transformers", "nllb")])
async def test_languages_of_one_model_go_through_it_together(
    name: str, model: str, request: pytest.FixtureRequest
) -> None:
    engine = engines.load(name, Options(model=request.getfixturevalue(model), threads=1))
    await engine.start()
    languages = ("de", "es", "fr")
    found = await asyncio.gather(*(engine.translate([Source(TEXTS[1], "en")], language) for language in languages))
    alone = [await engine.translate([Source(TEXTS[1], "en")], language) for language in languages]
    assert [wordings[0][0].text for wordings in found] == [wordings[0][0].text for wordings in alone]
    assert not any(code in wordings[0][0].text for wordings in found for code in ("Latn", "</s>"))


async def test_the_beam_gives_four_hypotheses(marian_ct2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def counted(hypotheses: Iterable[tuple[str, float]]) -> list[Wording]:
        counts.append(len(list(hypotheses)))
        return []

    monkeypatch.setattr("services.translator.engines.ctranslate2.wordings", counted)
    engine = engines.load("ctranslate2", Options(model=marian_ct2, threads=1))
    await engine.start()
    await engine.translate([Source(text, "en") for text in TEXTS], "de")
    assert counts == [4, 4, 4]


@pytest.mark.parametrize("name", ["ctranslate2", "transformers"])
async def test_a_model_that_is_broken_is_one_clear_line(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "opus-mt-en-de"
    folder.mkdir()
    for file in ("model.bin", "pytorch_model.bin", "config.json"):
        (folder / file).write_text("{}")
    with pytest.raises(Unavailable, match="opus-mt-en-de cannot be loaded: ") as found:
        await engines.load(name, Options(model=folder)).start()
    assert "\n" not in str(found.value)
