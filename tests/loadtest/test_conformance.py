"""Damage that is put into a valid presentation is found."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from loadtest.conformance import Report, check, figures, main
from loadtest.programs import Verdict


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return damage


def swap(folder: Path) -> None:
    (folder / "es-1.m4s").write_bytes((folder / "es-2.m4s").read_bytes())


def shorten(folder: Path) -> None:
    path = folder / "video-2.m4s"
    path.write_bytes(path.read_bytes()[:-200])


def rot(folder: Path) -> None:
    data = bytearray((folder / "video-1.m4s").read_bytes())
    data[data.index(b"mdat") + 4 :] = b"\xff" * len(data[data.index(b"mdat") + 4 :])
    (folder / "video-1.m4s").write_bytes(data)


def drift(folder: Path) -> None:
    dates = re.findall(r"#EXT-X-PROGRAM-DATE-TIME:.*", (folder / "es.m3u8").read_text())
    replace("es.m3u8", dates[-1], dates[-2])(folder)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a sound segment twice": (swap, "from the end of the segment before"),
    "a segment cut short": (shorten, "where .* are left"),
    "a segment of rubbish": (rot, "does not decode|frames of|corrupt"),
    "a missing segment": (lambda folder: (folder / "video-3.m4s").unlink(), "cannot be had"),
    "a missing init segment": (lambda folder: (folder / "es-init.mp4").unlink(), "cannot be had"),
    "dates that drift": (drift, "date is off"),
    "a tag in one rendition": (replace("es.m3u8", "es-2.m4s", "es-2.m4s\n#EXT-X-DISCONTINUITY"), "discontinuities"),
    "another sequence number": (replace("original.m3u8", "SEQUENCE:7", "SEQUENCE:8"), "sequence numbers"),
    "a wrong EXTINF": (replace("video.m3u8", "2.00000", "1.90000"), "EXTINF is 100.0 ms off"),
    "a small TARGETDURATION": (replace("video.m3u8", "DURATION:2", "DURATION:1"), "over TARGETDURATION"),
    "a dub as default": (replace("master.m3u8", "DEFAULT=NO,AUTOSELECT=NO", "DEFAULT=YES,AUTOSELECT=YES"), "default"),
    "no language": (replace("master.m3u8", 'LANGUAGE="es",', ""), "no LANGUAGE"),
    "no codecs": (replace("master.m3u8", 'CODECS="avc1,mp4a",', ""), "without CODECS"),
    "two equal names": (replace("master.m3u8", "Spanish (AI)", "English"), "same NAME"),
    "captions without a header": (replace("captions-en-1.vtt", "WEBVTT", "HELLO"), "not WebVTT"),
    "captions without a map": (replace("captions-en-1.vtt", "X-TIMESTAMP-MAP", "X-MAP"), "no X-TIMESTAMP-MAP"),
    "a cue that ends early": (replace("captions-en-0.vtt", "14.500", "12.500"), "ends before it starts"),
    "a missing playlist": (lambda folder: (folder / "es.m3u8").unlink(), "unreadable"),
}


async def test_a_valid_presentation_has_no_errors(folder: Path) -> None:
    report = await check(str(folder))
    assert report.errors == []
    assert (report.segments, report.cues, report.seconds) == (16, 4, 8.0)
    assert report.frames == 80 + 2 * 375


@pytest.mark.parametrize("what", DAMAGE)
async def test_damage_is_found(folder: Path, what: str) -> None:
    damage, complaint = DAMAGE[what]
    damage(folder)
    report = await check(str(folder))
    assert re.search(complaint, "\n".join(report.errors)), report.errors


async def test_a_presentation_is_judged_over_http(folder: Path) -> None:
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0][:2]
        report = await check(f"http://{host}:{port}/master.m3u8")
        missing = await check(f"http://{host}:{port}/nothing.m3u8")
    finally:
        await runner.cleanup()
    assert report.errors == []
    assert missing.errors == ["unreadable: HTTP status 404"]


def test_the_command_says_by_its_status_whether_there_are_errors_and_writes_figures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = folder / "figures.json"
    assert main([str(folder), "--play", "0", "--json", str(told)]) == 0
    found = json.loads(told.read_text())["figures"]
    assert (found["errors"], found["segments"], found["renditions"]) == (0, 16, 4)
    assert found["ffprobe_asked"] == found["ffmpeg_asked"] > 3
    assert (found["ffprobe_bad"], found["ffmpeg_bad"]) == (0, 0)
    replace("master.m3u8", 'LANGUAGE="es",', "")(folder)
    assert main([str(folder), "--no-programs", "--json", str(told)]) == 1
    found = json.loads(told.read_text())["figures"]
    assert found["errors"] == 1
    assert "ffmpeg_asked" not in found
    assert "es: no LANGUAGE" in capsys.readouterr().out


def test_how_much_a_player_played_is_the_least_of_all_sounds() -> None:
    asked = [Verdict("mpv", "original", "", 8.0), Verdict("mpv", "es", "broken", 2.0), Verdict("vlc", "es", "")]
    found = figures(Report(), asked)
    assert (found["mpv_asked"], found["mpv_bad"], found["mpv_played_s"]) == (2, 1, 2.0)
    assert (found["vlc_asked"], "vlc_played_s" in found) == (1, False)
