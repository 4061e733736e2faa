"""Play a presentation in Chromium, switch its sounds and subtitles, and measure what the viewer gets."""

import argparse
import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import numpy as np
from playwright.async_api import Browser, Error, Page, Response, async_playwright

from loadtest.card import PROGRAMME
from loadtest.coding import SEGMENT
from loadtest.demo import start
from loadtest.dubbing import Watch
from loadtest.origin import Fault, Origin, Script
from loadtest.presentation import parse_webvtt
from loadtest.processes import ALL_IN_ONE, mesh
from loadtest.report import parser, tell

ROOT = Path(__file__).parents[1]
HLSJS = ROOT / "node_modules" / "hls.js" / "dist" / "hls.min.js"
SHOTS = ROOT / "artefacts" / "play"
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
]
SETTLING = 5.0
"""Seconds in which a player exchanges one sound for another."""
STALL = 0.5
"""Seconds without movement that a viewer notices."""
WANTED = {
    "fatal_errors": 0,
    "stalls": 0,
    "buffer_ranges": 1,
    "behind_live_sd_s": 0.5,
    "switch_s": 3.0,
    "caption_error_s": 0.1,
}
"""What no viewer should see more of."""
BARE = """<!doctype html><meta charset="utf-8"><title>Player</title><video muted controls></video>
<script src="hls.min.js"></script><script>
const hls = new Hls({ enableWebVTT: true });
hls.loadSource(new URLSearchParams(location.search).get("u"));
hls.attachMedia(document.querySelector("video"));
document.querySelector("video").play();
</script>"""

Sample = dict[str, Any]


@dataclass
class Notes:
    """What was seen, ten times a second."""

    samples: list[Sample] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    cues: dict[tuple[str, float, str], float] = field(default_factory=dict)
    """(language, start in the player's time, text) to end."""
    published: dict[str, set[float]] = field(default_factory=dict)
    """Text to the media times at which the subtitles that were fetched say that it starts."""
    switches: list[tuple[float, int]] = field(default_factory=list)
    """(player's clock, sound chosen)."""

    def add(self, taken: dict[str, Any]) -> None:
        """Take what the page has noted since the last time."""
        self.samples += taken["samples"]
        self.errors += taken["errors"]
        self.cues |= {(language, begin, plain(text)): end for language, begin, end, text in taken["cues"]}

    async def fetched(self, response: Response) -> None:
        """Take a subtitle segment as the player got it."""
        if response.ok and urlsplit(response.url).path.endswith(".vtt"):
            with suppress(Error, ValueError):
                for cue in parse_webvtt((await response.body()).decode()):
                    self.published.setdefault(plain(cue.text), set()).add(cue.start)


@dataclass
class BurntClock:
    """The capture time of a picture of the test broadcast by the number that is burnt into it."""

    script: Script
    started_at: float

    def date(self, sample: Sample) -> float | None:
        """Epoch seconds; None without a number. Loops repeat numbers: the one nearest to the playlist's date."""
        if sample["frame"] is None or sample["date"] is None:
            return None
        coded, rest = divmod(sample["frame"], SEGMENT * PROGRAMME.fps)
        near = round((sample["date"] - self.started_at) / SEGMENT)
        slots = [(n, self.script.slot(n)) for n in range(max(0, near - 20), near + 20)]
        shown = [n for n, slot in slots if slot.look.width == sample["width"] and slot.coded == coded]
        dates = [self.started_at + n * SEGMENT + rest / PROGRAMME.fps for n in shown]
        return min(dates, key=lambda date: abs(date - float(sample["date"])), default=None)


