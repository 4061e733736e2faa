"""Who gets in, and what becomes of requests that mean harm."""

import asyncio
import hashlib
import json
import random
import string
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.clips import Clip
from tests.ingest.conftest import MemoryBus, Open

KEYS = ",".join(
    f"{owner}={hashlib.sha256(key.encode()).hexdigest()}"
    for owner, key in (("ann", "ann"), ("bob", "bob"), ("ann:read", "looks"))
)
SECRET = "a secret of more than sixteen characters"
BODY = {"url": "https://example.com/live/a.m3u8", "languages": ["es"]}
ROUTES = {
    ("POST", "/v1/streams"): (200, 201, 403),
    ("GET", "/v1/streams"): (200, 200, 200),
    ("GET", "/v1/streams/{stream}"): (200, 404, 200),
    ("PATCH", "/v1/streams/{stream}"): (200, 404, 403),
    ("GET", "/v1/streams/{stream}/transcript"): (200, 404, 200),
    ("GET", "/v1/streams/{stream}/events"): (200, 404, 200),
    ("POST", "/v1/streams/{stream}/restart"): (409, 404, 403),
    ("POST", "/v1/streams/{stream}/links"): (201, 404, 403),
    ("GET", "/v1/languages"): (200, 200, 200),
    ("GET", "/v1/usage"): (200, 200, 200),
    ("DELETE", "/v1/streams/{stream}"): (204, 404, 403),
    ("POST", "/v1/clips"): (202, 202, 403),
    ("GET", "/v1/clips/{clip}"): (200, 404, 200),
    ("DELETE", "/v1/clips/{clip}"): (204, 404, 403),
}
"""Every route that needs a key, with what its owner gets, another tenant, and a key of the owner that only reads."""
LINKED = {("GET", "/v1/watch/{link}"), ("GET", "/v1/watch/{link}/events")}
"""Routes that a playback link opens."""
NAMED = ("GET", "/v1/clips/{clip}/{name}")
"""The route that the random name of a clip opens."""


