"""The player page in a real browser, on a presentation made here."""

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.web.site import ROOT, SEGMENTS, fragments, keep, served, until, violations

pytestmark = pytest.mark.browser

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob: data:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TONES = {"original": 220.0, "es": 440.0, "es-clean": 880.0}
CAPTIONS = {"captions-en": "Good evening.", "captions-es": "Buenas noches."}
STREAM = {
    "id": "s1",
    "state": "running",
    "reason": "",
    "title": "Evening news",
    "delay": 12.0,
    "languages": ["es"],
    "speakers": {"1": {"name": "Ana", "gender": "f", "voices": {}}},
}


class Site:
    """One stream, whose state and presentation a test may change while a page looks at it."""

    def __init__(self) -> None:
        self.stream: dict[str, object] | None = dict(STREAM)
        self.presented = True
        self.ended = True
        self.since = time.time() - 2 * SEGMENTS - 12
        """Epoch seconds of the first picture: the last one is as old as the delay."""
        self.facts: list[tuple[str, dict[str, object]]] = []
        self.fetched: list[str] = []
        self.sights: dict[str, object] | None = None
        """What every segment says of faces; a stream without faces has no such rendition."""
        self.utterances: list[dict[str, object]] = []
        """What every segment says was spoken."""

    def app(self) -> FastAPI:
        app = FastAPI()
        web = ROOT / "services/sender/web"

        @app.get("/watch/{stream}")
        def page(stream: str) -> Response:
            return FileResponse(web / "watch.html", headers={"Content-Security-Policy": POLICY})

        @app.get("/web/{file}")
        def file(file: str) -> Response:
            return FileResponse(ROOT / "node_modules/hls.js/dist/hls.min.js" if file == "hls.min.js" else web / file)

        @app.get("/v1/streams/{stream}")
        def stream(stream: str) -> Response:
            return JSONResponse(self.stream or {"title": "no such stream"}, 200 if self.stream else 404)

        @app.get("/v1/streams/{stream}/events")
        def events(stream: str) -> Response:
            return StreamingResponse(self.told(), media_type="text/event-stream")

        @app.get("/hls/{stream}/{file}")
        def media(stream: str, file: str) -> Response:
            self.fetched.append(file)
            body = self.media(file) if self.presented else None
            return Response(status_code=404) if body is None else Response(body, media_type=kind_of(file))

        return app

    def told(self) -> Iterator[str]:
        for number, (kind, message) in enumerate(self.facts):
            yield f"id: {number}\nevent: {kind}\ndata: {json.dumps({'message': message})}\n\n"

    def media(self, file: str) -> bytes | None:
        name, _, extension = file.rpartition(".")
        if file == "master.m3u8":
            return master().encode()
        if name == "faces" and self.sights is None:
            return None
        if extension == "m3u8":
            return self.playlist(name).encode()
        if extension == "json":
            return json.dumps(self.sights if name.startswith("faces") else {"utterances": self.utterances}).encode()
        if extension == "vtt":
            return vtt(name.split("@")[0]).encode()
        rendition, _, number = name.rpartition("-")
        pieces = coded(TONES.get({"v": "", "o": "original"}.get(rendition, rendition)))
        place = 0 if number == "init" else (int(number) - 900_000) // 180_000 + 1
        return pieces[place]

    def playlist(self, rendition: str) -> str:
        lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0"]
        captions = rendition.startswith("captions")
        prefix = {"video": "v", "original": "o"}.get(rendition, rendition)
        if not captions:
            lines.append(f'#EXT-X-MAP:URI="{prefix}-init.m4s"')
        for number in range(SEGMENTS):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.since + 2 * number))
            if rendition in ("faces", "utterances"):
                prefix = f"{rendition}-{900_000 + 180_000 * number}-0.json"
            name = (
                f"{rendition}@{number}.vtt"
                if captions
                else prefix
                if rendition in ("faces", "utterances")
                else f"{prefix}-{900_000 + 180_000 * number}.m4s"
            )
            lines += [f"#EXT-X-PROGRAM-DATE-TIME:{stamp}Z", "#EXTINF:2.0,", name]
        return "\n".join([*lines, "#EXT-X-ENDLIST"] if self.ended else lines) + "\n"


@cache
def coded(tone: float | None) -> list[bytes]:
    return fragments(tone)


def kind_of(file: str) -> str:
    kinds = {"m3u8": "application/vnd.apple.mpegurl", "vtt": "text/vtt", "m4s": "video/mp4", "json": "application/json"}
    return kinds[file.rpartition(".")[2]]


