"""Dub a clip: out comes an MP4 with the original sound, a dubbed track per language, and subtitles beside it."""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from services.clip import film, fonts, subtitles
from services.clip.film import Track
from services.clip.mesh import Running, private
from services.clip.story import Story
from services.clip.trouble import Trouble

NAMES = ("ingest", "downloader", "asr", "segmenter", "speaker", "faces", "translator", "tts", "sender")
KINDS = "utterance,translation,faces,sealed,warned,end"
STILL = 180.0
"""Seconds without any event after which a clip is given up."""
BASE = 10.0
"""Media time at which every stream starts, seconds."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a clip."""

    source: str
    """A file, or a URL."""
    target: Path
    languages: tuple[str, ...]
    spoken: str = "en"
    burn: str = ""
    """Language of the subtitles on the picture; none where it is empty."""
    redis: str = ""

    @property
    def remote(self) -> bool:
        """Whether the source has to be fetched."""
        return "://" in self.source

    @property
    def path(self) -> Path:
        """The file that is meant."""
        return Path(self.source).resolve()


class Bar:
    """How far a clip is: a bar on a terminal, a line every ten per cent elsewhere."""

    def __init__(self, what: str, terminal: bool) -> None:
        self.what, self.terminal = what, terminal
        self.started, self.told = time.monotonic(), -1

    def show(self, share: float, note: str = "") -> None:
        """`share` of the work is done, 0 to 1."""
        whole = int(100 * min(1.0, max(0.0, share)))
        if self.terminal:
            sys.stderr.write(f"\r{self.what} [{'#' * (whole // 4):<25}] {whole:3d} %  {note:<30}")
        elif whole // 10 > self.told:
            self.told = whole // 10
            sys.stderr.write(f"{self.what} {whole} %  {note}\n")
        sys.stderr.flush()

    def done(self) -> None:
        """The work is done."""
        self.show(1.0, f"{time.monotonic() - self.started:.0f} s")
        if self.terminal:
            sys.stderr.write("\n")


def main(words: Sequence[str]) -> int:
    """Run the command; 0 when the film is written."""
    wish = wanted(words)
    try:
        asyncio.run(_until_told(wish))
    except Trouble as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("Stopped; nothing was written.\n")
        return 130
    return 0


def wanted(words: Sequence[str]) -> Wish:
    """The command line as a wish."""
    parser = argparse.ArgumentParser(prog="python -m services clip", description=__doc__)
    parser.add_argument("source", metavar="IN", help="a video file, or a URL")
    parser.add_argument("target", metavar="OUT", type=Path, help="the MP4 to write")
    parser.add_argument("--to", default="es", metavar="LANGUAGES", help="such as es or es,ca")
    parser.add_argument(
        "--from", dest="spoken", default="en", metavar="LANGUAGE", help="what is spoken; en if not said"
    )
    parser.add_argument("--burn", default="", metavar="LANGUAGE", help="draw subtitles in this language on the picture")
    parser.add_argument("--redis", default="", metavar="URL", help="a redis-server to use instead of one of its own")
    found = parser.parse_args(words)
    languages = tuple(dict.fromkeys(filter(None, found.to.split(","))))
    return Wish(found.source, found.target, languages, found.spoken, found.burn, found.redis)


async def _until_told(wish: Wish) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await dub(wish)


def check(wish: Wish) -> None:
    """Raise Trouble for what cannot work, before anything is started."""
    if not wish.languages:
        raise Trouble("Say which languages are wanted, as in --to es.")
    if wish.target.suffix.lower() != ".mp4":
        raise Trouble(f"{wish.target} should end in .mp4: that is what is written.")
    if not wish.target.parent.is_dir():
        raise Trouble(f"There is no folder {wish.target.parent}.")
    if not wish.remote and not Path(wish.source).is_file():
        raise Trouble(f"There is no file {wish.source}.")
    if wish.burn:
        if wish.burn not in (*wish.languages, wish.spoken):
            raise Trouble(f"--burn {wish.burn} is none of the languages: {', '.join((*wish.languages, wish.spoken))}.")
        if shutil.which("ffmpeg") is None:
            raise Trouble("ffmpeg is missing, which draws the subtitles: apt-get install ffmpeg")
        if lacking := fonts.missing({wish.burn, wish.spoken}):
            raise Trouble(lacking)