def main(argv: Sequence[str]) -> int:
    found = parser("play", __doc__)
    found.add_argument("--url", help="a multivariant playlist; the test broadcast, dubbed now, without it")
    found.add_argument("--seconds", type=float, default=60.0, help="how long to watch")
    found.add_argument("--to", default="es")
    found.add_argument("--delay", type=float, default=12.0)
    found.add_argument("--fault", type=Fault.parse, action="append", default=[], help="what the source does wrong")
    found.add_argument("--chromium", default=os.environ.get("CHROMIUM") or "/usr/bin/chromium")
    found.add_argument("--locale", default="es-ES", help="the viewer's: a dub in it must not start by itself")
    options = found.parse_args(argv)
    figures = asyncio.run(play(options))
    tell("play", figures, options)
    # Of somebody else's presentation not everything can be known.
    unknown = 0.0 if options.url else float("inf")
    missed = [key for key, most in WANTED.items() if figures.get(key, unknown) > most]
    for key in missed:
        print(f"{key} is over {WANTED[key]:g}" if key in figures else f"{key} could not be measured")
    return int(bool(missed))


async def play(options: argparse.Namespace) -> dict[str, float]:
    """The figures of one viewer."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    if options.url:
        async with viewing(options) as page:
            await bare(page, options.url)
            notes = await watch(page, options.seconds, [])
        complain(notes)
        return judge(notes, None) | seen(notes)
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(Origin(faults=options.fault))
        environment = {"DOWNLOADER_ALLOW": f"127.0.0.1:{origin.port}"}
        processes, bus = await stack.enter_async_context(mesh(ALL_IN_ONE, environment))
        stream = await start(processes, origin.url, options)
        told = Watch(bus, stream)
        following = asyncio.create_task(follow(told))
        stack.callback(following.cancel)
        page = await stack.enter_async_context(viewing(options))
        await page.goto(f"{processes.serving('sender')}/watch/{stream}")
        await page.screenshot(path=SHOTS / "starting.png")
        notes = await watch(page, options.seconds, options.to.split(","))
        complain(notes)
        clock = BurntClock(origin.script, origin.started_at)
        return judge(notes, clock) | seen(notes) | captioned(notes, clock, told) | delayed(told)


@asynccontextmanager
async def viewing(options: argparse.Namespace) -> AsyncIterator[Page]:
    """A page that takes notes."""
    async with async_playwright() as playwright:
        browser: Browser = await playwright.chromium.launch(executable_path=options.chromium, args=SWITCHES)
        try:
            page = await browser.new_page(viewport={"width": 1280, "height": 800}, locale=options.locale)
            await page.add_init_script(path=Path(__file__).with_name("viewer.js"))
            yield page
        finally:
            await browser.close()


async def bare(page: Page, url: str) -> None:
    """A page with hls.js and nothing else, as if the presentation's host served it, so that it may read all of it."""
    place = urljoin(url, "/loadtest-player")
    await page.route(f"{place}/hls.min.js", lambda route: route.fulfill(path=HLSJS))
    await page.route(f"{place}/?*", lambda route: route.fulfill(body=BARE, content_type="text/html"))
    await page.goto(f"{place}/?{urlencode({'u': url})}")


async def follow(told: Watch) -> None:
    while True:
        await told.follow(wait=1.0)


