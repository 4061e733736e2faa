"""Playback links through the API, and what viewers may know."""

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from services.ingest.service import Settings
from shared.links import Links
from shared.messages import Head, Utterance
from tests.ingest.conftest import MemoryBus, Open

SECRET = "a secret of more than sixteen characters"
BODY = {"url": "https://example.com/live/a.m3u8?token=hidden", "languages": ["es"]}


async def start(client: httpx.AsyncClient) -> str:
    return str((await client.post("/v1/streams", json=BODY)).json()["id"])


async def test_a_link_is_made_for_as_long_as_asked_and_opens_the_stream(served: Open) -> None:
    client = served(secret=SECRET)
    stream = await start(client)
    links = Links.parse(SECRET)
    assert links is not None
    for asked, seconds in ((None, 6 * 3600), ({"seconds": 120}, 120)):
        response = await client.post(f"/v1/streams/{stream}/links", json=asked)
        assert response.status_code == 201
        made = response.json()
        name = made["playlist"].split("/")[2]
        assert made["watch"] == f"/watch/{name}"
        opened = links.open(name, made["expires_at"] - 1)
        assert (opened.stream, opened.expires) == (stream, made["expires_at"])
        again = (await client.post(f"/v1/streams/{stream}/links", json={"seconds": 60})).json()
        assert again["expires_at"] - made["expires_at"] == pytest.approx(60 - seconds, abs=2)


@pytest.mark.parametrize("seconds", [0, 59, 31 * 86_400 + 1, "long"])
async def test_a_link_for_no_time_or_for_ever_is_refused(served: Open, seconds: Any) -> None:
    client = served(secret=SECRET)
    response = await client.post(f"/v1/streams/{await start(client)}/links", json={"seconds": seconds})
    assert response.json()["errors"][0]["pointer"] == "/seconds"


async def test_without_a_secret_the_answer_says_which_to_set(client: httpx.AsyncClient) -> None:
    response = await client.post(f"/v1/streams/{await start(client)}/links")
    assert (response.status_code, response.json()["type"]) == (409, "urn:dragoman:problem:links-off")
    assert "PLAYBACK_SECRET" in response.json()["detail"]


def test_a_short_secret_stops_the_process_and_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(secret="hunter2")
    assert "hunter2" not in str(caught.value)
    assert SECRET not in repr(Settings(secret=SECRET))


async def test_viewers_see_names_and_languages_but_not_the_source(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = await start(client)
    await client.patch(f"/v1/streams/{stream}", json={"speakers": {"1": {"name": "Ann", "gender": "f"}}})
    bus.amend(stream, title="Evening news", segment=2.0)
    response = await client.get(f"/v1/watch/{stream}")
    assert "hidden" not in response.text
    body = response.json()
    assert (body["title"], body["languages"], body["delay"], body["behind_live"]) == ("Evening news", ["es"], 12, 18)
    assert body["speakers"] == {"1": {"name": "Ann"}}
    assert (await client.get("/v1/watch/nobody")).status_code == 404


async def test_viewers_follow_what_is_said_and_nothing_else(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = await start(client)
    said = Utterance(stream=stream, until=2, utterance="1", start=1, end=2, text="good day", words=(), spoken="en")
    bus.tell("downloader", Head(stream=stream, until=2.0, head=2.0))
    bus.tell("speaker", said)
    bus.amend(stream, state="ended")
    for query, count in (("", 1), ("?kinds=utterance,head", 1), ("?kinds=head", 0)):
        text = (await client.get(f"/v1/watch/{stream}/events{query}")).text
        assert (text.count("event: utterance"), text.count("event: head")) == (count, 0)
