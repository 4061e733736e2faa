"""What other programs make of a presentation: ffprobe and ffmpeg run by run, mpv or VLC as a viewer would.

FFmpeg's own HLS demuxer reads the first init segment alone, so that it gets each run between two discontinuities as one
file; players that are built on it show a broken picture behind a change of resolution.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from loadtest.presentation import Presentation, Rendition, runs, span

LIMIT = 60.0
"""Seconds that a program may take beyond what it plays."""
NEWEST = 6
"""Subtitle segments that are looked at in each rendition."""
PLAYED = 0.5
"""Share of the time asked for that a player must have played."""


class Verdict(NamedTuple):
    """What a program says of one thing."""

    program: str
    subject: str
    problem: str
    """Empty for none."""
    seconds: float | None = None
    """How much a player has played, where it says so."""


def verdicts(presentation: Presentation) -> Iterator[Verdict]:
    """Of ffprobe and ffmpeg, for each run of each rendition; one that says so where they are not installed."""
    missing = [program for program in ("ffprobe", "ffmpeg") if not shutil.which(program)]
    if missing:
        yield Verdict(missing[0], "every rendition", "not installed: apt-get install ffmpeg")
        return
    with tempfile.TemporaryDirectory() as folder:
        for rendition in presentation.renditions.values():
            for subject, path, packets in files(presentation, rendition, Path(folder)):
                yield Verdict("ffprobe", subject, probed(path, packets))
                yield Verdict("ffmpeg", subject, decoded(path))


def files(presentation: Presentation, rendition: Rendition, folder: Path) -> Iterator[tuple[str, Path, int | None]]:
    """What can be read without a playlist: name, file, and number of packets, where it is known."""
    objects = presentation.objects
    for run in runs(rendition.rows):
        parts = [objects[row.uri] for row in run if row.uri in objects]
        if run[0].init in objects and parts:
            path = folder / "run.mp4"
            path.write_bytes(objects[run[0].init] + b"".join(parts))
            yield f"{rendition.name} from {run[0].number}", path, sum(span(part).samples for part in parts)
    texts = [row for row in rendition.rows if not row.init and b"-->" in objects.get(row.uri, b"")]
    for row in texts[-NEWEST:]:
        path = folder / "cues.vtt"
        path.write_bytes(objects[row.uri])
        yield f"{rendition.name} {row.number}", path, None


def probed(path: Path, packets: int | None) -> str:
    """One stream with so many packets, or what is wrong."""
    wanted = ["-show_entries", "stream=codec_name,nb_read_packets", "-count_packets", "-of", "json"]
    found = program(["ffprobe", "-v", "error", *wanted, str(path)])
    if found.stderr or found.returncode:
        return found.stderr.strip()[:200] or f"exit status {found.returncode}"
    streams = json.loads(found.stdout)["streams"]
    if len(streams) != 1:
        return f"{len(streams)} streams"
    counted = int(streams[0]["nb_read_packets"])
    return "" if packets in (None, counted) else f"{counted} packets of {packets} samples"


def decoded(path: Path) -> str:
    """Nothing, or what ffmpeg complains of."""
    sink = "webvtt" if path.suffix == ".vtt" else "null"
    found = program(["ffmpeg", "-v", "error", "-nostdin", "-xerror", "-i", str(path), "-f", sink, "-"])
    return found.stderr.strip()[:200] or (f"exit status {found.returncode}" if found.returncode else "")


def player() -> str:
    """The player that is installed here and runs for this user, mpv or vlc; empty for none."""
    if shutil.which("mpv"):
        return "mpv"
    # VLC refuses to run as root.
    return "vlc" if shutil.which("cvlc") and os.getuid() else ""


def playing(presentation: Presentation, seconds: float) -> Iterator[Verdict]:
    """What the player makes of every sound with its picture, without a screen and a loudspeaker; none without one.

    Subtitles are not played: libavformat, on which mpv and VLC are built, leaves them out of HLS.
    """
    plays = {"mpv": mpv, "vlc": vlc}.get(player()) if seconds else None
    sounds = [rendition.name for rendition in presentation.renditions.values() if rendition.kind == "audio"]
    for track, name in enumerate(sounds or ["the whole"]):
        if plays:
            yield plays(presentation.uri, name, track, seconds)


def mpv(uri: str, name: str, track: int, seconds: float) -> Verdict:
    """mpv counts tracks from 1 and says where it is."""
    quiet = ["--no-config", "--vo=null", "--ao=null", "--msg-level=all=error,statusline=status"]
    shown = [f"--aid={track + 1}", "--term-status-msg=at ${=time-pos} hears ${=aid}", f"--length={seconds:g}", uri]
    found = program(["mpv", *quiet, *shown], seconds)
    said = found.stdout + found.stderr
    times = [float(time) for time in re.findall(rf"at (-?[\d.]+) hears {track + 1}\b", said)]
    gone = max(times) - min(times) if times else 0.0
    complaints = [line for line in said.splitlines() if line.startswith("[")]
    problem = complaints[0][:200] if complaints else ""
    if found.returncode:
        problem = problem or f"exit status {found.returncode}"
    elif gone < PLAYED * seconds:
        problem = problem or f"{gone:.1f} s played of {seconds:g} s"
    return Verdict("mpv", name, problem, gone)


def vlc(uri: str, name: str, track: int, seconds: float) -> Verdict:
    """VLC counts tracks from 0 and does not say how far it came."""
    silent = ["--intf", "dummy", "--vout", "dummy", "--aout", "dummy", f"--audio-track={track}"]
    found = program(["cvlc", *silent, "--play-and-exit", f"--run-time={seconds:g}", uri, "vlc://quit"], seconds)
    bad = [line for line in found.stderr.splitlines() if " error: " in line]
    return Verdict("vlc", name, bad[0][:200] if bad else f"exit status {found.returncode}" if found.returncode else "")


def program(command: Sequence[str], seconds: float = 0.0) -> "subprocess.CompletedProcess[str]":
    """Run to its end; what takes too long has failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LIMIT + seconds)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end after {LIMIT + seconds:g} s")