async def watch(page: Page, seconds: float, languages: Sequence[str]) -> Notes:
    """Watch for so long after the first picture, and use the page's menus, or else the player's tracks."""
    notes = Notes()
    page.on("response", notes.fetched)
    await moving(page, notes)
    # What came before the first picture is no stall.
    notes.samples.clear()
    first = languages[0] if languages else ""
    steps: list[tuple[float, str, str, str]] = [(0.05, "original", "text", "captions-en")]
    if first:
        steps += [
            (0.25, "voice-over", "sound", first),
            (0.4, "subtitles", "text", f"captions-{first}"),
            (0.55, "voice-only", "sound", f"{first}-clean"),
            (0.75, "back", "sound", "original"),
        ]
    else:
        steps = [(0.05, "original", "text", "0"), (0.3, "second", "sound", "1"), (0.7, "back", "sound", "0")]
    begin = time.monotonic()
    shots: list[tuple[float, str]] = []
    while (now := time.monotonic() - begin) < seconds:
        for step in [step for step in steps if now >= step[0] * seconds]:
            steps.remove(step)
            _, name, menu, value = step
            with suppress(ValueError):
                await choose(page, notes, menu, value, own=bool(first))
            shots.append((now + min(5.0, seconds / 10), name))
        for shot in [shot for shot in shots if now >= shot[0]]:
            shots.remove(shot)
            await page.screenshot(path=SHOTS / f"{shot[1]}.png")
        await asyncio.sleep(0.25)
        notes.add(await page.evaluate("viewer.take()"))
        if notes.samples and not notes.samples[-1]["moving"] and now > seconds / 2:
            break
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.emulate_media(color_scheme="dark")
    await asyncio.sleep(0.5)
    await page.screenshot(path=SHOTS / "phone-dark.png", full_page=True)
    return notes