def master() -> str:
    lines = ["#EXTM3U", "#EXT-X-VERSION:7"]
    for name, label, language in (
        ("original", "English (original)", "en"),
        ("es", "Spanish (AI voice-over)", "es"),
        ("es-clean", "Spanish (AI voice only)", "es"),
    ):
        default = "YES" if name == "original" else "NO"
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="{label}",LANGUAGE="{language}",'
            f'DEFAULT={default},AUTOSELECT={default},CHANNELS="1",URI="{name}.m3u8"'
        )
    for name, label in (("captions-en", "English"), ("captions-es", "Spanish (AI)")):
        lines.append(
            f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME="{label}",LANGUAGE="{name[-2:]}",'
            f'DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="{name}.m3u8"'
        )
    codecs = "avc1.42c00b,mp4a.40.2"
    lines.append(f'#EXT-X-STREAM-INF:BANDWIDTH=300000,CODECS="{codecs}",AUDIO="sound",SUBTITLES="text"')
    return "\n".join([*lines, "video.m3u8"]) + "\n"


def vtt(rendition: str) -> str:
    cue = f"00:00:00.000 --> 00:00:30.000\n{CAPTIONS[rendition]}\n"
    return f"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n{cue}"


def said(number: str, start: float, end: float, text: str, speaker: int | None) -> tuple[str, dict[str, object]]:
    fact = {"utterance": number, "start": start, "end": end, "text": text, "spoken": "en", "speaker": speaker}
    return "utterance", fact


def translated(number: str, text: str) -> tuple[str, dict[str, object]]:
    return "translation", {"utterance": number, "language": "es", "wordings": [{"text": text}]}


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def look(site: Site, browser: Browser) -> Iterator[Callable[..., Page]]:
    with served(site.app()) as url:
        contexts: list[BrowserContext] = []
        complaints: list[str] = []

        def visit(**options: object) -> Page:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})  # type: ignore[arg-type]
            contexts.append(context)
            page = context.new_page()
            page.set_default_timeout(8000)
            page.on("console", lambda line: complaints.append(line.text))
            page.goto(f"{url}/watch/s1")
            return page

        yield visit
        for context in contexts:
            context.close()
    assert [line for line in complaints if "Content Security Policy" in line] == []


def plays(page: Page) -> None:
    until(page, "document.getElementById('video').currentTime > 0.3")


def test_the_picture_plays_with_the_original_sound_by_default(site: Site, look: Callable[..., Page]) -> None:
    page = look()
    plays(page)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#sound")).to_have_value("original")
    expect(page.locator("#text")).to_have_value("")
    expect(page.locator("#title")).to_have_text("Evening news")
    assert "es.m3u8" not in site.fetched


def test_a_chosen_sound_is_fetched_and_remembered(site: Site, look: Callable[..., Page]) -> None:
    page = look()
    plays(page)
    page.select_option("#sound", "es")
    until(page, "performance.getEntriesByType('resource').some(entry => /es-[0-9]+[.]m4s/.test(entry.name))")
    expect(page.locator("#mixer")).to_be_hidden()
    page.reload()
    plays(page)
    expect(page.locator("#sound")).to_have_value("es")


def test_the_clean_dub_comes_with_the_original_as_a_bed_in_step(look: Callable[..., Page]) -> None:
    page = look()
    plays(page)
    page.select_option("#sound", "es-clean")
    expect(page.locator("#mixer")).to_be_visible()
    until(page, "performance.getEntriesByType('resource').some(entry => /es-clean-[0-9]+/.test(entry.name))")
    page.locator("#level").fill("60")
    expect(page.locator("#loudness")).to_have_text("60 %")
    keep(page, "watch-mixer")


def test_subtitles_are_shown_when_they_are_chosen(look: Callable[..., Page]) -> None:
    page = look()
    plays(page)
    page.select_option("#text", "captions-es")
    until(
        page,
        "[...document.getElementById('video').textTracks].some(track => track.mode === 'showing'"
        " && [...track.activeCues ?? []].some(cue => cue.text === 'Buenas noches.'))",
    )


