"""Quotas, rates, keys that only look, and a mesh that is behind."""

import hashlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, generate_latest
from pydantic import ValidationError

from services.ingest.limits import Rate
from services.ingest.load import behind, overload
from services.ingest.service import Settings
from shared.context import Event, Offer, Record
from shared.messages import Head, Message, Progress
from tests.ingest.conftest import MemoryBus, Open

URL = "https://example.com/live/{}.m3u8"
KEYS = ",".join(
    f"{owner}={hashlib.sha256(key.encode()).hexdigest()}"
    for owner, key in (("ann", "first"), ("ann:read", "look"), ("bob", "second"))
)


async def start(client: httpx.AsyncClient, number: int, *languages: str, key: str = "first") -> httpx.Response:
    body = {"url": URL.format(number), "languages": languages or ("es",)}
    return await client.post("/v1/streams", json=body, headers={"Authorization": f"Bearer {key}"})


def kind(response: httpx.Response) -> str:
    return str(response.json()["type"]).removeprefix("urn:dragoman:problem:")


async def test_a_stream_too_many_is_refused_until_one_ends(served: Open) -> None:
    client = served(keys=KEYS, require_key=True, quota_streams=2)
    ids = [(await start(client, number)).json()["id"] for number in range(2)]
    refused = await start(client, 3)
    assert (refused.status_code, kind(refused)) == (429, "stream-quota")
    assert set(refused.json()["streams"]) == set(ids)
    assert (await start(client, 0, "ca")).status_code == 200
    assert (await start(client, 3, key="second")).status_code == 201
    await client.delete(f"/v1/streams/{ids[0]}", headers={"Authorization": "Bearer first"})
    assert (await start(client, 3)).status_code == 201


async def test_languages_are_counted_over_all_streams_of_a_tenant(served: Open) -> None:
    client = served(quota_languages=3)
    stream = (await start(client, 1, "es", "ca")).json()["id"]
    assert kind(await start(client, 2, "es", "ca")) == "language-quota"
    other = (await start(client, 2, "es")).json()["id"]
    added = await client.patch(f"/v1/streams/{other}", json={"languages": {"add": ["gl"]}})
    assert (added.status_code, kind(added)) == (429, "language-quota")
    assert kind(await start(client, 1, "gl")) == "language-quota"
    assert (await client.patch(f"/v1/streams/{other}", json={"ducking": -10})).status_code == 200
    swapped = {"languages": {"add": ["gl"], "remove": ["ca"]}}
    assert (await client.patch(f"/v1/streams/{stream}", json=swapped)).status_code == 200


async def test_usage_says_what_runs_and_what_may_run(served: Open) -> None:
    client = served(quota_streams=4)
    await start(client, 1, "es", "ca")
    assert (await client.get("/v1/usage")).json() == {
        "streams": 1,
        "most_streams": 4,
        "languages": 2,
        "most_languages": None,
        "minutes": pytest.approx(0.0, abs=0.5),
        "most_minutes": None,
        "requests_a_minute": 600.0,
    }


async def test_usage_is_counted_by_tenant_and_never_by_stream(served: Open) -> None:
    keys = f"cid={hashlib.sha256(b'first').hexdigest()}"
    client = served(keys=keys, require_key=True)
    stream = (await start(client, 1)).json()["id"]
    await start(client, 1)
    await start(client, 2, "de")
    for outcome in ("new", "joined", "pair-not-served"):
        assert REGISTRY.get_sample_value("ingest_starts_total", {"tenant": "cid", "outcome": outcome}) == 1.0
    assert REGISTRY.get_sample_value("ingest_requests_total", {"tenant": "cid"}) == 3.0
    assert stream not in generate_latest(REGISTRY).decode()


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(served: Open) -> None:
    client = served(keys=KEYS, require_key=True, rate=2)
    for _ in range(2):
        assert (await start(client, 1)).status_code in (200, 201)
    refused = await start(client, 1)
    assert (refused.status_code, kind(refused)) == (429, "too-many-requests")
    assert 0 < int(refused.headers["retry-after"]) <= 30
    assert (await start(client, 1, key="second")).status_code == 201