@pytest.fixture(autouse=True)
def _clips_that_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a program that does nothing in the place of the one that dubs clips."""
    monkeypatch.setattr("services.ingest.clips.program", lambda clip: ("sleep", "60"))


async def ask(client: httpx.AsyncClient, method: str, path: str, names: dict[str, str], key: str) -> int:
    posted = {"/v1/streams": BODY, "/v1/clips": BODY}
    body = posted.get(path) if method == "POST" else {"PATCH": {"ducking": -10}}.get(method)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return (await client.request(method, path.format(**names), json=body, headers=headers)).status_code


async def test_the_matrix_has_every_route(served: Open) -> None:
    paths = (await served(clips=1).get("/openapi.json")).json()["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert found == set(ROUTES) | LINKED | {NAMED}


async def test_no_clip_is_taken_unless_the_operator_allows_it(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/clips", json=BODY)).status_code == 404


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_route_opens_for_its_owner_alone(served: Open, bus: MemoryBus, method: str, path: str) -> None:
    client = served(keys=KEYS, require_key=True, secret=SECRET, clips=1)
    ann = {"Authorization": "Bearer ann"}
    stream = (await client.post("/v1/streams", json=BODY, headers=ann)).json()["id"]
    names = {"stream": stream, "clip": (await client.post("/v1/clips", json=BODY, headers=ann)).json()["id"]}
    if path.endswith("/events"):
        bus.amend(stream, state="ended")
    own, others, reading = ROUTES[method, path]
    before = bus.found[stream]
    for key, status in (("", 401), ("wrong", 401), ("bob", others), ("looks", reading)):
        assert await ask(client, method, path, names, key) == status, key
    assert bus.found[stream] == before
    assert await ask(client, method, path, names, "ann") == own


async def test_a_file_of_a_clip_opens_for_who_knows_its_name(
    served: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(clip: Clip) -> tuple[str, ...]:
        return ("touch", str(clip.folder / "clip.mp4"), str(clip.folder / "clip.es.srt"), str(clip.folder / "notes"))

    monkeypatch.setattr("services.ingest.clips.program", written)
    client = served(keys=KEYS, require_key=True, clips=1)
    ann = {"Authorization": "Bearer ann"}
    clip = (await client.post("/v1/clips", content=b"OggS", headers=ann)).json()["id"]
    async with asyncio.timeout(20):
        while (await client.get(f"/v1/clips/{clip}", headers=ann)).json()["state"] != "done":
            await asyncio.sleep(0)
    for name, status in (("clip.mp4", 200), ("clip.es.srt", 200), ("notes", 404), ("source", 404), ("%2e%2e", 404)):
        answer = await client.get(f"/v1/clips/{clip}/{name}")
        assert answer.status_code == status, name
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await client.get(f"/v1/clips/{'0' * 32}/clip.mp4")).status_code == 404


@pytest.mark.parametrize(("method", "path"), sorted(LINKED))
async def test_a_watched_route_opens_for_a_link_alone_and_shows_no_source(
    served: Open, bus: MemoryBus, method: str, path: str
) -> None:
    client = served(keys=KEYS, require_key=True, require_link=True, secret=SECRET)
    ann = {"Authorization": "Bearer ann"}
    stream = (await client.post("/v1/streams", json=BODY, headers=ann)).json()["id"]
    link = (await client.post(f"/v1/streams/{stream}/links", headers=ann)).json()["watch"].removeprefix("/watch/")
    bus.amend(stream, state="ended")
    name, expires, signature = link.split("~")
    forged = [stream, f"{name}~{int(expires) + 9}~{signature}", f"other~{expires}~{signature}", f"{name}~1~{signature}"]
    for wrong in forged:
        response = await client.request(method, path.format(link=wrong), headers=ann)
        assert (response.status_code, response.json()["type"]) == (403, "urn:dragoman:problem:link-refused")
    response = await client.request(method, path.format(link=link))
    assert response.status_code == 200
    assert "example.com" not in response.text


def malice(count: int) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Requests that no honest client sends: method, path, headers, body."""
    chance = random.Random(5)
    paths = ["/v1/streams", "/v1/languages", "/v1/usage", "/metrics/../v1/streams"]
    names = [
        "..",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%00",
        "a" * 5000,
        "{x}",
        "*",
        "%0d%0aSet-Cookie:a",
        "ev:s",
        "%ff",
        "💥",
    ]
    ends = ("", "/events", "/transcript", "/restart", "/links")
    paths += [f"/v1/streams/{name}{end}" for name in names for end in ends]
    paths += ["/v1/clips", "/v1/clips?to=../..&from=%00&burn=%ff", "/v1/clips?to=" + "es," * 300]
    paths += [f"/v1/clips/{name}{end}" for name in names for end in ("", "/clip.mp4", "/..%2fsource", "/source")]
    paths += [f"/v1/watch/{name}{end}" for name in (*names, "a~9~b", "~~", "a~1~" + "x" * 22) for end in ends[:2]]
    bodies = [
        b"", b"{", b"null",  b"[]", b"\xff\xfe", b"[" * 20_000, b'{"url":' * 2000, b"1e999", b"NaN", b"0" * 70_000,
        b'{"url":"\\ud800","languages":["es"]}', b'{"url":"https://example.com/\\u0000","languages":["es"]}',
        b'{"url":"http://169.254.169.254/","languages":["es"]}', b'{"url":"http://[::1]:99999/","languages":["es"]}',
        b'{"url":"https://example.com/a","languages":["es"],"delay":1e400}',
        b'{"url":"https://example.com/a","languages":["es"],"glossary":[{"term":"\\udfff"}]}',
        b'{"url":"https://example.com:0x50/","languages":["es"],"ducking":NaN}',
        json.dumps({**BODY, "url": "https://example.com/" + "a" * 3000}).encode(),
        json.dumps({**BODY, "speakers": {"1": 1}}).encode(), b'{"seconds":-1}', b'{"seconds":1e99}',
        b'{"url":"file:///etc/passwd","languages":["es"]}',
        b"\x89PNG\r\n", b"#!/bin/sh\nid", b"#EXTM3U\nfile:///etc/passwd",
        json.dumps({"merged": {str(n): str(n + 1) for n in range(250)}}).encode(),
    ]  # fmt: skip
    types = [
        "application/json",
        "video/mp4",
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/json; charset=x",
    ]
    keys = ["", "Bearer", "Bearer " + "a" * 4000, "Basic YTpi", "Bearer \u00ff", "Bearer null"]
    made = []
    for _ in range(count):
        noise = "".join(chance.choices(string.printable.strip(), k=chance.randrange(8)))
        path = chance.choice(paths) + chance.choice(
            ["", f"?state={noise[:0]}x", "?format=exe", "?language=%00", "?kinds=%ff"]
        )
        headers = {"content-type": chance.choice(types), "authorization": chance.choice(keys)}
        if chance.random() < 0.3:
            headers["last-event-id"] = chance.choice(["-1", "9" * 40, "0-0-0", "$", ">", "x"])
        made.append(
            (chance.choice(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"]), path, headers, chance.choice(bodies))
        )
    return made


@pytest.mark.parametrize("closed", [True, False])
async def test_a_thousand_hostile_requests_meet_no_fault_and_start_nothing(
    served: Open, bus: MemoryBus, closed: bool
) -> None:
    client = served(
        keys=KEYS, require_key=closed, require_link=closed, secret=SECRET, rate=0, body_limit=65_536, clips=1
    )
    answers: dict[int, int] = {}
    for method, path, headers, body in malice(700):
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        response = await client.request(method, path, headers=raw, content=body)
        answers[response.status_code] = answers.get(response.status_code, 0) + 1
        assert response.status_code < 500, (method, path, headers, body[:80])
    assert bus.posted == []
    assert not answers.keys() & {201, 202}
    assert not closed or 200 not in answers


text = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)
scalar = st.none() | st.booleans() | st.integers() | st.floats() | text
anything = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=6
)


