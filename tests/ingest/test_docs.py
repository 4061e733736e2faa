"""What README.md and docs/api.md tell people to type does what they say."""

import asyncio
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from services.ingest import problems
from tests.ingest.conftest import MemoryBus, Open

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/api.md")


def commands(page: str) -> list[list[str]]:
    """The curl commands of a page, split as a shell splits them."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    found = re.findall(r"^curl (?:'[^']*'|[^'\n])*", "\n".join(blocks), re.MULTILINE)
    return [shlex.split(command, comments=True) for command in found]


def sent(command: list[str], stream: str, clip: str) -> httpx.Request:
    """The request that a curl command makes, of a stream in place of ID and of a clip in place of CLIP."""
    options = dict(pairwise(command))
    (address,) = [word for word in command if word.startswith("localhost:8080/")]
    path = address.removeprefix("localhost:8080").replace("/ID", f"/{stream}").replace("/CLIP", f"/{clip}")
    body = json.loads(options["-d"]) if "-d" in options else None
    film = b"OggS" if "-T" in options else None
    return httpx.Request(options.get("-X", "GET"), f"http://test{path}", json=body, content=film)


@pytest.mark.parametrize("page", PAGES)
async def test_every_curl_of_a_page_works_in_order(
    page: str, served: Open, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.clips.program", lambda clip: ("touch", str(clip.folder / "clip.mp4")))
    found, client = commands(page), served(secret="a secret of more than sixteen characters", clips=1)
    assert len(found) >= 5
    stream, clip = "", ""
    for command in found:
        request = sent(command, stream, clip)
        if request.url.path.endswith("/clip.mp4"):
            async with asyncio.timeout(20):
                while (await client.get(f"/v1/clips/{clip}")).json()["state"] != "done":
                    await asyncio.sleep(0)
        if stream:
            # The feed of a stream that runs has no end, and a stream that runs is not started again.
            over = request.url.path.endswith(("/events", "/restart"))
            bus.amend(stream, state="ended" if over else "running")
        response = await client.send(request)
        assert response.status_code < 300, (command, response.text)
        if response.status_code == 202:
            clip = response.json()["id"]
        if response.status_code == 201:
            stream = response.json().get("id", stream)


def test_the_page_lists_every_kind_of_problem() -> None:
    page = (ROOT / "docs/api.md").read_text()
    folder = Path(problems.__file__).parent
    sources = "".join(path.read_text() for path in folder.glob("*.py"))
    kinds = set(re.findall(r'(?:Problem|document)\(\s*\d{3},\s*(?:"|[^"\n]*, ")([a-z-]+)"', sources)) | {"invalid"}
    assert len(kinds) > 10
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()
