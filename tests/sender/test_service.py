import json
import re
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from services.sender import publish
from services.sender.service import SenderState, Settings, create
from shared.audio import BASE, TICKS, VOICE, to_bytes
from shared.bus import Context, Service
from shared.context import Record, Row
from shared.messages import (
    Clip,
    End,
    Head,
    Message,
    Progress,
    Sealed,
    Translation,
    Utterance,
    Warned,
    Word,
    Wording,
)
from shared.store import Store, open_store
from tests.sender.source import decoded, pictures, segment

STREAM = "s1"


@dataclass
class FakeBus:
    entry: Record
    rows: list[Row] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)

    async def record(self, stream: str) -> tuple[str, Record] | None:
        return ("1", self.entry) if stream == self.entry.stream else None

    async def log(self, stream: str, after: int = -1) -> list[Row]:
        return [row for row in self.rows if row.number > after]

    async def want(self, stream: str, language: str) -> None:
        self.wanted.append(language)


class FakeContext:
    def __init__(self, bus: FakeBus) -> None:
        self.bus, self.record = bus, bus.entry

    async def amend(self, **changes: object) -> None:
        self.record = self.bus.entry = self.record.model_copy(update=changes)


class Stage:
    """The sender's handlers with the log that the bus would keep."""

    def __init__(self, record: Record, store: Store, service: Service) -> None:
        self.bus, self.store, self.service = FakeBus(record), store, service
        service.bus = cast(Any, self.bus)
        self.state = SenderState()
        self.warm = False
        """Whether one replica takes every turn; otherwise each is taken by another one."""
        self.out: list[Message] = []

    async def say(self, *messages: Message) -> None:
        for message in messages:
            context = cast(Context, FakeContext(self.bus))
            made = [each async for each in self.service.handle(message, self.state, context)]
            self.out += made
            for each in made:
                if isinstance(each, Sealed):
                    seams = (self.bus.rows[-1].seams if self.bus.rows else 0) + each.discontinuity
                    self.bus.rows.append(Row(number=each.number, sealed=each.until, seams=seams, body=each))
            if not self.warm:
                self.state = SenderState.model_validate_json(self.state.model_dump_json())

    @property
    def rows(self) -> list[Sealed]:
        return [row.body for row in self.bus.rows]

    def http(self) -> httpx.AsyncClient:
        app = FastAPI()
        assert self.service.router
        app.include_router(self.service.router)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def stage(**settings: object) -> Stage:
    record = Record(stream=STREAM, live=True, segment=2, delay=4.0, state="running", source_language="en")
    service = create(Settings(store="memory://", window=10, grace=10))
    return Stage(record.model_copy(update=settings), open_store("memory://"), service)


def head(time: float, ended: bool = False) -> Head:
    return Head(stream=STREAM, until=time, head=time, ended=ended)


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    open_store.cache_clear()


async def test_segments_are_published_when_the_head_is_a_delay_past_their_end() -> None:
    sender = stage()
    for index in range(4):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(head(15.9))
    assert sender.rows == []
    await sender.say(head(16.0))
    assert [row.number for row in sender.rows] == [0]
    await sender.say(head(18.1))
    assert [row.start for row in sender.rows] == [BASE, BASE + 2 * TICKS]
    assert sender.rows[0].objects["video"] == f"{STREAM}/v-{BASE}.m4s"
    assert sender.rows[0].objects["original"] == f"{STREAM}/o-{BASE}.m4s"
    assert [row.until for row in sender.rows] == [12.0, 14.0]


async def test_a_hole_becomes_a_slate_with_a_tag_on_both_sides_when_the_seal_must_pass_it() -> None:
    sender = stage()
    for index in (0, 1, 3):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(head(18.0))
    assert len(sender.rows) == 2
    await sender.say(head(22.0))
    assert [row.slate for row in sender.rows] == [False, False, True, False]
    assert [row.discontinuity for row in sender.rows] == [False, False, True, True]
    slate = sender.rows[2]
    get = sender.store.get
    assert pictures(await get(slate.inits["video"]), await get(slate.objects["video"])) == 20
    assert (
        np.abs(decoded(await get(slate.inits["original"]), await get(slate.objects["original"]))[:, 4096:]).max() < 0.01
    )