async def dub(wish: Wish) -> None:
    """Dub a clip and write the film with its subtitles; raises Trouble, and leaves nothing behind then."""
    check(wish)
    terminal = sys.stderr.isatty()
    media = Path.cwd() if wish.remote else wish.path.parent
    url = wish.source if wish.remote else f"file:{quote(wish.path.name)}"
    names = [name for name in NAMES if wish.burn or name != "faces"]
    with tempfile.TemporaryDirectory(prefix="dragoman-clip-") as place:
        folder = Path(place)
        async with private(names, media, folder, wish.redis) as running, aiohttp.ClientSession() as client:
            stream = await _start(client, running, wish, url)
            story = await _follow(client, running, stream, Bar("dubbing", terminal), _length(wish))
            await _write(client, wish, folder, f"{running.url}/hls/{stream}", story, terminal)
    for warning in story.warnings:
        sys.stderr.write(f"Note: {warning}\n")
    if not story.sentences:
        sys.stderr.write("Note: nobody was heard to speak, so nothing is dubbed.\n")


async def _start(client: aiohttp.ClientSession, running: Running, wish: Wish, url: str) -> str:
    body = {
        "url": url,
        "languages": list(wish.languages),
        "source_language": wish.spoken,
        "record": True,
        "on_demand": False,
        "faces": bool(wish.burn),
    }
    for _ in range(300):
        async with client.post(f"{running.url}/v1/streams", json=body) as answer:
            found: dict[str, Any] = await answer.json()
        if answer.status != 503:
            break
        await asyncio.sleep(0.2)
    if answer.status >= 300:
        raise Trouble(str(found.get("detail") or found.get("title") or answer.status))
    return str(found["id"])


async def _follow(client: aiohttp.ClientSession, running: Running, stream: str, bar: Bar, length: float) -> Story:
    """Follow a clip to its end; raises Trouble where it failed or stands still."""
    story = Story()
    after, heard = "0", time.monotonic()
    while not story.over:
        # The feed of a stream whose source has been read ends when its stages think for some seconds.
        async with aclosing(
            _events(client, f"{running.url}/v1/streams/{stream}/events?kinds={KINDS}", after)
        ) as events:
            async for event in events:
                after, heard = event["id"], time.monotonic()
                story.tell(event)
                done = max(0.0, story.sealed - BASE)
                bar.show(done / length if length else 0.0, f"{done:.0f} s, {len(story.sentences)} sentences")
                if story.over:
                    break
        async with client.get(f"{running.url}/v1/streams/{stream}") as answer:
            record: dict[str, Any] = await answer.json()
        if record.get("state") == "failed" or (story.over and not story.sealed):
            raise Trouble(str(record.get("reason") or "Nothing could be published."))
        if time.monotonic() - heard > STILL or running.services.returncode is not None:
            raise Trouble(f"Nothing has happened for {STILL:.0f} s: {running.complaint()}")
    bar.done()
    return story


async def _events(client: aiohttp.ClientSession, url: str, after: str) -> AsyncGenerator[dict[str, Any], None]:
    """Server-sent events (the HTML standard's text/event-stream) behind one, as JSON with their id and kind."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=STILL)
    with suppress(TimeoutError, aiohttp.ClientError):
        async with client.get(url, timeout=timeout, headers={"Last-Event-ID": after}) as answer:
            fields: dict[str, str] = {}
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                fields[name] = value
                if name == "" and "data" in fields:
                    yield {**json.loads(fields["data"]), "id": fields["id"], "kind": fields["event"]}
                    fields = {}


async def _write(
    client: aiohttp.ClientSession, wish: Wish, folder: Path, base: str, story: Story, terminal: bool
) -> None:
    """Write the film and its subtitles; the film appears only once it is whole."""
    video, start = await film.fetch(client, base, "video", folder)
    original, _ = await film.fetch(client, base, "original", folder)
    tracks = [Track(video, start), Track(original, start, wish.spoken, "Original")]
    for language in wish.languages:
        with suppress(Trouble):
            path, _ = await film.fetch(client, base, language, folder)
            tracks.append(Track(path, start, language, f"{language} (AI voice-over)"))
    begin = start / film.TICKS
    if wish.burn:
        bar = Bar("drawing", terminal)
        width, height = film.size(video)
        drawn = folder / "subtitles.ass"
        subtitles.burnt(story, wish.burn, width, height, begin).save(str(drawn))
        await asyncio.to_thread(film.assemble, folder / "picture.mp4", tracks[:1])
        await film.burn(folder / "picture.mp4", drawn, folder / "burnt.mp4", story.sealed - begin, bar.show)
        bar.done()
        tracks[0] = Track(folder / "burnt.mp4", 0)
    whole = folder / "film.mp4"
    await asyncio.to_thread(film.assemble, whole, tracks)
    await asyncio.to_thread(shutil.move, whole, wish.target)
    for language in dict.fromkeys((wish.spoken, *wish.languages)):
        text = subtitles.sidecar(story, language, begin)
        for form in ("srt", "vtt"):
            text.save(str(wish.target.with_suffix(f".{language}.{form}")))


def _length(wish: Wish) -> float:
    """Seconds of the source, 0 where that is not known before it has been read."""
    return 0.0 if wish.remote else film.length(Path(wish.source))
