"""The whole mesh in one process on a virtual clock: a file goes in, a finished presentation comes out."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtest import conformance, presentation
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
from shared.messages import Clip, Dropped, End, Sealed, Translation, Utterance, Words

LINES = [
    {"text": "good evening and welcome to the news", "start": 0.5, "end": 3.0},
    {"text": "the river has risen again in the old town", "start": 4.0, "end": 7.0},
    {"text": "nobody was hurt", "start": 8.5, "end": 9.8},
    {"text": "and now the weather for tomorrow", "start": 12.0, "end": 14.0},
]


@dataclass
class Run:
    mesh: VirtualMesh
    folder: Path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen seconds of test card and tone."""
    path = tmp_path_factory.mktemp("film") / "film.ts"
    programme = tone(16.0)
    path.write_bytes(b"".join(transport_stream(PROGRAMME, programme, number) for number in range(8)))
    return path


@pytest.fixture
async def run(film: Path, tmp_path: Path) -> AsyncIterator[Run]:
    store = f"file://{tmp_path}/store"
    services = [
        downloader.create(downloader.Settings(store=store, files=str(film.parent))),
        asr.create(asr.Settings(engine="scripted", script=json.dumps({"origin": 10.0, "lines": LINES}))),
        segmenter.create(),
        speaker.create(speaker.Settings(engine="scripted")),
        translator.create(translator.Settings(engine="scripted")),
        *tts.create(tts.Settings(engine="scripted", store=store)),
        sender.create(sender.Settings(store=store)),
    ]
    record = Record(stream="film", url=f"file:{film.name}", languages=("es", "ca"), record=True)
    mesh = VirtualMesh(services, record)
    await mesh.start()
    await mesh.play("downloader")
    yield Run(mesh, tmp_path / "store" / "film")
    await mesh.stop()


async def test_every_word_is_heard_translated_and_voiced_once_in_every_language(run: Run) -> None:
    said = " ".join(str(line["text"]) for line in LINES).split()
    heard = [word.text for found in run.mesh.told("asr", Words) for word in found.words]  # type: ignore[attr-defined]
    assert heard == said
    utterances = run.mesh.told("speaker", Utterance)
    uttered = [word.text.lower().strip(".,?") for found in utterances for word in found.words]  # type: ignore[attr-defined]
    assert uttered == said
    names = [found.utterance for found in utterances]  # type: ignore[attr-defined]
    for language in ("es", "ca"):
        for kind, stage in ((Translation, "translator"), (Clip, "place")):
            found = [m.utterance for m in run.mesh.told(stage, kind) if m.language == language]  # type: ignore[attr-defined]
            assert found == names
    assert run.mesh.told("place", Dropped) == []


async def test_clips_start_with_their_source_and_never_overlap(run: Run) -> None:
    sources = {found.utterance: found.start for found in run.mesh.told("speaker", Utterance)}  # type: ignore[attr-defined]
    for language in ("es", "ca"):
        free = 0.0
        for clip in run.mesh.told("place", Clip):
            assert isinstance(clip, Clip)
            if clip.language == language:
                assert clip.start >= max(free, sources[clip.utterance]) - 1e-6
                assert clip.rate <= 1.3
                free = clip.start + clip.duration


async def test_the_published_presentation_conforms_and_ends(run: Run) -> None:
    rows = run.mesh.rows
    assert sum(row.duration for row in rows) == pytest.approx(16 * 90_000, abs=9_000)
    assert isinstance(run.mesh.sent[-1][1], Sealed | End)
    assert run.mesh.record.state == "ended"
    report = await conformance.check(str(run.folder / "master.m3u8"))
    assert report.errors == []


async def test_the_original_is_ducked_under_clips_and_untouched_elsewhere(run: Run) -> None:
    found = await presentation.read(str(run.folder / "master.m3u8"))
    original, mixed, clean = (found.sound(name) for name in ("original", "es", "es-clean"))
    clips = [clip for clip in run.mesh.told("place", Clip) if clip.language == "es"]  # type: ignore[attr-defined]
    first = clips[0]
    assert isinstance(first, Clip)
    start, end = first.start, first.start + first.duration
    assert clean.level(start, end) > -35
    assert clean.level(10.0, start - 0.05) < -60 if start > 10.1 else True
    last = max(clip.start + clip.duration for clip in clips)  # type: ignore[attr-defined]
    assert mixed.level(last + 0.6, 25.9) == pytest.approx(original.level(last + 0.6, 25.9), abs=0.2)


async def test_both_subtitle_renditions_carry_the_sentences_at_their_times(run: Run) -> None:
    found = await presentation.read(str(run.folder / "master.m3u8"))
    for name in ("captions-en", "captions-es"):
        cues = found.cues(name)
        starts = [cue.start for cue in cues]
        for utterance in run.mesh.told("speaker", Utterance):
            assert isinstance(utterance, Utterance)
            assert any(abs(start - utterance.start) < 0.1 for start in starts), (name, utterance.start)
