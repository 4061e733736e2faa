"""Which models are found, which pairs they translate, what a hypothesis is worth."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.translator.engines import Options, Unavailable
from services.translator.engines.folders import found
from services.translator.engines.variants import FEWER, MARGIN, keeps, wordings
from shared.memory import refusal


def model(folder: Path, size: int = 1000) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(bytes(size))
    return folder


@pytest.mark.parametrize("name", ["opus-mt-en-es", "opus-mt-tc-big-en-es-ct2", "en-es", "Marian_en-es_int8"])
def test_a_folders_name_tells_its_pair(tmp_path: Path, name: str) -> None:
    model(tmp_path / name)
    assert [folder.pairs for folder in found(Options(model=tmp_path), "model.bin")] == [(("en", "es"),)]


def test_a_folder_may_be_a_model_or_hold_several(tmp_path: Path) -> None:
    one, _ = model(tmp_path / "opus-mt-en-es"), model(tmp_path / "opus-mt-en-de")
    assert len(found(Options(model=tmp_path), "model.bin")) == 2
    assert len(found(Options(model=one), "model.bin")) == 1


def test_a_model_with_language_codes_translates_between_all_that_it_has(tmp_path: Path) -> None:
    codes = [{"content": code} for code in ("eng_Latn", "spa_Latn", "deu_Latn", "mask")]
    (model(tmp_path / "nllb") / "tokenizer.json").write_text(json.dumps({"added_tokens": codes}))
    [folder] = found(Options(model=tmp_path), "model.bin")
    assert set(folder.pairs) == {(a, b) for a in ("en", "es", "de") for b in ("en", "es", "de") if a != b}


@pytest.mark.parametrize("name", ["opus-mt-en-ROMANCE", "model"])
def test_a_name_that_tells_no_pair_is_one_clear_line(tmp_path: Path, name: str) -> None:
    model(tmp_path / name)
    with pytest.raises(Unavailable, match="rename the folder so that it ends in -en-es"):
        found(Options(model=tmp_path), "model.bin")


@pytest.mark.parametrize("folder", [Path(), Path("/nowhere")])
def test_a_missing_folder_is_told_with_the_setting(folder: Path) -> None:
    with pytest.raises(Unavailable, match="TRANSLATOR_MODEL"):
        found(Options(model=folder), "model.bin")


def test_a_model_that_does_not_fit_is_refused_with_the_next_smaller_one(tmp_path: Path) -> None:
    big, _ = model(tmp_path / "tc-big-en-es", 3_000_000), model(tmp_path / "opus-en-es", 1_000_000)
    line = refusal(big, "cuda", 0.0, free=lambda device: 2_000_000)
    assert line == ("tc-big-en-es needs 0.0 GB and 0.0 GB in reserve, cuda has 0.0 GB free: opus-en-es would fit")
    assert refusal(big, "cuda", 0.0, free=lambda device: 4_000_000) == ""
    assert "or the CPU" in refusal(big, "cuda", 2.0, free=lambda device: 4_000_000)
    assert refusal(big, "cpu", 2.0) == ""


def test_the_shortest_likely_hypothesis_is_the_shorter_wording() -> None:
    full = "Hoy vamos a hablar del tiempo de mañana."
    best, shorter = wordings(
        [
            (full, -0.4),
            ("Hoy vamos a hablar del clima de mañana.", -0.5),
            ("Hoy hablamos del tiempo.", -0.6),
            ("Hoy.", -0.4 - 2 * MARGIN),
        ]
    )
    assert (best.text, best.shorter) == (full, False)
    assert (shorter.text, shorter.shorter) == ("Hoy hablamos del tiempo.", True)


@pytest.mark.parametrize(
    ("full", "shorter", "kept"),
    [
        ("Son 12,5 por ciento", "12,5 por ciento", True),
        ("Son 12,5 por ciento", "12 por ciento", False),
        ("El señor Smith dijo que no", "Smith dijo que no", True),
        ("El señor Smith dijo que no", "Dijo que no", False),
    ],
)
def test_a_shorter_wording_keeps_numbers_and_names(full: str, shorter: str, kept: bool) -> None:
    assert keeps(full, shorter) == kept


@given(st.lists(st.tuples(st.text(max_size=40), st.floats(-5, 0)), min_size=1, max_size=6))
def test_a_shorter_wording_is_shorter_and_nearly_as_likely(hypotheses: list[tuple[str, float]]) -> None:
    best, *others = wordings(hypotheses)
    assert best.score == max(score for _, score in hypotheses)
    assert len(others) <= 1
    for other in others:
        assert best.score is not None
        assert other.score is not None
        assert other.shorter
        assert len(other.text) <= FEWER * len(best.text)
        assert other.score >= best.score - MARGIN
