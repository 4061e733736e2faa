"""One MP4 out of what was published: picture, original sound, a dubbed track per language."""

import asyncio
import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import av
from av.container import InputContainer
from av.stream import Disposition

from services.clip.trouble import Trouble

TICKS = 90_000
MAP = re.compile(r'#EXT-X-MAP:URI="([^"]+)"')
TIMED = re.compile(r"-(\d{6,})[-.]")
ISO_639_2 = {
    "ar": "ara", "bg": "bul", "ca": "cat", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "en": "eng",
    "eo": "epo", "es": "spa", "et": "est", "eu": "eus", "fi": "fin", "fr": "fra", "gl": "glg", "he": "heb",
    "hi": "hin", "hr": "hrv", "hu": "hun", "id": "ind", "it": "ita", "ja": "jpn", "ko": "kor", "lt": "lit",
    "lv": "lav", "nb": "nob", "nl": "nld", "oc": "oci", "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus",
    "sk": "slk", "sl": "slv", "sr": "srp", "sv": "swe", "tr": "tur", "uk": "ukr", "vi": "vie", "zh": "zho",
}  # fmt: skip
"""MP4 names languages by three letters."""


@dataclass(frozen=True, slots=True)
class Track:
    """One rendition as a file of fragments."""

    path: Path
    start: int
    """Ticks of its clock that become 0."""
    language: str = ""
    """BCP 47; empty for the picture."""
    title: str = ""


async def fetch(client: aiohttp.ClientSession, base: str, rendition: str, folder: Path) -> tuple[Path, int]:
    """Write a rendition's fragments into one file; its path and the ticks at which it starts."""
    async with client.get(f"{base}/{rendition}.m3u8") as answer:
        if answer.status != 200:
            raise Trouble(f"The rendition {rendition} was not published.")
        lines = (await answer.text()).splitlines()
    inits = [found[1] for line in lines if (found := MAP.fullmatch(line))]
    names, current = [], ""
    for line in lines:
        if found := MAP.fullmatch(line):
            current = found[1]
        elif line and not line.startswith("#") and current == inits[0]:
            # What a hole in the source was filled with has another shape, and stays out.
            names.append(line)
    path = folder / f"{rendition}.mp4"
    with path.open("wb") as file:
        for name in [inits[0], *names]:
            async with client.get(f"{base}/{name}") as answer:
                answer.raise_for_status()
                file.write(await answer.read())
    started = TIMED.search(names[0])
    return path, int(started[1]) if started else 0


def assemble(target: Path, tracks: Sequence[Track]) -> None:
    """Mux tracks without coding anything anew."""
    inputs = [av.open(str(track.path)) for track in tracks]
    try:
        with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as film:
            outputs = [film.add_stream_from_template(each.streams[0]) for each in inputs]
            for output, track in zip(outputs, tracks, strict=True):
                if track.language:
                    output.metadata["language"] = ISO_639_2.get(track.language.partition("-")[0], "und")
                    output.metadata["handler_name"] = track.title
            for output in outputs[:2]:
                output.disposition = Disposition.default
            for output in outputs[2:]:
                output.disposition = Disposition(0)
            for _, index, packet in heapq.merge(
                *(_packets(each, n, tracks[n].start) for n, each in enumerate(inputs)), key=lambda row: row[:2]
            ):
                packet.stream = outputs[index]
                film.mux(packet)
    finally:
        for each in inputs:
            each.close()


def length(path: Path) -> float:
    """Seconds of a media file, 0 where that cannot be told."""
    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) / 1_000_000
    except (av.error.FFmpegError, ValueError):
        return 0.0


def size(path: Path) -> tuple[int, int]:
    """Width and height of a picture track."""
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.width, context.height


async def burn(picture: Path, subtitles: Path, target: Path, seconds: float, show: Callable[[float], None]) -> None:
    """Draw ASS subtitles on a picture by libass; `show` hears how much is done, 0 to 1."""
    command = [
        *("ffmpeg", "-nostdin", "-v", "error", "-y", "-copyts", "-i", str(picture), "-vf", f"ass={subtitles.name}"),
        *("-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"),
        *("-an", "-progress", "pipe:1", str(target)),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=subtitles.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        complaints = asyncio.create_task(process.stderr.read())
        async for line in process.stdout:
            name, _, value = line.decode().strip().partition("=")
            if name == "out_time_us" and value.isdigit():
                show(min(1.0, int(value) / 1e6 / max(seconds, 0.1)))
        if await process.wait():
            said = (await complaints).decode(errors="replace").strip().splitlines()
            raise Trouble(f"ffmpeg could not draw the subtitles: {said[-1] if said else 'it gave no reason'}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _packets(container: InputContainer, index: int, start: int) -> "Iterator[tuple[float, int, av.Packet[Any]]]":
    stream = container.streams[0]
    for packet in container.demux(stream):
        if packet.pts is None or packet.dts is None or packet.time_base is None:
            continue
        moved = round(start / TICKS / packet.time_base)
        packet.pts, packet.dts = packet.pts - moved, packet.dts - moved
        yield float(packet.dts * packet.time_base), index, packet