def drawn(schema: dict[str, Any], known: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a JSON schema as our OpenAPI document has them; lengths and patterns are only sometimes kept."""
    if "$ref" in schema:
        return st.deferred(lambda: drawn(known[schema["$ref"].rpartition("/")[2]], known))
    if "anyOf" in schema:
        return st.one_of([drawn(one, known) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    low, high = schema.get("minimum", -1000), schema.get("maximum", 1000)
    match schema.get("type"):
        case "object" if "properties" in schema:
            needed = schema.get("required", [])
            fields = {name: drawn(one, known) for name, one in schema["properties"].items()}
            optional = {name: one for name, one in fields.items() if name not in needed}
            return st.fixed_dictionaries({name: fields[name] for name in needed}, optional=optional)
        case "object":
            values = drawn(schema.get("additionalProperties") or {}, known)
            return st.dictionaries(st.sampled_from(["0", "1", "2", "es", "x"]) | text, values, max_size=3)
        case "array":
            return st.lists(drawn(schema.get("items") or {}, known), min_size=schema.get("minItems", 0), max_size=4)
        case "string":
            examples = schema.get("examples", [])
            good = ["es", "ca", "gl", "en", "de", "auto", "es+m1", "https://example.com/a", "file:a", *examples]
            return st.sampled_from(good) | text
        case "number":
            return st.floats(low, high)
        case "integer":
            return st.integers(low, high)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return anything


@pytest.mark.parametrize("method", ["post", "patch"])
async def test_every_answer_to_a_body_is_documented_and_none_is_a_fault(
    served: Open, bus: MemoryBus, method: str
) -> None:
    client = served(rate=0)
    document = (await client.get("/openapi.json")).json()
    stream = (await client.post("/v1/streams", json=BODY)).json()["id"]
    path = "/v1/streams" if method == "post" else "/v1/streams/{stream}"
    operation = document["paths"][path][method]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    seen: set[int] = set()

    async def send(body: object) -> None:
        bus.amend(stream, state="running", reason="")
        content = json.dumps(body).encode()
        response = await client.request(
            method, path.format(stream=stream), content=content, headers={"content-type": "application/json"}
        )
        seen.add(response.status_code)
        assert response.status_code < 500, (body, response.text)
        assert str(response.status_code) in operation["responses"], (body, response.text)

    bodies: list[object] = []

    @settings(max_examples=120, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn(schema, document["components"]["schemas"]) | anything)
    def collect(body: object) -> None:
        bodies.append(body)

    collect()
    for body in bodies:
        await send(body)
    assert 422 in seen
    assert seen & {200, 201}
