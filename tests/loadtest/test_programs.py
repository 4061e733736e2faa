"""What ffprobe, ffmpeg and a player say of a presentation; where no player is installed, one is stood in for."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest import programs
from loadtest.presentation import read

URI = "http://127.0.0.1/master.m3u8"


async def test_a_good_presentation_passes_and_each_rendition_is_asked(folder: Path) -> None:
    found = list(programs.verdicts(await read(str(folder))))
    assert [verdict.problem for verdict in found if verdict.problem] == []
    subjects = {verdict.subject for verdict in found}
    assert {"video from 7", "original from 7", "es from 7", "captions-en 10"} <= subjects


async def test_rubbish_is_complained_of(folder: Path) -> None:
    data = bytearray((folder / "es-1.m4s").read_bytes())
    at = data.index(b"mdat") + 4
    data[at:] = b"\xff" * (len(data) - at)
    (folder / "es-1.m4s").write_bytes(data)
    bad = [verdict for verdict in programs.verdicts(await read(str(folder))) if verdict.problem]
    assert {verdict.subject for verdict in bad} == {"es from 7"}


@pytest.mark.skipif(not shutil.which("mpv"), reason="mpv is not installed: apt-get install mpv")
async def test_mpv_plays_every_sound_with_its_picture(folder: Path) -> None:
    found = list(programs.playing(await read(str(folder)), 1.0))
    assert [(each.program, each.subject, each.problem) for each in found] == [
        ("mpv", "original", ""),
        ("mpv", "es", ""),
    ]
    assert all(each.seconds and each.seconds > 0.5 for each in found)


@pytest.mark.skipif(not shutil.which("mpv"), reason="mpv is not installed: apt-get install mpv")
def test_mpv_complains_of_a_sound_that_is_not_there(folder: Path) -> None:
    for path in folder.glob("es*"):
        path.unlink()
    assert programs.mpv(str(folder / "master.m3u8"), "es", 1, 1.0).problem


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program called mpv that says so much into the only folder where programs are looked for."""

    def install(script: str) -> None:
        path = tmp_path / "mpv"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", str(tmp_path))
    return install


async def test_without_a_player_nothing_is_played(folder: Path, player: Callable[[str], None]) -> None:
    assert programs.player() == ""
    assert list(programs.playing(await read(str(folder)), 1.0)) == []


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo at 3.0 hears 2; echo at 10.5 hears 2", ""),
        ("echo at 3.0 hears 2; echo at 4.0 hears 2", "1.0 s played of 8 s"),
        ("echo at 3.0 hears no; echo at 10.5 hears no", "0.0 s played of 8 s"),
        ("echo at 3.0 hears 2; echo at 10.5 hears 2; echo '[ffmpeg] no picture'", "[ffmpeg] no picture"),
        ("echo at 3.0 hears 2; echo at 10.5 hears 2; exit 2", "exit status 2"),
    ],
)
def test_a_player_is_believed_when_its_clock_has_moved_with_the_sound_that_was_chosen(
    player: Callable[[str], None], script: str, problem: str
) -> None:
    player(script)
    verdict = programs.mpv(URI, "es", 1, 8.0)
    assert (verdict.program, verdict.subject, verdict.problem) == ("mpv", "es", problem)