async def test_media_that_comes_after_its_seal_is_lost_and_counted() -> None:
    sender = stage()
    await sender.say(await segment(sender.store, STREAM, 0), head(18.0))
    await sender.say(await segment(sender.store, STREAM, 1))
    assert sender.state.timeline.late == 1
    assert [row.slate for row in sender.rows] == [False, True]


async def clip(sender: Stage, start: float, duration: float, until: float = 0.0) -> Clip:
    wave = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(round(duration * VOICE)) / VOICE)
    key = await sender.store.put(f"{STREAM}/clip-es-{round(start * TICKS)}-aa", to_bytes(wave.astype(np.float32)))
    return Clip(
        stream=STREAM,
        until=until,
        language="es",
        utterance="1",
        start=start,
        duration=duration,
        rate=1.0,
        wording=0,
        voice="v",
        audio=key,
    )


async def test_a_clip_is_heard_over_the_ducked_original_at_its_place() -> None:
    sender = stage(languages=("es", "gl"), subtitled=("gl",))
    for index in range(4):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(await clip(sender, 12.5, 1.0), head(18.0))
    assert set(sender.rows[0].objects) == {
        *("video", "original", "es", "es-clean", "captions-en", "captions-es", "captions-gl", "utterances")
    }
    row, get = sender.rows[1], sender.store.get
    clean = decoded(await get(row.inits["es-clean"]), await get(row.objects["es-clean"]))
    loud = np.flatnonzero(np.abs(clean[0]) > 0.05)
    assert abs(loud[0] - 0.5 * VOICE) < 1500
    assert abs(loud[-1] - 1.5 * VOICE) < 1500
    mixed = decoded(await get(row.inits["es"]), await get(row.objects["es"]))[0]
    spectrum = np.abs(np.fft.rfft(mixed[30000 : 30000 + VOICE // 2]))
    assert spectrum[500] > 10 * spectrum[220]


async def test_without_clips_all_languages_share_one_object() -> None:
    sender = stage(languages=("es", "ca"))
    await sender.say(await segment(sender.store, STREAM, 0), head(16.0))
    objects = sender.rows[0].objects
    assert objects["es"] == objects["ca"] != objects["es-clean"] == objects["ca-clean"]


async def test_a_late_clip_moves_to_the_seal_and_a_hopeless_one_is_dropped() -> None:
    sender = stage(languages=("es",))
    for index in range(8):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(head(22.0), await clip(sender, 15.0, 1.0), await clip(sender, 15.5, 1.0))
    assert [(c.start, c.end) for c in sender.state.timeline.clips] == [
        (18 * VOICE, 19 * VOICE),
        (19 * VOICE, 20 * VOICE),
    ]
    await sender.say(await clip(sender, 7.0, 1.0))
    assert (sender.state.timeline.moved, sender.state.timeline.dropped) == (2, 1)


async def test_the_same_turn_twice_gives_the_same_bytes() -> None:
    rows = []
    for _ in range(2):
        open_store.cache_clear()
        sender = stage(languages=("es",))
        for index in range(3):
            await sender.say(await segment(sender.store, STREAM, index))
        await sender.say(await clip(sender, 11.5, 2.0), head(18.0))
        rows.append(sender.rows)
    assert rows[0] == rows[1]


async def test_another_replica_that_starts_cold_gives_the_same_bytes() -> None:
    made = []
    for warm in (True, False):
        open_store.cache_clear()
        sender = stage(languages=("es", "ca"))
        sender.warm = warm
        for index in range(6):
            await sender.say(await segment(sender.store, STREAM, index))
        await sender.say(await clip(sender, 11.5, 3.0), head(16.0), head(18.0))
        await sender.say((await clip(sender, 14.7, 2.0)).model_copy(update={"language": "ca"}), head(24.0))
        bodies = {key: await sender.store.get(key) for row in sender.rows for key in row.objects.values()}
        made.append((sender.rows, bodies))
    assert len(made[0][0]) == 5
    assert made[0] == made[1]


async def test_captions_name_speaker_and_language_and_are_repeated_in_every_segment() -> None:
    sender = stage(languages=("es",))
    for index in range(3):
        await sender.say(await segment(sender.store, STREAM, index))
    said = {"stream": STREAM, "until": 0.0, "utterance": "1", "start": 11.0, "end": 13.0, "speaker": 1}
    await sender.say(Utterance(**said, text="Fish & chips", words=(), spoken="en"))
    wording = Wording(text="Pescado <frito>")
    await sender.say(Translation(**said, language="es", gender=None, wordings=(wording,)), head(18.0))
    for row in sender.rows:
        own = (await sender.store.get(row.objects["captions-en"])).decode()
        assert "00:00:11.000 --> 00:00:13.500\n<v Speaker 2><c.yellow>Fish &amp; chips</c>" in own
        assert "LOCAL:00:00:01.000,MPEGTS:90000\n" in own
        assert "Pescado &lt;frito&gt;" in (await sender.store.get(row.objects["captions-es"])).decode()


async def test_a_file_is_sealed_below_the_lowest_promise_and_whole_at_the_end() -> None:
    sender = stage(live=False, languages=("es", "ca"), record=True)
    for index in range(3):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(head(40.0), Progress(stream=STREAM, until=14.0, language="es"))
    assert sender.rows == []
    await sender.say(Progress(stream=STREAM, until=12.5, language="ca"), head(16.0, ended=True))
    assert len(sender.rows) == 1
    await sender.say(End(stream=STREAM, until=16.0, language="es"), End(stream=STREAM, until=16.0, language="ca"))
    assert len(sender.rows) == 3
    assert isinstance(sender.out[-1], End)
    final = (await sender.store.get(f"{STREAM}/original.m3u8")).decode()
    assert final.count("#EXTINF") == 3
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in final
    assert final.endswith("#EXT-X-ENDLIST\n")


async def test_a_live_stream_ends_with_the_head_and_lets_speech_finish_over_a_slate() -> None:
    sender = stage(languages=("es",))
    for index in range(2):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(await clip(sender, 13.0, 2.0), head(18.0, ended=True))
    assert [(row.start, row.duration) for row in sender.rows][-1] == (14 * TICKS, TICKS)
    assert sender.rows[-1].slate
    assert isinstance(sender.out[-1], End)
    await sender.say(await clip(sender, 15.0, 2.0), End(stream=STREAM, until=16.0, language="es"))
    assert isinstance(sender.out[-1], End)


async def test_sound_without_picture_gets_a_card_and_picture_without_sound_gets_silence() -> None:
    sender = stage()
    await sender.say(await segment(sender.store, STREAM, 0, picture=False))
    await sender.say(await segment(sender.store, STREAM, 1, sound=False), head(18.0))
    get = sender.store.get
    card, silent = sender.rows
    assert pictures(await get(card.inits["video"]), await get(card.objects["video"])) == 20
    assert not card.slate
    assert decoded(await get(silent.inits["original"]), await get(silent.objects["original"])).shape[1] >= 93 * 1024


async def test_adverts_become_slates_where_the_record_says_so() -> None:
    sender = stage(ads="slate")
    await sender.say(await segment(sender.store, STREAM, 0), await segment(sender.store, STREAM, 1, advert=True))
    await sender.say(await segment(sender.store, STREAM, 2), head(20.0))
    assert [(row.slate, row.advert) for row in sender.rows] == [(False, False), (True, True), (False, False)]


async def test_viewers_get_playlists_that_name_what_exists() -> None:
    sender = stage(languages=("es", "gl"), subtitled=("gl",))
    async with sender.http() as http:
        missing = await http.get(f"/hls/{STREAM}/master.m3u8")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
        for index in (0, 1, 3):
            await sender.say(await segment(sender.store, STREAM, index))
        await sender.say(head(22.0))
        master = await http.get(f"/hls/{STREAM}/master.m3u8")
        assert master.headers["access-control-allow-origin"] == "*"
        assert 'NAME="Español (AI voice-over)"' in master.text
        assert "RESOLUTION=160x90" in master.text
        for name in ("video.m3u8", *re.findall(r'URI="([^"]+)"', master.text)):
            found = await http.get(f"/hls/{STREAM}/{name}")
            assert found.headers["content-type"] == "application/vnd.apple.mpegurl"
            assert found.headers["cache-control"] == "no-cache"
            assert found.text.count("#EXT-X-DISCONTINUITY\n") == 2
            for line in re.findall(r'^[^#].+|URI="([^"]+)"', found.text, re.M):
                assert not line or (await http.get(f"/hls/{STREAM}/{line}")).status_code == 200
            again = await http.get(f"/hls/{STREAM}/{name}", headers={"If-None-Match": found.headers["etag"]})
            assert again.status_code == 304
        assert sender.bus.wanted == ["es", "gl"]
        assert (await http.get(f"/hls/{STREAM}/clip-es-900000-aa")).status_code == 404
        assert (await http.get("/hls/other/master.m3u8")).status_code == 404


async def test_old_objects_go_but_what_has_no_time_in_its_name_stays() -> None:
    sender = stage(segment=2, delay=2.0)
    for index in range(20):
        await sender.store.put(f"{STREAM}/v-{BASE + index * 2 * TICKS}.m4s", b"")
    await sender.store.put(f"{STREAM}/init-12345678.mp4", b"")
    await sender.say(await segment(sender.store, STREAM, 0))
    await sender.say(await segment(sender.store, STREAM, 19), head(BASE / TICKS + 42))
    names = await sender.store.names(STREAM)
    assert f"{STREAM}/v-{BASE}.m4s" not in names
    assert f"{STREAM}/init-12345678.mp4" in names
    assert f"{STREAM}/v-{BASE + 19 * 2 * TICKS}.m4s" in names


async def test_the_state_of_a_busy_stream_stays_small() -> None:
    sender = stage(languages=("es", "ca", "gl"), delay=12.0)
    said: dict[str, Any] = {"stream": STREAM, "until": 0.0, "speaker": 1}
    for index in range(8):
        await sender.say(await segment(sender.store, STREAM, index))
    for index in range(4):
        times = {"utterance": str(index), "start": 10.0 + 4 * index, "end": 14.0 + 4 * index}
        await sender.say(Utterance(**said, **times, text="word " * 16, words=(), spoken="en"))
        for language in ("es", "ca", "gl"):
            wording = Wording(text="palabra " * 16)
            await sender.say(Translation(**said, **times, language=language, gender=None, wordings=(wording,)))
        await sender.say(await clip(sender, 10.0 + 4 * index, 3.5))
    assert len(sender.state.model_dump_json()) < 11000


class Disk:
    """Stands in front of a store and takes nothing but what fits: a number of bytes in all."""

    def __init__(self, store: Store, patch: pytest.MonkeyPatch) -> None:
        self.store, self.size, self._put = store, 1 << 40, store.put
        self._sizes: dict[str, int] = {}
        patch.setattr(store, "put", self.put)

    async def used(self) -> int:
        keys = await self.store.names(STREAM)
        for key in set(keys) - set(self._sizes):
            self._sizes[key] = len(await self.store.get(key))
        return sum(self._sizes[key] for key in keys)

    async def put(self, key: str, data: bytes) -> str:
        if key not in await self.store.names(STREAM) and await self.used() + len(data) > self.size:
            raise OSError("full")
        return await self._put(key, data)


async def test_a_full_disk_stops_the_recording_and_never_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = stage(record=True, delay=2.0)
    source = [await segment(sender.store, STREAM, index) for index in range(20)]
    disk = Disk(sender.store, monkeypatch)
    for index, captured in enumerate(source):
        if index == 15:
            disk.size = await disk.used()
        await sender.say(captured, head(BASE / TICKS + 2 * index + 2))
    assert [row.number for row in sender.rows] == list(range(19))
    assert [each.warning for each in sender.out if isinstance(each, Warned)] == [
        "the store is full: the recording has stopped, the stream goes on"
    ]
    assert not sender.bus.entry.record
    assert "the recording has stopped" in sender.bus.entry.warnings[0]
    assert f"{STREAM}/v-{BASE}.m4s" not in await sender.store.names(STREAM)
    async with sender.http() as http:
        found = await http.get(f"/hls/{STREAM}/video.m3u8")
    assert "PLAYLIST-TYPE" not in found.text
    assert found.text.count("#EXTINF") == 5


async def test_speech_that_is_mixed_goes_before_a_recording_does(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = stage(record=True, delay=2.0, languages=("es",))
    source = [await segment(sender.store, STREAM, index) for index in range(12)]
    disk = Disk(sender.store, monkeypatch)
    for index, captured in enumerate(source):
        if index == 1:
            await sender.say(await clip(sender, 10.5, 2.0))
        if index == 11:
            disk.size = await disk.used()
        await sender.say(captured, head(BASE / TICKS + 2 * index + 2))
    assert [row.number for row in sender.rows] == list(range(11))
    assert [each.warning for each in sender.out if isinstance(each, Warned)] == [
        "the store is full: speech that is mixed already has been deleted"
    ]
    assert sender.bus.entry.record


async def test_a_stream_that_ends_on_a_full_disk_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = stage()
    await sender.say(await segment(sender.store, STREAM, 0), head(16.0))

    async def full(key: str, data: bytes) -> str:
        raise OSError("full")

    monkeypatch.setattr(sender.store, "replace", full)
    await sender.say(head(18.0, ended=True))
    assert [type(each).__name__ for each in sender.out] == ["Sealed", "Warned", "End"]


async def test_only_an_unrecorded_stream_is_noted_for_deletion_at_its_end() -> None:
    for record in (True, False):
        sender = stage(record=record)
        await sender.say(await segment(sender.store, STREAM, 0), head(16.0, ended=True))
        assert len(await sender.store.names("ended")) == (not record)


async def test_speech_that_the_end_would_cut_fades_out() -> None:
    sender = stage(languages=("es",))
    for index in range(2):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(await clip(sender, 13.0, 5.0), head(18.0, ended=True))
    last = sender.rows[-1]
    assert (last.start, last.duration) == (14 * TICKS, 2 * TICKS)
    heard = decoded(await sender.store.get(last.inits["es-clean"]), await sender.store.get(last.objects["es-clean"]))[0]
    loud = [float(np.abs(heard[round(at * VOICE) :][:2400]).max()) for at in (1.6, 1.75, 1.85, 1.94)]
    assert loud[0] > 0.25
    assert loud == sorted(loud, reverse=True)
    assert loud[-1] < 0.06


async def test_level_ramps_and_hold_of_ducking_are_the_streams_own() -> None:
    record = Record(ducking=-30.0, ducking_attack=0.5, ducking_release=1.5, ducking_hold=0.2)
    duck = publish.ducking(record)
    assert (duck.depth, duck.attack, duck.release, duck.bridge) == (-30.0, 0.5, 1.5, 0.2)
    spectra = []
    for ducking in (-40.0, 0.0):
        open_store.cache_clear()
        sender = stage(languages=("es",), ducking=ducking)
        for index in range(3):
            await sender.say(await segment(sender.store, STREAM, index))
        await sender.say(await clip(sender, 11.0, 4.0), head(18.0))
        row, get = sender.rows[1], sender.store.get
        mixed = decoded(await get(row.inits["es"]), await get(row.objects["es"]))[0]
        spectra.append(np.abs(np.fft.rfft(mixed[24000 : 24000 + VOICE // 2]))[220])
    assert spectra[1] > 10 * spectra[0]


async def test_ducking_that_is_changed_is_in_force_from_the_next_segment_on() -> None:
    sender = stage(languages=("es",), ducking=-40.0, ducking_attack=0.0, ducking_release=2.0)
    for index in range(4):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(await clip(sender, 10.5, 1.0), head(16.0))
    sender.bus.entry = sender.bus.entry.model_copy(update={"ducking_release": 0.0})
    await sender.say(head(18.0))
    sender.bus.entry = sender.bus.entry.model_copy(update={"ducking_release": 2.0})
    await sender.say(head(20.0))
    levels = []
    for row, at in zip(sender.rows, (72_000, 4_800, 4_800), strict=True):
        get, inits, objects = sender.store.get, row.inits, row.objects
        mixed, original = [decoded(await get(inits[key]), await get(objects[key]))[0] for key in ("es", "original")]
        heard, bed = (np.abs(np.fft.rfft(pcm[at : at + VOICE // 2]))[220] for pcm in (mixed, original))
        levels.append(heard / bed)
    assert levels[0] < 0.1
    assert levels[1:] == pytest.approx([1.0, 1.0], abs=0.05)


async def test_what_was_said_stands_beside_each_segment() -> None:
    sender = stage(languages=("es",))
    for index in range(4):
        await sender.say(await segment(sender.store, STREAM, index))
    said: dict[str, Any] = {"stream": STREAM, "until": 0.0, "utterance": "1", "start": 11.0, "end": 13.0, "speaker": 1}
    words = (Word(text="Fish", start=11.0, end=11.4, confidence=0.9),)
    await sender.say(Utterance(**said, text="Fish", words=words, spoken="en", gender="f"))
    wordings = (Wording(text="Mucho pescado"), Wording(text="Pescado", shorter=True))
    await sender.say(Translation(**said, language="es", gender="f", wordings=wordings))
    await sender.say((await clip(sender, 11.5, 1.0)).model_copy(update={"wording": 1}), head(20.0))
    told = [json.loads(await sender.store.get(row.objects["utterances"]))["utterances"] for row in sender.rows]
    assert [len(each) for each in told] == [1, 1, 0]
    assert told[0] == told[1]
    (only,) = told[0]
    assert only["words"] == [["Fish", 11.0, 11.4, 0.9]]
    assert (only["name"], only["speaker"], only["gender"], only["spoken"]) == ("Speaker 2", 1, "f", "en")
    dub = only["translations"]["es"]
    assert (dub["text"], dub["start"], dub["ear_voice"]) == ("Pescado", 11.5, 4.5)
    async with sender.http() as http:
        listed = await http.get(f"/hls/{STREAM}/utterances.m3u8")
        assert listed.text.count(".json") == 3
        name = listed.text.split()[-1]
        assert (await http.get(f"/hls/{STREAM}/{name}")).headers["content-type"] == "application/json"
        assert "utterances" not in (await http.get(f"/hls/{STREAM}/master.m3u8")).text


async def test_an_utterance_that_comes_after_its_seal_is_told_in_the_next_segment() -> None:
    sender = stage()
    for index in range(3):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(head(16.0))
    said: dict[str, Any] = {"stream": STREAM, "until": 0.0, "utterance": "1", "start": 10.2, "end": 11.0}
    await sender.say(Utterance(**said, text="Late", words=(), spoken="en"), head(20.0))
    told = [json.loads(await sender.store.get(row.objects["utterances"]))["utterances"] for row in sender.rows]
    assert [len(each) for each in told] == [0, 1, 0]


async def test_a_store_that_takes_nothing_is_told_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = stage()
    for index in range(2):
        await sender.say(await segment(sender.store, STREAM, index))

    async def full(key: str, data: bytes) -> str:
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(sender.store, "put", full)
        await sender.say(head(16.0), head(17.0))
    assert [type(each).__name__ for each in sender.out] == ["Warned"]
    await sender.say(head(18.0))
    assert [row.number for row in sender.rows] == [0, 1]


async def test_a_clip_whose_sound_is_gone_is_silent_and_holds_nothing_up() -> None:
    sender = stage(languages=("es",))
    await sender.say(await segment(sender.store, STREAM, 0))
    lost = (await clip(sender, 11.0, 1.0)).model_copy(update={"audio": f"{STREAM}/nowhere"})
    await sender.say(lost, head(16.0))
    assert len(sender.rows) == 1


async def test_a_finished_stream_is_served_from_the_store_when_the_bus_has_forgotten_it() -> None:
    sender = stage(record=True)
    for index in range(3):
        await sender.say(await segment(sender.store, STREAM, index))
    await sender.say(head(20.0, ended=True))
    sender.bus.entry = Record(stream="another")
    async with sender.http() as http:
        found = await http.get(f"/hls/{STREAM}/video.m3u8")
        assert found.text.endswith("#EXT-X-ENDLIST\n")
        assert found.headers["cache-control"] == "public, max-age=3600"
        assert (await http.get(f"/hls/{STREAM}/master.m3u8")).status_code == 200
        assert (await http.get(f"/hls/{STREAM}/es.m3u8")).status_code == 404


async def test_the_watch_page_and_its_parts_are_served_and_nothing_else() -> None:
    async with stage().http() as http:
        page = await http.get(f"/watch/{STREAM}")
        assert "text/html" in page.headers["content-type"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await http.get("/web/watch.css")).status_code == 200
        assert (await http.get("/web/..%2Fservice.py")).status_code == 404
        assert (await http.get("/web/nothing.js")).status_code == 404
