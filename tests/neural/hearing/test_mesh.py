"""The whole mesh on a virtual clock, with a neural engine in each stage that hears."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest.broadcast import Broadcast, Say, perform, silence
from loadtest.card import PROGRAMME
from loadtest.coding import transport_stream
from loadtest.virtual import VirtualMesh
from services.asr import service as asr
from services.downloader import service as downloader
from services.segmenter import service as segmenter
from services.sender import service as sender
from services.speaker import service as speaker
from services.translator import service as translator
from services.tts import service as tts
from shared.bus import Service
from shared.context import Record, Term
from shared.messages import Utterance, Words

pytestmark = pytest.mark.skipif(not shutil.which("flite"), reason="flite, which speaks the programme, is not installed")

SECONDS = 12
Spy = Callable[[str, str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a man and a woman who speak."""
    script = (
        Say("Robert", "Good evening, and welcome to the news.", 0.8),
        Say("Susan", "The river has risen again in the old town.", 0.8),
        Say("Robert", "Nobody was hurt.", 5.0),
    )
    sound, timeline = perform(script)
    sound = np.concatenate([sound, np.repeat(silence(SECONDS)[None], 2, axis=0)], axis=1)
    programme = Broadcast("NEWS", sound, tuple(timeline), "hearing")
    path = tmp_path_factory.mktemp("film") / "film.ts"
    path.write_bytes(b"".join(transport_stream(PROGRAMME, programme, number) for number in range(SECONDS // 2)))
    return path


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """Keep what a method is asked, and let it answer."""

    def watch(owner: str, method: str) -> list[tuple[Any, ...]]:
        module, _, name = owner.rpartition(".")
        kind = getattr(__import__(module, fromlist=[name]), name)
        asked, answer = list[tuple[Any, ...]](), getattr(kind, method)

        def heard(self: Any, *values: Any, **options: Any) -> Any:
            asked.append((*values, options))
            return answer(self, *values, **options)

        monkeypatch.setattr(kind, method, heard)
        return asked

    return watch


async def dubbed(film: Path, folder: Path, *, record: Record | None = None, **chosen: Service) -> VirtualMesh:
    """The film through every stage, scripted where no engine is chosen; it must end, published whole."""
    store = f"file://{folder}/store"
    script = {"origin": 10.0, "lines": [{"text": "good evening and welcome to the news", "start": 0.9, "end": 3.2}]}
    stages = {
        "downloader": downloader.create(downloader.Settings(store=store, files=str(film.parent))),
        "asr": chosen.get("asr") or asr.create(asr.Settings(engine="scripted", script=json.dumps(script))),
        "segmenter": chosen.get("segmenter") or segmenter.create(),
        "speaker": chosen.get("speaker") or speaker.create(speaker.Settings(engine="scripted")),
        "translator": translator.create(translator.Settings(engine="scripted")),
        "sender": sender.create(sender.Settings(store=store)),
    }
    record = record or Record()
    record = record.model_copy(update={"stream": "film", "url": f"file:{film.name}", "languages": ("es",)})
    mesh = VirtualMesh([*stages.values(), *tts.create(tts.Settings(engine="scripted", store=store))], record)
    await mesh.start()
    await mesh.play("downloader")
    await mesh.stop()
    assert mesh.record.state == "ended"
    assert sum(row.duration for row in mesh.rows) == pytest.approx(SECONDS * 90_000, abs=9_000)
    return mesh


async def test_faster_whisper_hears_finds_the_language_and_knows_the_glossary(
    film: Path, tmp_path: Path, whisper: Path, spy: Spy
) -> None:
    asked = spy("services.asr.engines.faster_whisper.FasterWhisper", "transcribe")
    told = spy("services.asr.engines.faster_whisper.FasterWhisper", "languages")
    record = Record(source_language="auto", candidates=("en", "de"), glossary=(Term(term="Dragoman"),))
    stage = asr.create(asr.Settings(engine="faster_whisper", model=str(whisper)))
    mesh = await dubbed(film, tmp_path, record=record, asr=stage)
    assert len(asked) >= 4
    assert told
    assert all(options["terms"] == ("Dragoman",) for *_, options in asked)
    assert {options["language"] for *_, options in asked} <= {"en", "de"}
    assert {words.spoken for words in mesh.told("asr", Words)} <= {"en", "de"}  # type: ignore[attr-defined]


async def test_nemo_hears_while_somebody_speaks(film: Path, tmp_path: Path, fastconformer: Path, spy: Spy) -> None:
    fed = spy("services.asr.engines.nemo.Hearer", "feed")
    stage = asr.create(asr.Settings(engine="nemo", model=str(fastconformer)))
    mesh = await dubbed(film, tmp_path, asr=stage)
    assert sum(len(pcm) for pcm, _ in fed) > 4 * 16_000
    words = [word for found in mesh.told("asr", Words) for word in found.words]  # type: ignore[attr-defined]
    assert words
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    uttered = [word for found in mesh.told("speaker", Utterance) for word in found.words]  # type: ignore[attr-defined]
    assert uttered == words


async def test_a_token_classifier_ends_sentences(film: Path, tmp_path: Path, punctuation: Path, spy: Spy) -> None:
    asked = spy("services.segmenter.engines.punctuation.Punctuation", "ends")
    stage = segmenter.create(segmenter.Settings(engine="punctuation", model=punctuation))
    mesh = await dubbed(film, tmp_path, segmenter=stage)
    assert len(asked) == 7
    found = mesh.told("segmenter", Utterance)
    assert " ".join(w.text for one in found for w in one.words) == "good evening and welcome to the news"  # type: ignore[attr-defined]
    assert all(one.text[0].isupper() and one.text[-1] in ".?" for one in found)  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", ["ecapa", "titanet"])
async def test_voices_are_told_by_neural_embeddings(
    engine: str, film: Path, tmp_path: Path, voices: Path, spy: Spy
) -> None:
    asked = spy("services.speaker.engines.neural.Neural", "embed")
    stage = speaker.create(speaker.Settings(engine=engine, models=voices))
    mesh = await dubbed(film, tmp_path, speaker=stage)
    assert asked
    found = mesh.told("speaker", Utterance)
    assert found
    assert all(one.speaker == 1 and one.gender for one in found)  # type: ignore[attr-defined]
