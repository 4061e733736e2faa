import json
from typing import Any

import pytest

from services.sender.sights import Sights, beside
from shared.messages import Face, Faces, Sealed
from shared.store import Store, open_store
from tests.sender.source import segment
from tests.sender.test_service import STREAM, head, stage

ANA = Face(person=1, left=0.1, top=0.2, width=0.1, height=0.2)


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    open_store.cache_clear()


def seen(at: float, *faces: Face) -> Faces:
    return Faces(stream=STREAM, until=at, start=at, faces=faces)


def speaks(utterance: str, at: float, *faces: Face) -> Faces:
    return Faces(stream=STREAM, until=at, start=at, faces=faces, utterance=utterance)


def told(sights: Sights, start: float, end: float) -> Any:
    return json.loads(sights.told(start, end))


def test_a_segment_tells_who_is_seen_and_who_speaks() -> None:
    sights = Sights()
    for message in (seen(11.5, ANA), seen(12.5), seen(14.5, ANA), speaks("7", 12.2, ANA), speaks("8", 13.0)):
        sights.take(message)
    body = told(sights, 12.0, 14.0)
    assert [(each["at"], len(each["faces"])) for each in body["seen"]] == [(11.5, 1), (12.5, 0)]
    assert body["speaks"] == {"7": 1, "8": None}


def test_the_same_knowledge_gives_the_same_bytes_in_whatever_order_it_came() -> None:
    messages = [seen(11.5, ANA), seen(12.5), speaks("7", 12.2, ANA), speaks("8", 13.0)]
    one, other = Sights(), Sights()
    for message in messages:
        one.take(message)
    for message in reversed(messages):
        other.take(message)
    assert one.told(10.0, 14.0) == other.told(10.0, 14.0)


def test_what_is_past_is_forgotten_but_the_last_picture_holds() -> None:
    sights = Sights()
    for number in range(200):
        sights.take(seen(10.0 + number, ANA))
        sights.take(speaks(str(number), 10.0 + number, ANA))
    sights.publish(200.0)
    assert len(sights.shown) == 10
    assert len(sights.speaks) < 30
    assert told(sights, 200.0, 202.0)["seen"][0]["at"] == 200.0


async def test_a_row_names_its_object_and_a_second_try_changes_nothing() -> None:
    store: Store = open_store("memory://")
    row = Sealed(stream=STREAM, until=12.0, number=0, start=900_000, duration=180_000, date=0, objects={}, inits={})
    first, second = Sights(), Sights()
    for sights in (first, second):
        sights.take(seen(10.0, ANA))
    rows = [await beside(sights, row, store) for sights in (first, second)]
    assert rows[0] == rows[1]
    assert json.loads(await store.get(rows[0].objects["faces"]))["seen"][0]["faces"][0]["person"] == 1


async def test_a_stream_with_faces_lists_them_beside_its_renditions_and_not_in_the_menu() -> None:
    sender = stage(faces=True)
    for index in range(4):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(seen(10.5, ANA), speaks("0", 10.2, ANA), head(18.1))
    async with sender.http() as client:
        listed = (await client.get(f"/hls/{STREAM}/faces.m3u8")).text
        first = next(line for line in listed.splitlines() if line.endswith(".json"))
        answer = await client.get(f"/hls/{STREAM}/{first}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["speaks"] == {"0": 1}
        assert "faces" not in (await client.get(f"/hls/{STREAM}/master.m3u8")).text


async def test_a_stream_without_faces_has_nothing_of_them() -> None:
    sender = stage()
    for index in range(4):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(head(18.1))
    assert all("faces" not in row.objects for row in sender.rows)
    assert not [key for key in await sender.store.names(STREAM) if "faces" in key]
    async with sender.http() as client:
        assert (await client.get(f"/hls/{STREAM}/faces.m3u8")).status_code == 404
