import asyncio
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from loadtest.persons import film, scene
from services.clip import fonts
from services.clip.command import check, dub, main, wanted
from services.clip.film import length as film_length
from services.clip.trouble import Trouble
from tests.web.conftest import CHROMIUM

LINES = [
    {"text": "good evening and welcome to the news", "start": 1.0, "end": 3.0},
    {"text": "nobody was hurt", "start": 5.0, "end": 6.5},
]
SCRIPTED = {
    "ASR_ENGINE": "scripted",
    "ASR_SCRIPT": json.dumps({"origin": 10.0, "lines": LINES}),
    "SPEAKER_ENGINE": "scripted",
    "TRANSLATOR_ENGINE": "scripted",
    "TTS_ENGINE": "scripted",
}
FRAME = 1024
"""Samples of one AAC frame."""
MISSING = [name for name in ("ffmpeg", "ffprobe", "redis-server", "flite") if shutil.which(name) is None]
needs_programs = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@dataclass
class Made:
    source: Path
    film: Path

    def beside(self, name: str) -> str:
        return (self.film.parent / name).read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Nine seconds of two drawn people, dubbed with scripted engines, subtitles drawn on them."""
    folder = tmp_path_factory.mktemp("clip")
    source, target = folder / "a talk.mp4", folder / "dubbed.mp4"
    film(
        source,
        scene([("rms", "Good evening and welcome to the news."), ("slt", "Nobody was hurt. " * 3)]),
        size=(640, 360),
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SCRIPTED.items():
            patch.setenv(name, value)
        async with asyncio.timeout(200):
            await dub(wanted([str(source), str(target), "--to", "es", "--burn", "es"]))
    return Made(source, target)


@needs_programs
def test_the_film_has_the_picture_the_original_and_a_dubbed_track(made: Made) -> None:
    asked = ["-show_entries", "stream=codec_type:stream_tags=language:stream_disposition=default", "-of", "json"]
    shown = subprocess.run(
        ["ffprobe", "-v", "warning", *asked, str(made.film)], capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""
    streams = json.loads(shown.stdout)["streams"]
    assert [each["codec_type"] for each in streams] == ["video", "audio", "audio"]
    assert [each["tags"]["language"] for each in streams[1:]] == ["eng", "spa"]
    assert [each["disposition"]["default"] for each in streams] == [1, 1, 0]
    decoded = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", str(made.film), "-map", "0", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert decoded.stderr == ""


@needs_programs
def test_dubbed_tracks_are_aligned_with_the_original_and_that_with_the_source(made: Made) -> None:
    source, original, dubbed = sound(made.source, 0), sound(made.film, 0), sound(made.film, 1)
    assert abs(lag(source, original)) <= FRAME
    assert abs(lag(original, dubbed)) <= FRAME
    assert lag(original[:-480], original[480:]) == -480, "a shift of 10 ms would have been seen"
    with av.open(str(made.film)) as container:
        lengths = [float((stream.duration or 0) * stream.time_base) for stream in container.streams if stream.time_base]
    assert max(lengths) - min(lengths) < 0.1


@needs_programs
@pytest.mark.browser
async def test_the_film_plays_in_a_browser(made: Made) -> None:
    if not CHROMIUM:
        pytest.skip("no Chromium here: set CHROMIUM to one")
    page_file = made.film.with_suffix(".html")
    page_file.write_text(f'<video src="{made.film.name}" muted autoplay></video>')
    switches = ["--no-sandbox", "--disable-gpu", "--mute-audio"]
    async with async_playwright() as playwright, asyncio.timeout(60):
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        page = await chromium.new_page()
        await page.goto(page_file.as_uri())
        told = "[v.currentTime, v.duration, v.videoWidth, v.error && v.error.message]"
        place, length, width, error = 0.0, 0.0, 0, None
        while place < 1.0 and error is None:
            await asyncio.sleep(0.1)
            place, length, width, error = await page.evaluate(f"(v => {told})(document.querySelector('video'))")
        await page.evaluate("document.querySelector('video').currentTime = 6")
        seeked = "document.querySelector('video').currentTime > 6.3"
        while not await page.evaluate(seeked):
            await asyncio.sleep(0.1)
        await chromium.close()
    assert error is None
    assert width == 640
    assert length == pytest.approx(film_length(made.source), abs=0.3)


@needs_programs
def test_drawn_text_appears_on_time_and_inside_the_picture(made: Made) -> None:
    before, after = pictures(made.source), pictures(made.film)
    shares = {time: drawn_on(before[time], picture) for time, picture in after.items() if time in before}
    first = min(time for time, share in shares.items() if share.any())
    assert first == pytest.approx(LINES[0]["start"], abs=0.1)
    # The first caption has turned at 4.2 s and stands; what is drawn on top of it is the second one.
    still = np.logical_or.reduce([share for time, share in shares.items() if 4.4 <= time < 4.8])
    later = {time: np.count_nonzero(share & ~still) for time, share in shares.items() if time > 4.8}
    assert min(time for time, fresh in later.items() if fresh > 40) == pytest.approx(LINES[1]["start"], abs=0.1)
    edges = np.zeros((360, 640), bool)
    edges[:5], edges[-5:], edges[:, :5], edges[:, -5:] = True, True, True, True
    assert not any((share & edges).any() for share in shares.values())


@needs_programs
def test_subtitles_stand_beside_the_film(made: Made) -> None:
    assert re.search(r"00:00:01,0\d\d --> 00:00:03,0\d\d\ngood evening", made.beside("dubbed.en.srt"), re.IGNORECASE)
    assert made.beside("dubbed.es.vtt").startswith("WEBVTT")
    assert made.beside("dubbed.es.srt").count("-->") == len(LINES)


def pictures(path: Path) -> dict[float, np.ndarray]:
    """Grey pictures by time, to 40 ms."""
    with av.open(str(path)) as container:
        return {
            round((frame.time or 0) * 25) / 25: frame.to_ndarray(format="gray") for frame in container.decode(video=0)
        }


def sound(path: Path, number: int) -> np.ndarray:
    """A sound track at 48 kHz from time 0 on, mono."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=48_000)
    with av.open(str(path)) as container:
        frames = [each for frame in container.decode(audio=number) for each in resampler.resample(frame)]
    start = round(float((frames[0].pts or 0) * (frames[0].time_base or 0)) * 48_000)
    samples: np.ndarray = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return np.concatenate([np.zeros(start, np.float32), samples]) if start >= 0 else samples[-start:]


