"""What ffprobe, ffmpeg and a player say of a presentation; players are stood in for, as CI has none."""

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


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program called mpv that says so much into the only folder where programs are looked for."""

    def install(script: str) -> None:
        path = tmp_path / "mpv"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", str(tmp_path))
    return install


def test_without_a_player_there_is_no_verdict(player: Callable[[str], None]) -> None:
    assert programs.played(URI, 1.0) is None


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo at 3.0; echo at 10.5", ""),
        ("echo at 3.0; echo at 4.0", "1.0 s played of 8 s"),
        ("echo at 3.0; echo at 10.5; echo '[ffmpeg] no picture'", "[ffmpeg] no picture"),
        ("echo at 3.0; echo at 10.5; exit 2", "exit status 2"),
    ],
)
def test_a_player_is_believed_when_its_clock_has_moved(
    player: Callable[[str], None], script: str, problem: str
) -> None:
    player(script)
    verdict = programs.played(URI, 8.0)
    assert verdict
    assert (verdict.program, verdict.problem) == ("mpv", problem)