async def test_a_key_that_only_reads_changes_nothing(served: Open, bus: MemoryBus) -> None:
    client = served(keys=KEYS, require_key=True)
    stream = (await start(client, 1)).json()["id"]
    look = {"Authorization": "Bearer look"}
    assert (await client.get(f"/v1/streams/{stream}", headers=look)).status_code == 200
    assert kind(await start(client, 1, key="look")) == "key-only-reads"
    assert (await client.delete(f"/v1/streams/{stream}", headers=look)).status_code == 403
    assert bus.stopped == []


@pytest.mark.parametrize("entry", ["ann", "ann=12", f"ann:admin={'0' * 64}", f"={'0' * 64}", f"ann={'z' * 64}"])
def test_a_key_that_cannot_be_read_stops_the_process(entry: str) -> None:
    with pytest.raises(ValidationError):
        Settings(keys=entry)


@given(st.lists(st.floats(0, 200), max_size=60), st.integers(1, 20))
def test_no_minute_has_more_than_two_minutes_worth_of_requests(gaps: list[float], a_minute: int) -> None:
    rate, now, taken = Rate(a_minute), 0.0, []
    for gap in gaps:
        now += gap
        wait = rate.wait("k", now)
        if not wait:
            taken.append(now)
        elif gap < 1:
            assert rate.wait("k", now + wait + 0.001) == 0.0
            now += wait + 0.001
            taken.append(now)
    assert all(sum(at <= other < at + 60 for other in taken) <= 2 * a_minute for at in taken)


NOW = 2e9
LIVE = Record(stream="s", state="running", live=True, delay=12.0, created_at=NOW - 100)


def told(**until: float) -> list[Event]:
    said: list[tuple[str, Message]] = [("downloader", Head(stream="s", until=100.0, head=100.0))]
    said += [(stage, Progress(stream="s", until=value)) for stage, value in until.items()]
    return [
        Event(id=str(number), at=NOW, stage=stage, lane="s", message=message)
        for number, (stage, message) in enumerate(said, 1)
    ]


def test_a_stage_that_is_behind_is_named() -> None:
    assert (
        behind(LIVE, told(asr=98.0, translator=70.0), 1.5) == "translator is 30 s behind the head of a running stream"
    )
    assert behind(LIVE, told(asr=98.0, translator=90.0, sender=60.0), 1.5) == ""
    assert behind(LIVE, told(asr=98.0, translator=70.0), 3.0) == ""
    assert behind(LIVE, [], 1.5) == ""


@pytest.mark.parametrize(
    ("changes", "most", "refused"),
    [
        ({}, 1.5, True),
        ({}, 0.0, False),
        ({"live": False}, 1.5, False),
        ({"state": "ended"}, 1.5, False),
        ({"created_at": NOW - 10}, 1.5, False),
    ],
)
async def test_only_live_streams_in_step_tell_of_the_load(
    changes: dict[str, object], most: float, refused: bool
) -> None:
    class Bus:
        async def events(self, stream: str, after: str = "0") -> list[Event]:
            assert after == f"{round((NOW - 15) * 1000)}-0"
            return told(asr=50.0)

    assert bool(await overload(Bus(), [LIVE.model_copy(update=changes)], most, NOW)) == refused


async def test_no_new_stream_is_taken_while_a_stage_has_no_memory_in_any_replica(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    spoken = Offer(spoken=("en",))
    spent = spoken.model_copy(update={"full": "cuda has 0.1 of 24.0 GB of memory left"})
    bus.offered["asr"] = [spent, spoken]
    assert (await start(client, 1)).status_code == 201
    bus.offered["asr"] = [spent, spent]
    refused = await start(client, 2)
    assert (refused.status_code, kind(refused)) == (429, "overloaded")
    assert refused.headers["Retry-After"] == "60"
    assert "asr: cuda has 0.1 of 24.0 GB" in refused.json()["detail"]
    assert (await start(client, 1)).status_code == 200


async def test_no_new_stream_is_taken_while_the_mesh_is_behind(
    client: httpx.AsyncClient, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = (await start(client, 1)).json()["id"]
    bus.amend(stream, state="running", live=True, created_at=1.0)

    async def late(stream: str, after: str = "0") -> list[Event]:
        return told(asr=50.0)

    monkeypatch.setattr(bus, "events", late)
    refused = await start(client, 2)
    assert (refused.status_code, kind(refused)) == (429, "overloaded")
    assert "asr is 50 s behind" in refused.json()["detail"]
    assert (await start(client, 1, "ca")).status_code == 200
