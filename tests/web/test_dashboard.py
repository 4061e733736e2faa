"""The dashboard in a real browser, fed with a stream that is made up."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, expect

from services.dashboard.busy import Load, Loads
from services.dashboard.pages import pages
from shared.context import Casting, Event, Record
from shared.messages import (
    AudioChunk,
    Clip,
    Dropped,
    Head,
    Message,
    Progress,
    Sealed,
    Translation,
    Utterance,
    Warned,
    Wording,
)
from tests.web.site import ROOT, keep, served, until, violations

pytestmark = pytest.mark.browser

LAGS = {"asr": 1.4, "segmenter": 3.1, "speaker": 3.4, "translator": 3.9, "voice": 4.6, "place": 5.0}
SENTENCES = [
    ("The harbour bridge is open again after two years of repairs.", "El puente del puerto está abierto otra vez."),
    ("What does the mayor say about the costs?", "¿Qué dice el alcalde de los costes?"),
]


def day(seconds: int) -> list[tuple[float, str, str, Message]]:
    """What the stages said in the last seconds: epoch, stage, lane, message."""
    now = time.time()
    told: list[tuple[float, str, str, Message]] = []
    for second in range(seconds):
        at, head = now - seconds + second, 10.0 + second
        told.append((at, "downloader", "s1", Head(stream="s1", until=head, head=head)))
        told.append(
            (at, "downloader", "s1", AudioChunk(stream="s1", until=head, start=head - 1, end=head, captured_at=at))
        )
        for stage, lag in LAGS.items():
            language = "es" if stage in ("voice", "place") else ""
            lane = "s1~es" if language else "s1"
            told.append((at, stage, lane, Progress(stream="s1", until=head - lag - second % 3 / 2, language=language)))
        if second % 2 == 0 and second > 14:
            told.append((at, "sender", "s1", sealed(head - 14.0)))
        if second % 5 == 0:
            told += [(at, *fact) for fact in spoken(second // 5, max(0.0, head - 4))]
    return told


def sealed(start: float) -> Sealed:
    ticks = round(start * 90_000)
    return Sealed(stream="s1", until=start + 2, number=0, start=ticks, duration=180_000, date=0.0, objects={}, inits={})


def spoken(number: int, start: float) -> Iterator[tuple[str, str, Message]]:
    text, translation = SENTENCES[number % 2]
    name, speaker = str(number), number % 2
    yield "speaker", "s1", Utterance(
        stream="s1", until=start, utterance=name, start=start, end=start + 3, text=text, words=(), spoken="en",
        speaker=speaker, gender="fm"[speaker],
    )  # fmt: skip
    yield "translator", "s1", Translation(
        stream="s1", until=start, language="es", utterance=name, start=start, end=start + 3, speaker=speaker,
        gender="fm"[speaker], wordings=(Wording(text=translation),),
    )  # fmt: skip
    if number % 12 == 11:
        yield "place", "s1~es", Dropped(stream="s1", until=start, language="es", utterance=name, reason="late")
    else:
        yield "place", "s1~es", Clip(
            stream="s1", until=start, language="es", utterance=name, start=start + number % 7 / 10, duration=2.5,
            rate=1.05, wording=0, voice="v", audio="k",
        )  # fmt: skip


class Bus:
    """Two streams, one of them running for two minutes."""

    def __init__(self) -> None:
        self.told = day(120)
        self.extra: list[tuple[float, str, str, Message]] = []
        running = Record(
            stream="s1", url="https://example.com/a", title="Evening news", state="running", languages=("es",),
            segment=2.0, created_at=2.0, casting={"1": Casting(name="Ana")},
        )  # fmt: skip
        failed = Record(
            stream="s2", url="https://example.com/b", state="failed", reason="The source needs a login.", created_at=1.0
        )
        self.known = {"s1": running, "s2": failed}

    async def record(self, stream: str) -> tuple[str, Record] | None:
        return ("1", self.known[stream]) if stream in self.known else None

    async def records(self) -> list[Record]:
        return list(self.known.values())

    async def events(self, stream: str, after: str = "0") -> list[Event]:
        told = [*self.told, *self.extra] if stream == "s1" else []
        return [
            Event(id=str(number + 1), at=at, stage=stage, lane=lane, message=message)
            for number, (at, stage, lane, message) in enumerate(told)
            if number + 1 > int(after)
        ]


class Busy(Loads):
    """Two replicas of the translator, one of them without a free moment."""

    async def now(self) -> list[Load]:
        return [
            Load(stage="translator", replica="10.0.0.1:8080", busy=0.98, slots=8),
            Load(stage="translator", replica="10.0.0.2:8080", busy=0.9, slots=8),
        ]


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def look(bus: Bus, browser: Browser) -> Iterator[Callable[..., Page]]:
    app = FastAPI()
    app.include_router(pages(lambda: bus, ROOT / "node_modules", 0.5, asyncio.Event(), Busy((), 1.0)))
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    with served(app) as url:

        def visit(**options: object) -> Page:
            context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})  # type: ignore[arg-type]
            contexts.append(context)
            page = context.new_page()
            page.on("console", lambda line: complaints.append(line.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"{url}/dashboard")
            return page

        yield visit
        for context in contexts:
            context.close()
    assert [line for line in complaints if "Failed to load" not in line and "ERR_" not in line] == []


def test_a_running_stream_is_shown_with_delay_lags_and_sentences(look: Callable[..., Page]) -> None:
    page = look()
    expect(page.locator("#title")).to_have_text("Evening news")
    expect(page.locator("#health")).to_have_text("on time")
    expect(page.locator("#figures")).to_contain_text("contract 12 s")
    stages = page.locator("#stages th").all_inner_texts()
    assert stages == [
        "downloader", "asr", "segmenter", "speaker", "translator", "voice (es)", "place (es)", "sender",
    ]  # fmt: skip
    expect(page.locator("#said")).to_contain_text("¿Qué dice el alcalde de los costes?")
    expect(page.locator("#speakers")).to_contain_text("Ana · male")
    until(page, "document.querySelectorAll('.chart canvas').length === 3")
    keep(page, "dashboard")
    assert violations(page) == []


def test_the_charts_begin_with_what_was_before_the_page_was_opened(look: Callable[..., Page]) -> None:
    page = look()
    until(page, "document.querySelectorAll('#lags .u-legend .u-series').length === 9")
    expect(page.locator("#delays")).to_contain_text("ear-voice span")
    for figure in ("p50", "p95", "p99", "sd"):
        expect(page.locator("#spreads")).to_contain_text(figure)


def test_a_bottleneck_is_named_with_what_would_clear_it_and_each_replica_with_its_load(
    bus: Bus, look: Callable[..., Page]
) -> None:
    page = look()
    expect(page.locator("#stages tr", has_text="translator")).to_contain_text("98 % · 90 %")
    bus.known["s1"] = bus.known["s1"].model_copy(update={"next_delay": 16.0})
    expect(page.locator("#figures")).to_contain_text("soon 16 s")
    now = time.time()
    for stage in ("asr", "segmenter", "speaker"):
        bus.extra.append((now, stage, "s1", Progress(stream="s1", until=149.0)))
    bus.extra.append((now, "downloader", "s1", Head(stream="s1", until=150.0, head=150.0)))
    expect(page.locator("#warnings")).to_contain_text("translator is the bottleneck")
    expect(page.locator("#warnings")).to_contain_text("a faster engine or machine would clear it")
    assert violations(page) == []


def test_new_events_reach_an_open_page(bus: Bus, look: Callable[..., Page]) -> None:
    page = look()
    expect(page.locator("#health")).to_have_text("on time")
    bus.extra.append((time.time(), "voice", "s1~es", Warned(stream="s1", until=0.0, warning="the engine is degraded")))
    bus.extra.append((time.time(), "downloader", "s1", Head(stream="s1", until=150.0, head=150.0)))
    expect(page.locator("#warnings")).to_contain_text("voice: the engine is degraded")
    expect(page.locator("#health")).to_have_text("late")
    assert violations(page) == []


def test_another_stream_is_one_click_away_and_says_why_it_failed(look: Callable[..., Page]) -> None:
    page = look()
    page.get_by_role("link", name="https://example.com/b").click()
    expect(page.locator("#health")).to_have_text("failed")
    expect(page.locator("#warnings")).to_have_text("The source needs a login.")
    assert page.url.endswith("?stream=s2")
    assert violations(page) == []


def test_a_stream_that_nobody_knows_is_told_of_and_shows_nothing_of_another(look: Callable[..., Page]) -> None:
    page = look()
    expect(page.locator("#title")).to_have_text("Evening news")
    page.goto(f"{page.url}?stream=nobody")
    expect(page.locator("#missing")).to_contain_text("There is no such stream")
    expect(page.locator("#main")).to_be_hidden()
    page.get_by_role("link", name="https://example.com/b").click()
    expect(page.locator("#missing")).to_be_hidden()
    expect(page.locator("#main")).to_be_visible()
    assert violations(page) == []


def test_the_legend_tells_the_last_figures_while_nobody_points(look: Callable[..., Page]) -> None:
    page = look()
    contract = page.locator("#delays .u-legend .u-series", has_text="contract")
    expect(contract).to_contain_text("12.0 s")


def test_a_small_dark_screen_is_served_as_well(look: Callable[..., Page]) -> None:
    page = look(viewport={"width": 390, "height": 844}, color_scheme="dark")
    expect(page.locator("#health")).to_have_text("on time")
    until(page, "document.querySelectorAll('.chart canvas').length === 3")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []
    keep(page, "dashboard-phone-dark")