def test_captions_come_with_the_picture_and_turn_into_their_translation(site: Site, look: Callable[..., Page]) -> None:
    site.facts = [
        said("0", 10.0, 10.5, "Good evening and welcome.", None),
        said("0.1", 10.0, 10.5, "Good evening and welcome.", 0),
        translated("0.1", "Buenas noches y bienvenidos."),
        said("1", 11.0, 12.0, "The harbour bridge is open again.", 1),
        translated("1", "El puente del puerto está abierto otra vez."),
        said("2", 400.0, 402.0, "Nobody has heard this yet.", 0),
    ]
    page = look()
    plays(page)
    items = page.locator("#captions li")
    expect(items.nth(1)).to_contain_text("El puente del puerto está abierto otra vez.")
    expect(items).to_have_count(2)
    expect(items.nth(0).locator(".who")).to_have_text("Speaker 1")
    expect(items.nth(1).locator(".who")).to_have_text("Ana")
    expect(items.nth(0).locator(".translation")).to_have_attribute("lang", "es")
    assert violations(page) == []
    keep(page, "watch-captions")


def test_a_live_viewer_is_told_how_far_behind_live_they_are(site: Site, look: Callable[..., Page]) -> None:
    site.ended = False
    page = look()
    plays(page)
    expect(page.locator("#behind")).to_have_text(re.compile(r"^(1[0-9]|2[0-9]) s behind live$"))
    expect(page.locator("#badge")).to_have_text("live")


def test_keys_choose_and_mute(look: Callable[..., Page]) -> None:
    page = look()
    plays(page)
    page.keyboard.press("a")
    expect(page.locator("#sound")).to_have_value("es")
    page.keyboard.press("c")
    expect(page.locator("#text")).to_have_value("captions-en")
    page.keyboard.press("k")
    until(page, "document.getElementById('video').paused")


def test_a_stream_that_starts_says_so_and_then_plays(site: Site, look: Callable[..., Page]) -> None:
    site.presented, site.stream = False, {**STREAM, "state": "starting"}
    page = look()
    expect(page.locator("#headline")).to_have_text("The stream is starting")
    assert violations(page) == []
    keep(page, "watch-starting")
    site.presented, site.stream = True, dict(STREAM)
    plays(page)


def test_a_stream_that_failed_says_why(site: Site, look: Callable[..., Page]) -> None:
    site.presented = False
    site.stream = {**STREAM, "state": "failed", "reason": "The source needs a login."}
    page = look()
    expect(page.locator("#headline")).to_have_text("This stream could not be dubbed")
    expect(page.locator("#detail")).to_have_text("The source needs a login.")
    assert violations(page) == []
    keep(page, "watch-failed")


def test_a_stream_that_nobody_knows_says_so(site: Site, look: Callable[..., Page]) -> None:
    site.presented, site.stream = False, None
    page = look()
    expect(page.locator("#headline")).to_have_text("There is no such stream")


def test_a_stream_that_is_over_offers_itself_again(site: Site, look: Callable[..., Page]) -> None:
    site.stream = {**STREAM, "state": "ended"}
    page = look()
    plays(page)
    page.evaluate("document.getElementById('video').currentTime = 29")
    expect(page.locator("#headline")).to_have_text("This stream has ended", timeout=10_000)
    page.click("#again")
    until(page, "document.getElementById('video').currentTime < 20")


