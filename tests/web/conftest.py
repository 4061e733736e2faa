"""The browser that looks at the pages."""

import os
from collections.abc import Iterator
from shutil import which

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.web.site import ROOT

CHROMIUM = os.environ.get("CHROMIUM") or which("chromium") or which("google-chrome") or ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium here: set CHROMIUM to one")
    if not (ROOT / "node_modules/hls.js").is_dir():
        pytest.skip("no node_modules here: run npm ci")
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--mute-audio"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield chromium
        chromium.close()
