"""A translation model as the hub has it becomes one that the engine loads, by the settings that are written for it."""

from pathlib import Path
from shutil import copytree

import pytest

from services import weights
from services.translator import engines
from services.translator.engines import Options, Source

for package in ("ctranslate2", "sentencepiece", "torch", "transformers"):
    pytest.importorskip(package)


async def test_what_the_hub_has_is_converted_where_it_lies_and_translates(marian: Path, tmp_path: Path) -> None:
    (model,) = [model for model in weights.MODELS if model.name == "opus-mt-en-de"]
    folder = tmp_path / model.folder
    copytree(marian, folder)
    weights._convert(folder)
    assert weights.present(model, tmp_path)
    assert not list(folder.glob("*.safetensors"))
    assert not (folder / "made").exists()
    assert f"{tmp_path}/translator" in weights.settings([model], tmp_path, "cpu")
    engine = engines.load("ctranslate2", Options(model=tmp_path / "translator", threads=1))
    await engine.start()
    assert set(engine.pairs) == {("en", "de")}
    (wordings,) = await engine.translate([Source("hello world", "en")], "de")
    assert wordings


def test_a_model_that_cannot_be_converted_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(weights.Unreachable, match=r"^it cannot be converted: [^\n]+$"):
        weights._convert(tmp_path)