def test_a_small_dark_screen_is_served_as_well(site: Site, look: Callable[..., Page]) -> None:
    site.facts = [said("0", 10.0, 10.2, "Good evening.", 0), translated("0", "Buenas noches.")]
    page = look(viewport={"width": 390, "height": 844}, color_scheme="dark")
    plays(page)
    expect(page.locator("#captions li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []
    keep(page, "watch-phone-dark")


def box(page: Page, selector: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an element, as shares of the picture."""
    found = page.evaluate(
        """selector => {
            const one = document.querySelector(selector).getBoundingClientRect();
            const all = document.getElementById("video").getBoundingClientRect();
            return [(one.left - all.left) / all.width, (one.top - all.top) / all.height,
                    (one.right - all.left) / all.width, (one.bottom - all.top) / all.height];
        }""",
        selector,
    )
    left, top, right, bottom = map(float, found)
    return left, top, right, bottom


def with_faces(site: Site) -> None:
    faces = [
        {"person": 1, "left": 0.15, "top": 0.3, "width": 0.12, "height": 0.2},
        {"person": 2, "left": 0.75, "top": 0.3, "width": 0.12, "height": 0.2},
    ]
    site.stream = {**STREAM, "faces": True}
    site.sights = {"seen": [{"at": 10.0, "faces": faces}], "speaks": {"0": 2, "1": None}}


def test_a_caption_stands_beside_the_face_that_speaks_and_turns_into_its_translation(
    site: Site, look: Callable[..., Page]
) -> None:
    with_faces(site)
    site.facts = [said("0", 10.0, 12.0, "The harbour bridge is open.", 1), translated("0", "El puente está abierto.")]
    page = look()
    plays(page)
    bubble = page.locator(".bubble")
    until(page, "document.querySelector('.bubble')?.dataset.person === '2'")
    expect(bubble.locator(".who")).to_have_text("Ana")
    page.evaluate("document.getElementById('video').pause()")
    page.evaluate("document.getElementById('video').currentTime = 4.4")
    expect(bubble.locator(".said")).to_have_text("El puente está abierto.")
    page.wait_for_timeout(400)
    left, top, right, bottom = box(page, ".bubble")
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    assert 0.35 < left < right <= 0.76, "on the free side of the right face, and far from the left one"
    assert bottom > 0.3, "at the height of the face"
    assert top < 0.6
    assert violations(page) == []
    keep(page, "watch-beside")


def test_a_voice_without_a_face_is_captioned_at_the_bottom(site: Site, look: Callable[..., Page]) -> None:
    with_faces(site)
    site.facts = [said("1", 10.0, 25.0, "Nobody on the picture says this.", None)]
    page = look()
    plays(page)
    until(page, "document.querySelector('.bubble')")
    page.wait_for_timeout(400)
    left, top, right, bottom = box(page, ".bubble")
    assert abs((left + right) / 2 - 0.5) < 0.05
    assert 0.6 < top < bottom < 1


def test_captions_on_the_picture_can_be_switched_off_and_stay_off(site: Site, look: Callable[..., Page]) -> None:
    with_faces(site)
    site.facts = [said("0", 10.0, 25.0, "The harbour bridge is open.", 1)]
    page = look()
    plays(page)
    expect(page.locator(".bubble")).to_have_count(1)
    page.get_by_label("Captions beside the speaker").uncheck()
    expect(page.locator(".bubble")).to_have_count(0)
    page.reload()
    plays(page)
    page.wait_for_timeout(500)
    expect(page.locator(".bubble")).to_have_count(0)


def test_a_stream_without_faces_is_never_asked_for_them(site: Site, look: Callable[..., Page]) -> None:
    page = look()
    plays(page)
    page.wait_for_timeout(2500)
    expect(page.locator("#faces")).to_be_hidden()
    assert not [file for file in site.fetched if file.startswith("faces")]


@pytest.mark.parametrize("known", [True, False], ids=["ended", "forgotten"])
def test_a_recording_has_its_captions_beside_faces_without_any_event(
    known: bool, site: Site, look: Callable[..., Page]
) -> None:
    with_faces(site)
    site.stream = {**(site.stream or {}), "state": "ended"} if known else None
    fact = said("0", 10.0, 25.0, "The harbour bridge is open.", 1)[1]
    spanish = {"es": {"text": "El puente está abierto.", "start": 12.0}}
    site.utterances = [{**fact, "name": "Ana", "translations": spanish}]
    page = look()
    plays(page)
    until(page, "document.querySelector('.bubble')?.dataset.person === '2'")
    expect(page.locator(".bubble .who")).to_have_text("Ana")
    page.evaluate("document.getElementById('video').pause()")
    page.evaluate("document.getElementById('video').currentTime = 17")
    expect(page.locator(".bubble .said")).to_have_text("El puente está abierto.")
    expect(page.locator("#captions .translation").first).to_have_text("El puente está abierto.")
    expect(page.locator("#faces")).to_be_visible()
    assert site.fetched.count("utterances.m3u8") == 1


def test_captions_are_placed_inside_the_picture_and_off_other_faces(look: Callable[..., Page]) -> None:
    page = look()
    wrong = page.evaluate(
        """async () => {
            const { place } = await import("/web/placement.js");
            const wrong = [];
            let seed = 7;
            const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
            for (let round = 0; round < 2000; round++) {
                const frame = { width: 300 + 1500 * random(), height: 300 + 900 * random() };
                const width = frame.width * (0.1 + 0.24 * random()), height = frame.height * (0.05 + 0.1 * random());
                const side = frame.height * (0.08 + 0.12 * random());
                const box = () => ({ left: (frame.width - side) * random(), top: (frame.height - side) * random(),
                                     width: side, height: side });
                const face = random() < 0.2 ? null : box(), other = box();
                const { left, top } = place(face, [other], { width, height }, frame);
                const right = left + width, bottom = top + height;
                const inside = left >= 0 && top >= 0 && right <= frame.width && bottom <= frame.height;
                const clear = left >= other.left + side || other.left >= right
                    || top >= other.top + side || other.top >= bottom;
                const apart = face && Math.abs(face.left - other.left) > 3 * width;
                if (!inside || (!clear && apart)) wrong.push({ frame, width, height, face, other, left, top });
            }
            return wrong;
        }"""
    )
    assert wrong == []
