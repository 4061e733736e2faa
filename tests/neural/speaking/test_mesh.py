"""Each neural speaking engine in the whole mesh, on a virtual clock: a film goes in, a dub comes out."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest import conformance
from loadtest.broadcast import tone
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
from shared.context import Record
from shared.messages import Clip, Dropped, Translation, Utterance

for package in ("ctranslate2", "torch", "transformers", "TTS"):
    pytest.importorskip(package)

LINES = [
    {"text": "good evening", "start": 0.5, "end": 3.0},
    {"text": "live now", "start": 4.5, "end": 5.5},
]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of test card and tone."""
    path = tmp_path_factory.mktemp("film") / "film.ts"
    programme = tone(8.0)
    path.write_bytes(b"".join(transport_stream(PROGRAMME, programme, number) for number in range(4)))
    return path


async def dubbed(
    film: Path, folder: Path, translating: translator.Settings | None = None, speaking: tts.Settings | None = None
) -> VirtualMesh:
    store = f"file://{folder}/store"
    services = [
        downloader.create(downloader.Settings(store=store, files=str(film.parent))),
        asr.create(asr.Settings(engine="scripted", script=json.dumps({"origin": 10.0, "lines": LINES}))),
        segmenter.create(),
        speaker.create(speaker.Settings(engine="scripted")),
        translator.create(translating or translator.Settings(engine="scripted")),
        *tts.create((speaking or tts.Settings(engine="scripted")).model_copy(update={"store": store})),
        sender.create(sender.Settings(store=store)),
    ]
    mesh = VirtualMesh(services, Record(stream="film", url=f"file:{film.name}", languages=("de",), record=True))
    await mesh.start()
    await mesh.play("downloader")
    await mesh.stop()
    return mesh


def names(mesh: VirtualMesh, stage: str, kind: type[Any]) -> list[str]:
    return [message.utterance for message in mesh.told(stage, kind)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("engine", "model"),
    [
        ("ctranslate2", "marian_ct2"),
        ("ctranslate2", "nllb_ct2"),
        ("transformers", "marian"),
        ("transformers", "nllb"),
    ],
)
async def test_every_utterance_is_translated_once_by_the_model(
    film: Path, tmp_path: Path, engine: str, model: str, request: pytest.FixtureRequest
) -> None:
    settings = translator.Settings(engine=engine, model=request.getfixturevalue(model), threads=1)
    mesh = await dubbed(film, tmp_path, settings)
    uttered = names(mesh, "speaker", Utterance)
    assert len(uttered) >= len(LINES)
    assert names(mesh, "translator", Translation) == uttered
    assert sorted(names(mesh, "place", Clip) + names(mesh, "place", Dropped), key=uttered.index) == uttered
    assert mesh.record.state == "ended"


@pytest.mark.parametrize(
    ("engine", "imitate"), [("vits", False), ("xtts", False), ("xtts", True)], ids=["vits", "xtts", "imitated"]
)
async def test_every_utterance_is_voiced_once_by_the_model(
    film: Path, tmp_path: Path, engine: str, imitate: bool, request: pytest.FixtureRequest
) -> None:
    settings = tts.Settings(engine=engine, model=request.getfixturevalue(engine), threads=1, imitate=imitate)
    mesh = await dubbed(film, tmp_path, speaking=settings)
    assert names(mesh, "place", Dropped) == []
    assert names(mesh, "place", Clip) == names(mesh, "speaker", Utterance)
    clips = [clip for clip in mesh.told("place", Clip) if isinstance(clip, Clip)]
    assert all(clip.rate <= 1.3 for clip in clips)
    assert any(clip.voice.startswith("de/speaker-") for clip in clips) == imitate
    report = await conformance.check(str(tmp_path / "store" / "film" / "master.m3u8"))
    assert report.errors == []
