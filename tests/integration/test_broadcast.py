"""The test broadcast through every service with the embedded engines, on a real redis-server, faster than real time."""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from loadtest import conformance, presentation
from loadtest.broadcast import Broadcast, broadcast
from loadtest.card import PROGRAMME
from loadtest.coding import Segments
from loadtest.dubbing import Watch
from loadtest.presentation import Presentation
from loadtest.processes import ALL_IN_ONE, mesh
from loadtest.scores import wer
from shared.audio import Pcm
from shared.messages import Clip, Utterance

MISSING = [name for name in ("flite", "espeak-ng", "lt-proc") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(not list(Path("models").glob("Resemblyzer*.whl")), reason="models/ has no Resemblyzer wheel"),
    pytest.mark.slow,
]
SEGMENTS = 24
BASE = 10.0


@dataclass
class Run:
    programme: Broadcast
    clips: list[Clip] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    report: conformance.Report = field(default_factory=conformance.Report)
    found: Presentation | None = None

    @property
    def presentation(self) -> Presentation:
        assert self.found
        return self.found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Dub the first 48 seconds as a file, and read what was published."""
    programme = broadcast()
    source = Segments(programme)
    film = tmp_path_factory.mktemp("film") / "film.ts"
    film.write_bytes(b"".join([await source.get(PROGRAMME, number) for number in range(SEGMENTS)]))
    source.close()
    result = Run(programme)
    async with mesh(ALL_IN_ONE, {"DOWNLOADER_FILES": str(film.parent)}) as (processes, bus):
        base = processes.workers[0].url
        async with aiohttp.ClientSession() as client:
            body = {"url": "file:film.ts", "languages": ["es"], "record": True}
            for _ in range(100):
                async with client.post(f"{base}/v1/streams", json=body) as answer:
                    started = await answer.json()
                if answer.status != 503:
                    break
                await asyncio.sleep(0.2)
        assert answer.status == 201, started
        watch = Watch(bus, started["id"])
        async with asyncio.timeout(180):
            while not watch.over:
                await watch.follow(wait=1.0)
        assert not watch.reason
        result.clips = sorted(watch.figures.clips.values(), key=lambda clip: clip.start)
        result.utterances = sorted(watch.figures.utterances.values(), key=lambda each: each.start)
        address = f"{base}/hls/{started['id']}/master.m3u8"
        result.report = await conformance.check(address)
        result.found = await presentation.read(address)
    return result


def test_it_conforms(run: Run) -> None:
    assert run.report.errors == []
    assert set(run.presentation.renditions) >= {"video", "original", "es", "es-clean", "captions-en", "captions-es"}


def test_what_was_said_is_mostly_understood(run: Run) -> None:
    said = " ".join(line.text for line in run.programme.timeline if line.end < SEGMENTS * 2 - 1)
    heard = " ".join(each.text for each in run.utterances)
    assert wer(said, heard) < 0.35


def test_every_utterance_has_a_clip_that_starts_with_it(run: Run) -> None:
    sources = {each.utterance: each.start for each in run.utterances}
    assert len(run.clips) >= 0.95 * len(run.utterances) > 5
    assert all(0 <= clip.start - sources[clip.utterance] < 3 for clip in run.clips)
    assert all(clip.rate <= 1.3 for clip in run.clips)


def test_each_speaker_keeps_a_voice_of_the_right_gender(run: Run) -> None:
    right = wrong = 0
    for each in run.utterances:
        middle = (each.start + each.end) / 2 - BASE
        spoken = [line for line in run.programme.timeline if line.start <= middle <= line.end]
        if spoken and each.gender:
            right, wrong = (right + 1, wrong) if spoken[0].gender == each.gender else (right, wrong + 1)
    assert right > 3
    assert wrong <= 0.1 * right


def test_the_dub_sounds_where_the_clips_say_and_only_there(run: Run) -> None:
    clean = run.presentation.sound("es-clean")
    free = BASE + 0.1
    for clip in run.clips:
        assert clean.level(clip.start, clip.start + clip.duration) > -40
        if clip.start - free > 0.3:
            assert clean.level(free, clip.start - 0.05) < -55
        free = clip.start + clip.duration + 0.1


def test_the_original_is_ducked_under_the_voice_and_untouched_elsewhere(run: Run) -> None:
    original, mixed, clean = (run.presentation.sound(name) for name in ("original", "es", "es-clean"))
    inside = [(clip.start + 0.2, clip.start + clip.duration - 0.2) for clip in run.clips if clip.duration > 1]
    ducked = [_level(mixed.between(*span) - clean.between(*span)) - original.level(*span) for span in inside]
    assert np.median(ducked) == pytest.approx(-14, abs=1.5)
    edges = [BASE + 0.1, *(time for clip in run.clips for time in (clip.start - 0.3, clip.start + clip.duration + 0.6))]
    outside = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if b - a > 0.2]
    assert outside
    for span in outside:
        assert mixed.level(*span) == pytest.approx(original.level(*span), abs=1.0)


def test_subtitles_carry_the_sentences_at_their_times(run: Run) -> None:
    heard, said = (run.presentation.cues(name) for name in ("captions-en", "captions-es"))
    for each in run.utterances:
        cue = min(heard, key=lambda cue: abs(cue.start - each.start))
        assert abs(cue.start - each.start) < 0.1
        assert each.text.split()[0] in cue.text
        assert any(abs(cue.start - each.start) < 0.1 for cue in said)


def _level(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean(np.square(pcm)) + 1e-12))
