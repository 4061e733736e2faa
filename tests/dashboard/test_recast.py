"""A speaker gets another voice from the page, through the API and its keys."""

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from services.dashboard.pages import pages
from services.ingest.service import Settings, create
from shared.context import Casting, Record
from shared.messages import Head, Utterance
from tests.ingest.conftest import MemoryBus
from tests.web.site import ROOT, keep, served, violations

pytestmark = pytest.mark.browser


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.put(Record(stream="s1", url="https://example.com/a", state="running", tenant="ann", languages=("es", "gl")))
    said = [
        Utterance(
            stream="s1", until=1.0, utterance=f"{who}", start=1.0, end=2.0, text="good day", words=(), spoken="en",
            speaker=who,
        )
        for who in (1, 2)
    ]  # fmt: skip
    bus.tell("speaker", Head(stream="s1", until=3.0, head=3.0), *said)
    return bus


def listening(url: str) -> None:
    """Waits until somebody answers at a URL."""
    for _ in range(200):
        with suppress(httpx.ConnectError):
            httpx.get(f"{url}/dashboard")
            return
        time.sleep(0.05)


@pytest.fixture
def page(bus: MemoryBus, browser: Browser) -> Iterator[Page]:
    keys = f"ann={hashlib.sha256(b'secret').hexdigest()}"
    ingest = create(Settings(require_key=True, keys=keys, secret="a secret of more than sixteen characters"))
    ingest.bus = bus  # type: ignore[assignment]
    app = FastAPI()
    assert ingest.router
    app.include_router(ingest.router)
    app.include_router(pages(lambda: bus, ROOT / "node_modules", 0.3, asyncio.Event()))
    for error, handler in ingest.exception_handlers.items():
        app.add_exception_handler(error, handler)
    with served(app) as url:
        listening(url)
        page = browser.new_page()
        page.goto(f"{url}/dashboard")
        yield page
        page.close()


def test_a_key_and_a_choice_recast_a_speaker(bus: MemoryBus, page: Page) -> None:
    key = page.get_by_label("API key")
    expect(key).to_be_visible()
    page.get_by_role("button", name="Recast").click()
    expect(page.locator("#recast-answer")).to_contain_text("Type an API key")
    key.fill("secret")
    key.blur()
    voice = page.get_by_label("Voice, es")
    expect(voice).to_be_visible()
    expect(page.get_by_label("Voice, gl")).to_have_count(0)
    voice.select_option("es+f2")
    page.get_by_label("Name").fill("Ann")
    page.get_by_label("Gender").select_option("f")
    assert violations(page) == []
    keep(page, "dashboard-recast")
    page.get_by_role("button", name="Recast").click()
    expect(page.locator("#recast-answer")).to_have_text("In force from the next sentence.")
    assert bus.found["s1"][1].casting == {"1": Casting(name="Ann", gender="f", voices={"es": "es+f2"})}
    expect(page.locator("#speakers")).to_contain_text("Ann")


def test_two_speakers_who_are_one_are_merged(bus: MemoryBus, page: Page) -> None:
    key = page.get_by_label("API key")
    key.fill("secret")
    key.blur()
    expect(page.get_by_label("Voice, es")).to_be_visible()
    page.locator("#recast-speaker").select_option("2")
    page.get_by_label("Is really").select_option("1")
    page.get_by_role("button", name="Recast").click()
    expect(page.locator("#recast-answer")).to_have_text("In force from the next sentence.")
    assert bus.found["s1"][1].merged == {"2": "1"}


def test_a_key_that_was_typed_opens_the_player_by_a_signed_link(bus: MemoryBus, page: Page) -> None:
    page.get_by_label("API key").fill("secret")
    page.get_by_label("API key").blur()
    expect(page.get_by_label("Voice, es")).to_be_visible()
    page.get_by_role("link", name="Watch").click()
    page.wait_for_url(re.compile(r"/watch/s1~\d+~[A-Za-z0-9_-]{22}$"))
