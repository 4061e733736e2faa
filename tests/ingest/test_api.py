"""What callers of the API get."""

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest

from shared.context import Offer, Voice
from shared.messages import Head, Progress, StreamStarted, Utterance
from tests.ingest.conftest import MemoryBus, Open

URL = "https://example.com/live/master.m3u8"


async def start(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/v1/streams", json={"url": URL, "languages": ["es"], **fields})


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == f"urn:dragoman:problem:{kind}"
    assert body["detail"]
    return body


async def test_a_start_posts_the_record_with_its_message(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    response = await start(client, languages=["es", "gl"], glossary=[{"term": "Redis", "keep": True}])
    assert response.status_code == 201
    stream = response.json()["id"]
    assert response.headers["location"] == f"/v1/streams/{stream}"
    assert bus.posted == [StreamStarted(stream=stream, until=0.0)]
    record = bus.found[stream][1]
    assert (record.languages, record.subtitled) == (("es", "gl"), ("gl",))
    assert (record.delay, record.longest, record.profile) == (12.0, 8.0, "balanced")
    assert record.glossary[0].keep
    assert response.json()["links"]["playlist"] == f"/hls/{stream}/master.m3u8"


async def test_the_same_url_joins_with_the_union_of_languages(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    first = await start(client)
    again = await start(client, url="HTTPS://Example.com:443/live/master.m3u8#now", languages=["ca", "es"])
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.json()["languages"] == ["es", "ca"]
    assert len(bus.posted) == 1


async def test_a_voice_that_comes_later_turns_subtitles_into_a_dub(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = (await start(client, languages=["gl"])).json()
    assert stream["subtitled"] == ["gl"]
    voice = Voice(name="gl+f1", language="gl", gender="f", pace=160)
    bus.offered["voice"] = [*bus.offered["voice"], Offer(voices=(voice,))]
    assert (await start(client, languages=["gl"])).json()["subtitled"] == []
    bus.offered["voice"] = []
    assert (await start(client, languages=["es"])).json()["subtitled"] == ["es"]


async def test_voices_that_are_announced_a_little_later_are_waited_for(
    client: httpx.AsyncClient, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced = [bus.offered, {"translator": bus.offered["translator"]}]

    async def offers() -> dict[str, list[Offer]]:
        return announced.pop() if len(announced) > 1 else announced[0]

    monkeypatch.setattr(bus, "offers", offers)
    assert (await start(client)).json()["subtitled"] == []


async def test_two_starts_at_once_make_one_stream(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    responses = await asyncio.gather(*(start(client, languages=[language]) for language in ("es", "ca", "gl")))
    assert sorted(response.status_code for response in responses) == [200, 200, 201]
    (record,) = await bus.records()
    assert set(record.languages) == {"es", "ca", "gl"}


async def test_a_start_that_broke_off_is_taken_over(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    first = (await start(client)).json()["id"]
    del bus.found[first]
    again = await start(client)
    assert (again.status_code, again.json()["id"]) == (201, first)


@pytest.mark.parametrize("end", [{"state": "ended"}, {"state": "failed"}, {"ended_at": 1.0}])
async def test_a_stream_that_is_over_is_replaced(
    client: httpx.AsyncClient, bus: MemoryBus, end: dict[str, Any]
) -> None:
    first = (await start(client)).json()["id"]
    bus.amend(first, **end)
    again = await start(client)
    assert again.status_code == 201
    assert again.json()["id"] != first
    assert (await start(client)).json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("fields", "delay", "longest"),
    [
        ({"profile": "live"}, 8, 6),
        ({"profile": "quality"}, 16, 12),
        ({"delay": 5}, 5, 4.5),
        ({"delay": 12, "profile": "live"}, 12, 8),
        ({"delay": 120}, 120, 12),
    ],
)
async def test_profile_or_number_sets_delay_and_longest(
    client: httpx.AsyncClient, fields: dict[str, Any], delay: float, longest: float
) -> None:
    body = (await start(client, **fields)).json()
    assert (body["delay"], body["longest"]) == (delay, longest)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.m3u8",
        "http://10.0.0.1/a.m3u8",
        "http://metadata.internal/",
        "ftp://example.com/a",
        "http://user:secret@example.com/",
        "http://example.com:22/",
        "http://[::1/",
        "file:/etc/passwd",
        "file:../secret.mp4",
        "file:",
        "nonsense",
    ],
)
async def test_a_url_that_must_not_be_fetched_is_refused_at_once(served: Open, bus: MemoryBus, url: str) -> None:
    body = problem(await start(served(files="media"), url=url), 422, "url-refused")
    assert body["errors"][0]["pointer"] == "/url"
    assert not bus.found


async def test_a_file_and_an_allowed_inner_address_are_taken(served: Open) -> None:
    client = served(allow="127.0.0.1:8801", files="media")
    assert (await start(client, url="file:talks/monday.mp4")).status_code == 201
    assert (await start(client, url="http://127.0.0.1:8801/live.m3u8")).status_code == 201
    problem(await start(served(), url="file:talks/monday.mp4"), 422, "url-refused")


async def test_a_pair_that_nobody_serves_lists_the_pairs(client: httpx.AsyncClient) -> None:
    body = problem(await start(client, languages=["es", "de"]), 422, "pair-not-served")
    assert body["pairs"] == [["en", "ca"], ["en", "es"], ["en", "gl"]]
    assert "en to es" in body["detail"]


async def test_a_source_that_nobody_understands_is_refused(client: httpx.AsyncClient) -> None:
    problem(await start(client, source_language="de"), 422, "source-not-served")
    body = problem(await start(client, source_language="auto"), 422, "auto-not-served")
    assert body["spoken"] == ["en"]


async def test_auto_is_taken_where_an_engine_finds_out(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    bus.offered["asr"] = [Offer()]
    assert (await start(client, source_language="auto")).json()["source_language"] == "auto"


async def test_auto_decides_among_what_is_served_unless_told(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    bus.offered |= {"asr": [Offer()], "translator": [Offer(pairs=(("en", "es"), ("de", "es")))]}
    for number, (asked, decided) in enumerate(((None, ["de", "en"]), (["en-GB", "en"], ["en"]))):
        told = {} if asked is None else {"candidates": asked}
        body = (await start(client, url=f"{URL}?{number}", source_language="auto", **told)).json()
        assert (body["candidates"], list(bus.found[body["id"]][1].candidates)) == (decided, decided)
    assert (await start(client, candidates=["de"])).json()["candidates"] == []
    problem(await start(client, source_language="auto", candidates=["fr"]), 422, "source-not-served")


async def test_a_regional_tag_finds_its_language(client: httpx.AsyncClient) -> None:
    body = (await start(client, languages=["ES_mx"], source_language="en-US")).json()
    assert (body["languages"], body["source_language"]) == (["es"], "en")


async def test_without_a_translator_the_answer_says_to_wait(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    bus.offered = {}
    response = await start(client)
    assert "translator" in problem(response, 503, "no-translator")["detail"]
    assert response.headers["retry-after"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"delay": 1}, "/delay"),
        ({"delay": 121}, "/delay"),
        ({"languages": ["english please"]}, "/languages/0"),
        ({"languages": []}, "/languages"),
        ({"colour": "red"}, "/colour"),
        ({"profile": "fast"}, "/profile"),
        ({"ducking": 3}, "/ducking"),
        ({"ducking_attack": -0.1}, "/ducking_attack"),
        ({"ducking_release": 2.1}, "/ducking_release"),
        ({"ducking_hold": "long"}, "/ducking_hold"),
    ],
)
async def test_a_fault_in_the_body_names_its_place(
    client: httpx.AsyncClient, fields: dict[str, Any], pointer: str
) -> None:
    body = problem(await start(client, **fields), 422, "invalid")
    assert [fault["pointer"] for fault in body["errors"]] == [pointer]


async def test_bad_json_and_a_huge_body_are_problems(served: Open) -> None:
    client = served(body_limit=1000)
    sent = {"content-type": "application/json"}
    problem(await client.post("/v1/streams", content=b"{", headers=sent), 422, "invalid")
    problem(await client.post("/v1/streams", content=b" " * 1001, headers=sent), 413, "too-large")


async def test_a_fault_of_ours_is_a_problem_too(
    client: httpx.AsyncClient, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone() -> None:
        raise OSError("Redis is gone")

    monkeypatch.setattr(bus, "offers", gone)
    assert "Redis is gone" not in problem(await start(client), 500, "failed")["detail"]


async def test_unknown_paths_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    for response in (await client.get("/v1/nothing"), await client.put("/v1/streams")):
        assert response.headers["content-type"] == "application/problem+json"
        assert "/docs" in response.json()["detail"]


async def test_a_stream_is_shown_with_what_its_stages_say(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = (await start(client)).json()["id"]
    bus.amend(stream, state="running", segment=2.0)
    for head in (1.0, 2.0, 3.0):
        bus.tell("downloader", Head(stream=stream, until=head, head=head))
    assert (await client.get(f"/v1/streams/{stream}")).json()["status"]["head"] == 3.0
    bus.tell("downloader", Head(stream=stream, until=4.0, head=4.0))
    body = (await client.get(f"/v1/streams/{stream}")).json()
    assert (body["state"], body["status"]["state"], body["status"]["head"]) == ("running", "running", 4.0)
    assert (body["delay"], body["behind_live"]) == (12.0, 18.0)


async def test_streams_are_listed_newest_first_and_by_state(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    ids = [(await start(client, url=f"{URL}?{number}")).json()["id"] for number in range(3)]
    bus.amend(ids[0], state="failed", reason="no sound")
    listed = (await client.get("/v1/streams")).json()["streams"]
    assert [stream["id"] for stream in listed] == ids[::-1]
    failed = (await client.get("/v1/streams", params={"state": "failed"})).json()["streams"]
    assert [(stream["id"], stream["reason"]) for stream in failed] == [(ids[0], "no sound")]


@pytest.mark.parametrize("stream", ["nobody", "a:b", "{x}"])
async def test_a_stream_that_does_not_exist_is_not_found(client: httpx.AsyncClient, stream: str) -> None:
    for path in (f"/v1/streams/{stream}", f"/v1/streams/{stream}/events"):
        problem(await client.get(path), 404, "no-such-stream")
    problem(await client.delete(f"/v1/streams/{stream}"), 404, "no-such-stream")


async def test_a_patch_changes_languages_sound_terms_and_speakers(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = (await start(client)).json()["id"]
    change: dict[str, Any] = {
        "languages": {"add": ["gl", "ca"], "remove": ["es"]},
        "ducking": -20,
        "glossary": [{"term": "bus", "translations": {"ca": "bus"}}],
        "speakers": {"2": {"gender": "f", "voices": {"ca": "ca+m1"}}, "3": {"name": "Ann"}},
        "merged": {"4": "3", "3": "2"},
    }
    body = (await client.patch(f"/v1/streams/{stream}", json=change)).json()
    assert (body["languages"], body["subtitled"], body["ducking"]) == (["gl", "ca"], ["gl"], -20)
    assert body["merged"] == {"4": "2", "3": "2"}
    assert set(body["speakers"]) == {"2", "3"}
    body = (await client.patch(f"/v1/streams/{stream}", json={"speakers": {"3": None}})).json()
    assert set(body["speakers"]) == {"2"}
    assert bus.found[stream][1].glossary[0].term == "bus"


async def test_level_ramps_and_hold_of_ducking_are_set_at_the_start_and_changed_one_by_one(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    names = ("ducking", "ducking_attack", "ducking_release", "ducking_hold")
    assert [(await start(client)).json()[name] for name in names] == [-14.0, 0.15, 0.4, 0.8]
    asked = dict(zip(names, (-30.0, 0.0, 2.0, 1.5), strict=True))
    body = (await start(client, url=f"{URL}?own", **asked)).json()
    assert {name: body[name] for name in names} == asked
    path = f"/v1/streams/{body['id']}"
    for name, value in (("ducking_attack", 0.5), ("ducking_release", 0.0), ("ducking_hold", 0)):
        body = (await client.patch(path, json={name: value})).json()
        asked[name] = float(value)
        assert {name: body[name] for name in names} == asked
    record = bus.found[body["id"]][1]
    assert {name: getattr(record, name) for name in names} == asked
    fault = problem(await client.patch(path, json={"ducking_hold": 9}), 422, "invalid")["errors"][0]
    assert (fault["pointer"], "2" in fault["detail"]) == ("/ducking_hold", True)


async def test_a_patch_is_repeated_when_the_downloader_was_faster(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = (await start(client)).json()["id"]
    bus.rivals.append(lambda: bus.amend(stream, title="Evening news"))
    await client.patch(f"/v1/streams/{stream}", json={"ducking": -6})
    record = bus.found[stream][1]
    assert (record.title, record.ducking) == ("Evening news", -6)


async def test_a_patch_that_makes_no_sense_is_refused(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = (await start(client)).json()["id"]
    path = f"/v1/streams/{stream}"
    problem(await client.patch(path, json={"languages": {"remove": ["es"]}}), 422, "no-language")
    problem(await client.patch(path, json={"languages": {"add": ["de"]}}), 422, "pair-not-served")
    problem(await client.patch(path, json={"speakers": {"1": {"voices": {"es": "Bob"}}}}), 422, "voice-not-served")
    problem(await client.patch(path, json={"merged": {"1": "2", "2": "1"}}), 422, "invalid")
    bus.amend(stream, state="ended")
    problem(await client.patch(path, json={"ducking": -6}), 409, "stream-over")


async def test_a_stop_is_posted_once(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    stream = (await start(client)).json()["id"]
    for _ in range(2):
        response = await client.delete(f"/v1/streams/{stream}")
        assert (response.status_code, response.content) == (204, b"")
    assert bus.stopped == [stream]


async def test_languages_say_what_gets_a_dub(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/languages")).json()
    serves = {(pair["source"], pair["target"]): pair["serves"] for pair in body["pairs"]}
    assert serves == {("en", "es"): "dub", ("en", "ca"): "dub", ("en", "gl"): "subtitles"}
    assert [voice["name"] for pair in body["pairs"] for voice in pair["voices"] if pair["target"] == "es"] == [
        "es+f2",
        "es+m1",
    ]


async def test_events_are_sent_with_their_kind_and_go_on_after_the_last(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    stream = (await start(client)).json()["id"]
    said = Utterance(
        stream=stream, until=2.0, utterance="1", start=1.0, end=2.0, text="good\nday", words=(), spoken="en"
    )
    bus.tell("segmenter", Progress(stream=stream, until=1.0), said, Progress(stream=stream, until=3.0))
    bus.amend(stream, state="ended")
    path = f"/v1/streams/{stream}/events"
    events = [read(block) for block in (await client.get(path)).text.split("\n\n") if block]
    assert [(event["id"], event["event"]) for event in events] == [
        ("1", "progress"),
        ("2", "utterance"),
        ("3", "progress"),
    ]
    assert json.loads(events[1]["data"])["message"]["text"] == "good\nday"
    later = (await client.get(path, headers={"Last-Event-ID": "2"})).text
    assert later.count("event:") == 1
    only = (await client.get(path, params={"kinds": "utterance,clip"})).text
    assert only.count("event:") == only.count("event: utterance") == 1


def read(block: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in block.splitlines())


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def test_keys_open_the_door_to_ones_own_streams_only(served: Open) -> None:
    client = served(host="0.0.0.0", keys=f"ann={hashed('first')},bob={hashed('second')}")
    ann, bob = {"Authorization": "Bearer first"}, {"Authorization": "bearer second"}
    for wrong in ({}, {"Authorization": "Bearer third"}, {"Authorization": "Basic first"}):
        response = await client.get("/v1/streams", headers=wrong)
        problem(response, 401, "key-needed")
        assert response.headers["www-authenticate"] == "Bearer"
    body = {"url": URL, "languages": ["es"]}
    stream = (await client.post("/v1/streams", json=body, headers=ann)).json()["id"]
    assert (await client.get(f"/v1/streams/{stream}", headers=ann)).status_code == 200
    problem(await client.get(f"/v1/streams/{stream}", headers=bob), 404, "no-such-stream")
    problem(await client.delete(f"/v1/streams/{stream}", headers=bob), 404, "no-such-stream")
    assert (await client.get("/v1/streams", headers=bob)).json() == {"streams": []}
    other = await client.post("/v1/streams", json=body, headers=bob)
    assert (other.status_code, other.json()["id"] != stream) == (201, True)


async def test_every_call_is_refused_where_keys_are_needed_and_none_is_set(served: Open) -> None:
    problem(await served(require_key=True).get("/v1/languages"), 401, "key-needed")


async def test_the_openapi_document_names_problems(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert "application/problem+json" in paths["/v1/streams"]["post"]["responses"]["422"]["content"]
    assert set(paths["/v1/streams"]["post"]["responses"]) >= {"200", "201", "401", "413", "503"}