def lag(one: np.ndarray, other: np.ndarray) -> int:
    """Samples by which the other track is late."""
    size = 1 << int(np.ceil(np.log2(len(one) + len(other))))
    common = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)))
    best = int(np.argmax(common))
    return best if best < size // 2 else best - size


def drawn_on(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Pixels that are much brighter than they were: letters."""
    found: np.ndarray = after.astype(int) - before > 60
    return found


def left(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@needs_programs
@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("broken.mp4", b"\0\0\0\x18ftypmp42" + bytes(3000), "no media in it"),
        ("still.png", None, "no media in it"),
    ],
)
async def test_what_cannot_be_dubbed_is_refused_and_leaves_nothing(
    name: str, content: bytes | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {**SCRIPTED, "TMPDIR": str(tmp_path)}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = tmp_path / name
    if content is None:
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=size=64x64", "-frames:v", "1", str(source)]
        await asyncio.to_thread(subprocess.run, command, check=True)
    else:
        source.write_bytes(content)
    async with asyncio.timeout(100):
        with pytest.raises(Trouble, match=why):
            await dub(wanted([str(source), str(tmp_path / "out.mp4"), "--to", "es"]))
    assert left(tmp_path) == [name]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["none.mp4", "out.mp4"], "There is no file none.mp4"),
        ([__file__, "out.avi"], "should end in .mp4"),
        ([__file__, "/nowhere/out.mp4"], "no folder /nowhere"),
        ([__file__, "out.mp4", "--to", ","], "which languages"),
        ([__file__, "out.mp4", "--to", "es", "--burn", "fr"], "--burn fr is none of"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert why in capsys.readouterr().err


def test_a_script_without_a_font_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = subprocess.CompletedProcess([], 0, stdout="")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: nothing)
    with pytest.raises(Trouble, match=r"letters of ar.*fonts-noto-core"):
        check(wanted([__file__, "out.mp4", "--to", "ar", "--burn", "ar", "--from", "ar"]))
    assert fonts.missing(["ja"]) == "No font here has the letters of ja: apt-get install fonts-noto-cjk"
    assert fonts.missing([]) == ""
