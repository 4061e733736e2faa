"""Polish in, Spanish out: the whole mesh on a virtual clock with a neural engine wherever a language matters."""

import json
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from loadtest.broadcast import Broadcast, Sentence
from loadtest.card import PROGRAMME
from loadtest.coding import transport_stream
from loadtest.virtual import VirtualMesh
from services.asr import service as asr
from services.downloader import service as downloader
from services.ingest.door import source, targets
from services.ingest.served import served
from services.segmenter import service as segmenter
from services.sender import service as sender
from services.speaker import service as speaker
from services.translator import service as translator
from services.translator.engines import Source
from services.translator.engines.ctranslate2 import CTranslate2
from services.tts import service as tts
from shared.audio import VOICE
from shared.bus import Service
from shared.context import Record
from shared.messages import Clip, Translation, Utterance, Words
from tests.neural.hearing import models
from tests.neural.speaking.models import converted

for package in ("ctranslate2", "faster_whisper", "torch", "transformers", "TTS"):
    pytest.importorskip(package)

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng, which speaks Polish, is not installed"),
]

TEXT = "Dobry wieczór państwu. Rzeka znowu wylała, ale nikomu nic się nie stało. Most jest już otwarty."
SECONDS = 12


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds in which somebody speaks Polish."""
    folder = tmp_path_factory.mktemp("film")
    subprocess.run(["espeak-ng", "-v", "pl", "-w", str(folder / "said.wav"), TEXT], check=True)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=VOICE)
    with av.open(str(folder / "said.wav")) as container:
        frames = [each for frame in container.decode(audio=0) for each in resampler.resample(frame)]
    said = np.concatenate([np.zeros(VOICE // 2, np.float32), *(frame.to_ndarray()[0] for frame in frames)])
    sound = np.repeat(np.resize(np.pad(said, (0, SECONDS * VOICE)), SECONDS * VOICE)[None], 2, axis=0)
    programme = Broadcast("WIADOMOSCI", sound, tuple[Sentence, ...](), "polish")
    path = folder / "film.ts"
    path.write_bytes(b"".join(transport_stream(PROGRAMME, programme, number) for number in range(SECONDS // 2)))
    return path


@pytest.fixture
def stages(marian: Path, vits: Path, tmp_path: Path) -> tuple[Service, ...]:
    """Recogniser, translator from Polish to Spanish, and a Spanish voice."""
    folder = tmp_path / "models"
    shutil.copytree(marian, folder / "opus-mt-pl-es")
    shutil.copytree(vits, folder / "vits")
    voices = json.loads((folder / "vits" / "voices.json").read_text())
    (folder / "vits" / "voices.json").write_text(json.dumps([{**voice, "language": "es"} for voice in voices]))
    whisper, pair = models.whisper(folder / "whisper"), converted(folder / "opus-mt-pl-es")
    store = f"file://{tmp_path}/store"
    return (
        asr.create(asr.Settings(engine="faster_whisper", model=str(whisper))),
        translator.create(translator.Settings(engine="ctranslate2", model=pair, threads=1)),
        *tts.create(tts.Settings(engine="vits", model=folder / "vits", threads=1, store=store)),
    )


async def test_polish_is_heard_translated_spoken_and_captioned_as_polish(
    film: Path, stages: tuple[Service, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[str, str]]()
    answer = CTranslate2.translate

    def translate(self: CTranslate2, batch: list[Source], target: str) -> object:
        asked.extend((each.spoken, target) for each in batch)
        return answer(self, batch, target)

    monkeypatch.setattr(CTranslate2, "translate", translate)
    store = f"file://{tmp_path}/store"
    services = [
        downloader.create(downloader.Settings(store=store, files=str(film.parent))),
        segmenter.create(),
        speaker.create(speaker.Settings(engine="scripted")),
        sender.create(sender.Settings(store=store)),
        *stages,
    ]
    record = Record(stream="film", url=f"file:{film.name}", source_language="pl", languages=("es",), record=True)
    mesh = VirtualMesh(services, record)
    await mesh.start()
    offers = {name: service.offered for name, service in mesh.services.items() if service.offered}
    await mesh.play("downloader")
    await mesh.stop()
    assert mesh.record.state == "ended"

    offered = served({name: [offer] for name, offer in offers.items() if offer})
    assert source("pl", offered) == "pl"
    assert targets(("es",), "pl", offered) == ("es",)

    heard = mesh.told("asr", Words)
    assert heard
    assert {words.spoken for words in heard} == {"pl"}  # type: ignore[attr-defined]
    uttered = mesh.told("speaker", Utterance)
    assert uttered
    assert {one.spoken for one in uttered} == {"pl"}  # type: ignore[attr-defined]
    assert set(asked) == {("pl", "es")}
    names = [one.utterance for one in uttered]  # type: ignore[attr-defined]
    assert [one.utterance for one in mesh.told("translator", Translation)] == names  # type: ignore[attr-defined]
    assert mesh.told("place", Clip)
    last = mesh.rows[-1].objects
    assert {"es", "captions-pl", "captions-es", "utterances"} <= set(last)
    assert "captions-en" not in last
