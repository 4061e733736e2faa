"""Transcripts of long streams: whole, although the bus forgets, processes come and go, and several write at once."""

import asyncio
import random
from bisect import bisect_right

import httpx
import pytest
from obstore.store import MemoryStore

from services.ingest.chronicle import KEPT, Chronicler, before, said
from services.ingest.transcript import Transcript, srt, transcript, vtt
from shared.context import Event, Record
from shared.messages import AudioChunk, Clip, Message, Translation, Utterance, Wording
from shared.store import Store, open_store
from tests.ingest.conftest import MemoryBus

SENTENCES = 2100
RECORD = Record(stream="s", languages=("es",), state="running", live=True)


class Forgetful:
    """A bus that keeps the last events of a stream and no others, as Redis does."""

    def __init__(self) -> None:
        self.kept: list[Event] = []
        self.told = 0

    def tell(self, stage: str, message: Message) -> None:
        self.told += 1
        name = f"{1_700_000_000_000 + self.told // 3}-{self.told % 3}"
        self.kept.append(Event(id=name, at=1e9, stage=stage, lane="s", message=message))
        del self.kept[:-KEPT]

    def sentence(self, number: int) -> None:
        """Everything that is told of one sentence."""
        start, name, texts = 10.0 + 3 * number, str(number), (f"frase {number}", f"f {number}")
        times = {"stream": "s", "until": start, "utterance": name, "start": start}
        spoken = {**times, "end": start + 2, "text": f"sentence {number}", "words": (), "spoken": "en"}
        self.tell("downloader", AudioChunk(stream="s", until=start, start=start, end=start + 1, captured_at=0))
        self.tell("segmenter", Utterance.model_validate(spoken))
        self.tell("speaker", Utterance.model_validate({**spoken, "speaker": 1}))
        wordings = tuple(Wording(text=text) for text in texts)
        self.tell(
            "translator",
            Translation.model_validate({**spoken, "speaker": 1, "gender": "m", "language": "es", "wordings": wordings}),
        )
        played = {**times, "start": start + 0.5, "duration": 1.5, "rate": 1.0, "wording": 1, "voice": "v", "audio": "k"}
        self.tell("place", Clip.model_validate({**played, "language": "es"}))

    async def events(self, stream: str, after: str = "0") -> list[Event]:
        def order(name: str) -> tuple[int, int]:
            first, _, second = name.partition("-")
            return int(first), int(second or 0)

        return self.kept[(at := bisect_right(self.kept, order(after), key=lambda event: order(event.id))) : at + 1000]


def texts(found: Transcript) -> list[str]:
    return [cue.text for cue in found.cues]


async def test_a_transcript_of_ten_thousand_events_is_whole_in_each_form_whoever_writes_it() -> None:
    bus, store, chance = Forgetful(), Store(MemoryStore()), random.Random(3)
    replicas = [Chronicler(lambda: bus, store) for _ in range(2)]
    for number in range(SENTENCES):
        bus.sentence(number)
        if number % 50 == 0:
            await asyncio.gather(*(replica.note("s") for replica in replicas if chance.random() < 0.8))
        if number % 600 == 599:
            # One of them is killed, and another takes its place.
            replicas[chance.randrange(2)] = Chronicler(lambda: bus, store)
    assert bus.told > 10_000 > KEPT >= len(bus.kept)
    for language, text in (("en", "sentence {}"), ("es", "f {}")):
        found = transcript(RECORD, language, await Chronicler(lambda: bus, store).read("s"))
        assert texts(found) == [text.format(number) for number in range(SENTENCES)]
        assert found.since == 0.0
        assert Transcript.model_validate_json(found.model_dump_json()) == found
        assert srt(found).count("-->") == vtt(found).count("-->") == SENTENCES
        assert "NOTE" not in vtt(found)


async def test_what_nobody_wrote_down_is_admitted() -> None:
    bus, store = Forgetful(), Store(MemoryStore())
    chronicler = Chronicler(lambda: bus, store)
    for number in range(300):
        bus.sentence(number)
    await chronicler.note("s")
    # No ingest runs for longer than the bus remembers.
    for number in range(300, 1500):
        bus.sentence(number)
    later = Chronicler(lambda: bus, store)
    await later.note("s")
    for reader in (later, Chronicler(lambda: bus, store)):
        found = transcript(RECORD, "en", await reader.read("s"))
        assert texts(found)[:300] == [f"sentence {number}" for number in range(300)]
        assert texts(found)[-700:] == [f"sentence {number}" for number in range(800, 1500)]
        assert found.since == pytest.approx(10 + 3 * 700, abs=9)


async def test_the_rest_is_written_when_a_stream_is_over_and_goes_with_the_stream() -> None:
    bus, store = Forgetful(), Store(MemoryStore())
    chronicler = Chronicler(lambda: bus, store)
    bus.sentence(0)
    await chronicler.note("s")
    bus.sentence(1)
    for _ in range(3):
        await chronicler.note("s", over=True)
    bus.kept.clear()
    assert texts(transcript(RECORD, "en", await Chronicler(lambda: bus, store).read("s"))) == [
        "sentence 0",
        "sentence 1",
    ]
    await store.put("s/video-0.m4s", b"kept")
    await chronicler.forget({"s"})
    assert len(await store.names("s")) == 2
    await chronicler.forget(set())
    assert await store.names("s") == ["s/video-0.m4s"]


async def test_a_stream_goes_with_its_record_whoever_wrote_it_down() -> None:
    bus, store = Forgetful(), Store(MemoryStore())
    writer = Chronicler(lambda: bus, store)
    bus.sentence(0)
    await writer.note("s")
    await writer.note("s", over=True)
    assert await store.names("s")
    restarted = Chronicler(lambda: bus, store)
    await restarted.note("s", over=True)
    await restarted.forget(set())
    assert not await store.names("s")


async def test_a_store_that_is_full_loses_nothing_that_was_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(self: Store, key: str, data: bytes) -> str:
        raise OSError("the store refused it")

    bus, store = Forgetful(), Store(MemoryStore())
    chronicler = Chronicler(lambda: bus, store)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", full)
        for number in range(1000):
            bus.sentence(number)
            if number % 100 == 0:
                await chronicler.note("s")
    await chronicler.note("s")
    assert "a transcript cannot be stored" in caplog.text
    assert "sentence" not in caplog.text
    assert len(texts(transcript(RECORD, "en", await chronicler.read("s")))) == 1000


async def test_the_api_serves_what_was_written_down(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    body = {"url": "https://example.com/live/long.m3u8", "languages": ["es"]}
    stream = (await client.post("/v1/streams", json=body)).json()["id"]
    told = Forgetful()
    told.sentence(0)
    await open_store("memory://").put(f"{stream}/transcript/0.json", said(told.kept).model_dump_json().encode())
    found = await client.get(f"/v1/streams/{stream}/transcript?format=srt&language=es")
    assert found.text == "1\n00:00:10,500 --> 00:00:12,000\nf 0\n"


@pytest.mark.parametrize(("name", "earlier"), [("7-3", "7-2"), ("7-0", f"6-{2**64 - 1}"), ("7", f"6-{2**64 - 1}")])
def test_an_event_is_the_next_behind_what_is_before_it(name: str, earlier: str) -> None:
    assert before(name) == earlier
