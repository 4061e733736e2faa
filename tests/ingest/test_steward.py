"""Ends that are noted, minutes that run out, and delays that change in a pause."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore
from prometheus_client import CollectorRegistry

from services.ingest import streams
from services.ingest.chronicle import Chronicler
from services.ingest.door import Door
from services.ingest.limits import Quota
from services.ingest.pause import suits
from services.ingest.steward import Steward
from services.ingest.usage import Usage
from shared.context import Event, Record
from shared.messages import Clip, Head, Message, Progress, Sealed, Translation, Utterance, Wording
from shared.store import Store
from tests.ingest.conftest import MemoryBus

NOW = 2_000_000_000.0
LIVE = Record(
    stream="s", tenant="ann", state="running", live=True, segment=2.0, languages=("es",), created_at=NOW - 600
)


class House:
    """A steward over a bus in memory, at a time that a test sets."""

    def __init__(self, bus: MemoryBus, **quota: int) -> None:
        self.bus, self.now, self.registry = bus, NOW, CollectorRegistry()
        self.door = Door(lambda: bus, lambda _: None, lambda: self.now, Quota(**quota))
        self.chronicler = Chronicler(lambda: bus, Store(MemoryStore()))
        self.steward = Steward(self.door, lambda: bus, Usage(self.registry), lambda: self.now, self.chronicler)

    def record(self) -> Record:
        return self.bus.found["s"][1]


async def test_the_end_of_a_stream_is_noted_once_and_its_minutes_stand_still(bus: MemoryBus) -> None:
    house = House(bus)
    bus.put(LIVE.model_copy(update={"state": "failed"}))
    await house.steward.look()
    assert house.record().ended_at == NOW
    version = bus.found["s"][0]
    house.now += 300
    await house.steward.look()
    assert bus.found["s"][0] == version
    assert house.registry.get_sample_value("ingest_minutes", {"tenant": "ann"}) == pytest.approx(10.0)
    assert house.registry.get_sample_value("ingest_streams", {"tenant": "ann"}) == 0


async def test_streams_are_ended_when_the_minutes_of_their_owner_are_used_up(bus: MemoryBus) -> None:
    house = House(bus, minutes=11)
    bus.put(LIVE)
    bus.put(LIVE.model_copy(update={"stream": "other", "tenant": "bob", "created_at": NOW}))
    await house.steward.look()
    assert bus.stopped == []
    house.now += 61
    await house.steward.look()
    await house.steward.look()
    assert bus.stopped == ["s"]
    assert house.record().reason == streams.SPENT
    assert not streams.running(house.record())


@given(st.floats(0, 3e5), st.floats(0, 3e5), st.floats(0, 3e5))
def test_minutes_are_those_of_the_last_day_and_never_more(start: float, length: float, later: float) -> None:
    record = Record(created_at=NOW + start, ended_at=NOW + start + length if length else 0.0)
    now = NOW + start + later
    used = streams.minutes(record, now)
    assert 0 <= used <= min(24 * 60, later / 60) + 1e-6
    if later <= streams.DAY:
        assert used == pytest.approx(min(later, length or later) / 60, abs=1e-6)


def told(*messages: tuple[str, Message]) -> list[Event]:
    return [
        Event(id=str(number), at=NOW, stage=stage, lane="s", message=message)
        for number, (stage, message) in enumerate(messages, 1)
    ]


def sealed(end: float) -> tuple[str, Message]:
    ticks = round((end - 2) * 90_000)
    return "sender", Sealed(
        stream="s", until=end, number=1, start=ticks, duration=180_000, date=0, objects={}, inits={}
    )


def said(start: float, end: float) -> tuple[str, Message]:
    return "speaker", Utterance(
        stream="s", until=end, utterance=f"{start}", start=start, end=end, text="x", words=(), spoken="en"
    )


def translated(start: float) -> tuple[str, Message]:
    return "translator", Translation(
        stream="s", until=0, language="es", utterance=f"{start}", start=start, end=start + 2, speaker=None, gender=None,
        wordings=(Wording(text="x"),),
    )  # fmt: skip


def placed(start: float) -> tuple[str, Message]:
    return "place", Clip(
        stream="s", until=0, language="es", utterance=f"{start}", start=start, duration=2, rate=1, wording=0, voice="v",
        audio="k",
    )  # fmt: skip


HEAD = ("downloader", Head(stream="s", until=112.0, head=112.0))
HEARD = ("speaker", Progress(stream="s", until=110.0))


@pytest.mark.parametrize(
    ("wanted", "messages", "waited", "expected"),
    [
        (16.0, [said(95, 99)], 0, True),
        (16.0, [said(95, 99.8)], 0, False),
        (16.0, [said(95, 99.8)], 31, True),
        (16.0, [said(95, 101), placed(98.5)], 31, False),
        (16.0, [said(95, 101)], 61, True),
        (8.0, [said(101, 103), translated(101), placed(101)], 0, True),
        (8.0, [said(101, 103), translated(101)], 0, False),
        (8.0, [said(105, 107), translated(105)], 0, True),
    ],
)
def test_a_delay_changes_in_a_pause_with_nothing_on_its_way(
    wanted: float, messages: list[tuple[str, Message]], waited: float, expected: bool
) -> None:
    assert suits(LIVE, wanted, told(HEAD, HEARD, sealed(100), *messages), waited) is expected


def test_where_nothing_is_published_or_nothing_is_live_there_is_nothing_to_wait_for() -> None:
    speaking = told(HEAD, said(95, 105))
    assert suits(LIVE, 16.0, speaking, 0)
    file = LIVE.model_copy(update={"live": False})
    assert suits(file, 16.0, [*speaking, *told(sealed(100))], 0)


def test_a_shorter_delay_waits_for_what_is_not_heard_yet() -> None:
    deaf = ("speaker", Progress(stream="s", until=101.0))
    assert not suits(LIVE, 8.0, told(HEAD, deaf, sealed(100)), 0)


async def test_a_wanted_delay_comes_into_force_in_the_pause(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(bus)
    bus.put(LIVE.model_copy(update={"next_delay": 15.0}))
    speaking, silent = told(HEAD, sealed(100), said(98, 102)), told(HEAD, sealed(102), said(98, 101))
    events: list[list[Event]] = [silent, speaking]

    async def some(stream: str, after: str = "0") -> list[Event]:
        return [] if not after.endswith("-0") else events[-1]

    monkeypatch.setattr(bus, "events", some)
    await house.steward.look()
    await house.steward.change()
    assert (house.record().delay, house.record().next_delay) == (12.0, 15.0)
    events.pop()
    await house.steward.change()
    assert (house.record().delay, house.record().next_delay, house.record().longest) == (16.0, None, 12.0)
    await house.steward.change()
    assert house.steward._since == {}


async def test_a_delay_is_asked_for_by_patch_in_whole_segments(client: Any, bus: MemoryBus) -> None:
    body = {"url": "https://example.com/a.m3u8", "languages": ["es"]}
    stream = (await client.post("/v1/streams", json=body)).json()["id"]
    bus.amend(stream, segment=2.0, state="running")
    path = f"/v1/streams/{stream}"
    changed = (await client.patch(path, json={"delay": 14.5})).json()
    assert (changed["delay"], changed["next_delay"]) == (12.0, 16.0)
    assert (await client.patch(path, json={"delay": 12})).json()["next_delay"] is None
    assert (await client.patch(path, json={"delay": 1})).json()["errors"][0]["pointer"] == "/delay"


async def test_a_stream_without_voices_keeps_to_subtitles_until_somebody_wants_more(client: Any) -> None:
    body = {"url": "https://example.com/a.m3u8", "languages": ["es"], "subtitles_only": True}
    made = (await client.post("/v1/streams", json=body)).json()
    assert (made["subtitled"], made["subtitles_only"]) == (["es"], True)
    path = f"/v1/streams/{made['id']}"
    assert (await client.patch(path, json={"languages": {"add": ["ca"]}})).json()["subtitled"] == ["es", "ca"]
    assert (await client.patch(path, json={"subtitles_only": False})).json()["subtitled"] == []
    assert (await client.patch(path, json={"subtitles_only": True})).json()["subtitled"] == ["es", "ca"]
    joined = (await client.post("/v1/streams", json={**body, "subtitles_only": False})).json()
    assert (joined["id"], joined["subtitled"]) == (made["id"], [])


async def test_a_failed_stream_is_started_again_with_its_settings_and_new_speakers(client: Any, bus: MemoryBus) -> None:
    body = {
        "url": "https://example.com/a.m3u8", "languages": ["es", "ca"], "ducking": -20, "ducking_hold": 1.5,
        "faces": True, "listen": True, "glossary": [{"term": "Redis", "keep": True}],
    }  # fmt: skip
    first = (await client.post("/v1/streams", json=body)).json()["id"]
    runs = await client.post(f"/v1/streams/{first}/restart")
    assert (runs.status_code, runs.json()["type"]) == (409, "urn:dragoman:problem:stream-runs")
    await client.patch(f"/v1/streams/{first}", json={"speakers": {"1": {"name": "Ann"}}})
    bus.amend(first, state="failed", reason="The source is gone.", live=True, segment=2.0)
    again = await client.post(f"/v1/streams/{first}/restart")
    assert again.status_code == 201
    second = again.json()
    assert second["id"] != first
    kept = ("url", "languages", "ducking", "ducking_hold", "faces", "listen", "glossary", "delay", "longest")
    before = (await client.get(f"/v1/streams/{first}")).json()
    assert {name: second[name] for name in kept} == {name: before[name] for name in kept}
    assert (second["state"], second["reason"], second["speakers"]) == ("starting", "", {})
    other = await client.post(f"/v1/streams/{first}/restart")
    assert (other.status_code, other.json()["id"]) == (200, second["id"])