async def moving(page: Page, notes: Notes, seconds: float = 60.0) -> None:
    """Wait until the picture moves. Raises RuntimeError where it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        notes.add(await page.evaluate("viewer.take()"))
        if notes.samples and notes.samples[-1]["frames"] > 5 and notes.samples[-1]["ready"] >= 3:
            return
        await asyncio.sleep(0.2)
    await page.screenshot(path=SHOTS / "never-started.png")
    raise RuntimeError(f"nothing plays after {seconds:g} s: {notes.errors[-3:]}")


async def choose(page: Page, notes: Notes, menu: str, value: str, *, own: bool) -> None:
    """Choose a sound or subtitles, on our page as a viewer does."""
    if own:
        await page.select_option(f"#{menu}", value)
    else:
        track = "audioTrack" if menu == "sound" else "subtitleTrack"
        await page.evaluate(f"viewer.players[0].{track} = {int(value)}")
    if menu == "sound":
        clock, track = await page.evaluate("[performance.now() / 1000, viewer.players[0].audioTrack]")
        notes.switches.append((clock, track))


def complain(notes: Notes) -> None:
    """Print what hls.js met; most of it heals."""
    for (details, fatal), count in Counter((error["details"], error["fatal"]) for error in notes.errors).items():
        print(f"hls.js: {count} x {details}{', fatal' if fatal else ''}")
    holes = [sample for sample in settled(notes) if sample["torn"]]
    for sample in holes[:: max(1, len(holes) // 3)]:
        print(f"a hole in the buffer, at {sample['time']:.2f} s: {sample['torn']}")


def judge(notes: Notes, clock: BurntClock | None) -> dict[str, float]:
    """Errors, stalls, rate and distance from live."""
    samples = notes.samples
    figures: dict[str, float] = {
        "fatal_errors": sum(error["fatal"] for error in notes.errors),
        "errors": len(notes.errors),
        "stalls": len(stalls(samples)),
        "stalled_s": sum(stalls(samples)),
        "rate_mean": (samples[-1]["time"] - samples[0]["time"]) / (samples[-1]["clock"] - samples[0]["clock"]),
        "buffer_ranges": max((sample["ranges"] for sample in settled(notes)), default=0),
        "buffer_hole_s": max((hole(sample) for sample in settled(notes)), default=0.0),
        "cushion_min_s": min(sample["cushion"] for sample in samples),
        "frames_dropped": samples[-1]["dropped"],
        "frames": samples[-1]["frames"],
    }
    dated = [sample for sample in samples if sample["date"]][::10]
    behind = [sample["now"] - sample["date"] for sample in dated]
    if clock:
        burnt = [(sample, date) for sample in samples if (date := clock.date(sample)) is not None]
        if burnt:
            behind = [sample["now"] - date for sample, date in burnt[::10]]
            # Half a picture: a frame stands for 40 ms.
            figures["date_error_p95_s"] = float(
                np.percentile([abs(sample["date"] - date - 0.02) for sample, date in burnt], 95)
            )
    if behind:
        figures |= {"behind_live_s": float(np.mean(behind)), "behind_live_sd_s": float(np.std(behind))}
    waits = [wait for switch in notes.switches if (wait := heard_after(samples, *switch)) is not None]
    if waits and len(waits) == len(notes.switches):
        figures["switch_s"] = max(waits)
    return figures


def settled(notes: Notes) -> list[Sample]:
    """All but those taken while a sound was exchanged, when what is left of the old and has come of the new are two."""
    return [s for s in notes.samples if not any(0 <= s["clock"] - at < SETTLING for at, _ in notes.switches)]


def hole(sample: Sample) -> float:
    """Seconds of the widest hole in the buffer."""
    ranges = sample["torn"]["both"] if sample["torn"] else []
    return max((float(after[0] - before[1]) for before, after in pairwise(ranges)), default=0.0)


def stalls(samples: Sequence[Sample]) -> list[float]:
    """Seconds of every standstill over STALL while the player was to move."""
    found: list[float] = []
    since: float | None = None
    for before, after in pairwise(samples):
        still = after["moving"] and after["time"] - before["time"] < 0.2 * (after["clock"] - before["clock"])
        if still and since is None:
            since = before["clock"]
        if since is not None and (not still or after is samples[-1]):
            if before["clock"] - since > STALL:
                found.append(before["clock"] - since)
            since = None
    return found


def heard_after(samples: Sequence[Sample], clock: float, track: int) -> float | None:
    """Seconds until the chosen sound plays."""
    for before, after in pairwise(samples):
        if after["clock"] >= clock and after["sound"] == track and after["time"] > before["time"]:
            return float(after["clock"] - clock)
    return None


def seen(notes: Notes) -> dict[str, float]:
    """Whether subtitles were on the screen at all."""
    return {"subtitles_shown": sum(bool(sample["shown"]) for sample in notes.samples) / max(1, len(notes.samples))}


def captioned(notes: Notes, clock: BurntClock, told: Watch) -> dict[str, float]:
    """How far cues are shown from where they were published, and how far from where their sentence starts.

    Both by the clock in the picture. A sentence that comes after its seal is published late: that is lag, no error.
    """
    pairs = [(date - sample["time"]) for sample in notes.samples if (date := clock.date(sample)) is not None]
    figures = told.figures
    if not pairs or not figures.utterances:
        return {}
    # A picture stands for 40 ms: on average it was captured half of that before the moment at which it is seen.
    offset = float(np.median(pairs)) + 0.02 - figures.epoch
    starts = [(plain(each.text), each.start) for each in figures.utterances.values()]
    starts += [(plain(each.wordings[0].text), each.start) for each in figures.translations.values()]
    errors: list[float] = []
    lags: list[float] = []
    for _, begin, text in notes.cues:
        at = begin + offset
        errors += [min(abs(at - wanted) for wanted in notes.published[text])] if text in notes.published else []
        # Long sentences are several cues: the first one starts with the sentence.
        after = [at - start for said, start in starts if said.startswith(text) and -STALL <= at - start < 15]
        lags += sorted(after)[:1]
    found: dict[str, float] = {"captions": len(notes.cues)}
    if errors:
        found |= {"caption_error_s": max(errors), "caption_error_p50_s": float(np.median(errors))}
    if lags:
        found |= {"caption_lag_p50_s": float(np.median(lags)), "caption_lag_p95_s": float(np.percentile(lags, 95))}
    return found


def plain(text: str) -> str:
    """Text without markup and line breaks."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", text)).split())


def delayed(told: Watch) -> dict[str, float]:
    """The delay contract as the sealed log keeps it."""
    summary = told.figures.summary()
    return {key: summary[key] for key in ("delay_mean_s", "delay_sd_s", "dubbed_segments") if key in summary}
