"""The origin is a live stream, and its faults are the ones that were scripted."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import av
import m3u8
import numpy as np
import pytest
from aiohttp import ClientSession
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.broadcast import Sentence, tone
from loadtest.card import ADVERT, PROGRAMME, barcode, frame_number, picture
from loadtest.coding import SEGMENT, WRAP, shifted, transport_stream
from loadtest.origin import STREAM_BASE, Fault, Kind, Origin, Script, main
from shared.audio import TICKS

TONE = tone(8)


class Clock:
    """Time that stands still until it is moved."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("origin")


@pytest.fixture(scope="module")
def coded() -> list[bytes]:
    return [transport_stream(PROGRAMME, TONE, number) for number in range(4)]


@lru_cache
def one_segment() -> bytes:
    return transport_stream(PROGRAMME, TONE, 0)


def stamps(segment: bytes, kind: str) -> list[int]:
    with av.open(io.BytesIO(segment), "r") as container:
        return [packet.pts for packet in container.demux(**{kind: 0}) if packet.pts is not None]


@asynccontextmanager
async def serving(cache: Path, *faults: str, once: bool = False) -> AsyncIterator[tuple[Origin, Clock, ClientSession]]:
    clock = Clock()
    script = [Fault.parse(fault) for fault in faults]
    async with (
        Origin(TONE, script, once=once, cache=cache, clock=clock) as origin,
        ClientSession(origin.url.removesuffix("master.m3u8")) as session,
    ):
        yield origin, clock, session


async def get(session: ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, (await response.read()).decode(errors="replace")


def test_segments_join_without_a_gap_across_the_loop(coded: list[bytes]) -> None:
    loop = 8 * TICKS
    wire = [*coded, *(shifted(segment, loop) for segment in coded)]
    for kind, step in (("video", TICKS / 25), ("audio", 1024 * TICKS / 48_000)):
        times = np.array([time for segment in wire for time in stamps(segment, kind)])
        assert np.abs(np.diff(times) - step).max() <= 1


def test_sound_is_continuous_at_seams(coded: list[bytes]) -> None:
    wire = b"".join([*coded, *(shifted(segment, 8 * TICKS) for segment in coded)])
    with av.open(io.BytesIO(wire), "r") as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    wanted = TONE.read(0, heard.size)[0]
    inside = slice(4096, heard.size - 4096)
    error = np.sqrt(np.mean((heard - wanted)[inside] ** 2)) / np.sqrt(np.mean(wanted[inside] ** 2))
    assert error < 0.1


def test_a_picture_says_its_number(coded: list[bytes]) -> None:
    with av.open(io.BytesIO(coded[3]), "r") as container:
        cards = [np.asarray(frame.to_ndarray(), np.uint8) for frame in container.decode(video=0)]
    numbers = [frame_number(card[: PROGRAMME.height]) for card in cards]
    assert numbers == list(range(150, 200))


@given(st.integers(0, 2**24 - 1))
def test_a_frame_number_survives_the_barcode(number: int) -> None:
    assert frame_number(np.concatenate([barcode(number, 48, 4), np.zeros((44, 48), np.uint8)])) == number


def test_who_speaks_is_on_the_picture() -> None:
    assert not np.array_equal(picture(PROGRAMME, 5, "Susan"), picture(PROGRAMME, 5, "Robert"))
    assert picture(ADVERT, 5).shape == (270, 320)


@given(st.integers(-WRAP, WRAP), st.integers(-WRAP, WRAP))
@settings(max_examples=20, deadline=None)
def test_shifts_add_up_modulo_33_bits(a: int, b: int) -> None:
    segment = one_segment()
    assert shifted(shifted(segment, a), b) == shifted(segment, a + b)
    assert shifted(shifted(segment, a), -a) == segment


def test_what_is_no_transport_stream_is_not_shifted() -> None:
    with pytest.raises(ValueError):
        shifted(b"\0" * 188, 1)


@given(
    slots=st.integers(1, 5),
    faults=st.lists(
        st.builds(
            Fault, st.sampled_from([Kind.AD, Kind.RESET]), st.integers(0, 30).map(float), st.sampled_from([2.0, 6.0])
        )
    ),
    first=st.integers(0, 20),
)
def test_a_script_counts_the_tags_that_have_left_the_window(slots: int, faults: list[Fault], first: int) -> None:
    script = Script(slots, tuple(faults))
    assert script.tags_before(first) == sum(script.slot(number).tagged for number in range(first))


def test_loops_go_on_in_time_and_the_programme_pauses_in_an_advert() -> None:
    script = Script(2, (Fault(Kind.AD, 6.0, 4.0), Fault(Kind.RESET, 14.0)))
    slots = [script.slot(number) for number in range(9)]
    assert [(slot.look, slot.coded) for slot in slots[:6]] == [
        (PROGRAMME, 0),
        (PROGRAMME, 1),
        (PROGRAMME, 0),
        (ADVERT, 0),
        (ADVERT, 1),
        (PROGRAMME, 1),
    ]
    assert [slot.tagged for slot in slots] == [False, False, False, True, False, True, False, False, False]
    starts = [slot.shift / TICKS + slot.coded * SEGMENT for slot in slots]
    assert starts == [3600, 3602, 3604, 0, 2, 3606, 3608, 0, 2]


async def test_the_live_window_slides_with_the_clock(cache: Path) -> None:
    async with serving(cache) as (origin, clock, session):
        master = m3u8.loads((await get(session, "master.m3u8"))[1])
        assert master.playlists[0].stream_info.resolution == (640, 360)
        early = m3u8.loads((await get(session, "live.m3u8"))[1])
        clock.now += 11.9
        late = m3u8.loads((await get(session, "live.m3u8"))[1])
        status, _ = await get(session, late.segments[-1].uri)
        assert (await get(session, "slot8.ts"))[0] == 404
    assert ([s.duration for s in early.segments], early.media_sequence) == ([2.0] * 3, 0)
    assert (len(late.segments), late.media_sequence, status) == (6, 2, 200)
    assert late.segments[0].program_date_time.timestamp() == pytest.approx(origin.started_at + 4, abs=0.001)
    assert origin.started_at + 6 == pytest.approx(1_700_000_000.0)
    assert not late.is_endlist


async def test_the_wire_has_the_timestamps_of_the_script(cache: Path) -> None:
    async with serving(cache, "ad:2:2") as (_, _, session):
        segments = []
        for number in range(3):
            async with session.get(f"slot{number}.ts") as response:
                segments.append(await response.read())
    assert [stamps(segment, "video")[0] for segment in segments] == [STREAM_BASE, 0, STREAM_BASE + SEGMENT * TICKS]


async def test_during_an_outage_everything_answers_503(cache: Path) -> None:
    async with serving(cache, "outage:6:4") as (_, clock, session):
        statuses = [(await get(session, path))[0] for path in ("master.m3u8", "live.m3u8", "slot0.ts")]
        clock.now += 4
        after = (await get(session, "live.m3u8"))[0]
    assert (statuses, after) == ([503] * 3, 200)


async def test_a_missing_segment_is_listed_but_not_there(cache: Path) -> None:
    async with serving(cache, "missing:2:2") as (_, _, session):
        text = (await get(session, "live.m3u8"))[1]
        assert [(await get(session, f"slot{number}.ts"))[0] for number in range(3)] == [200, 404, 200]
    assert "slot1.ts" in text


async def test_expired_urls_answer_403_until_they_are_resolved_anew(cache: Path) -> None:
    async with serving(cache, "expiry:8") as (_, clock, session):
        old = m3u8.loads((await get(session, "master.m3u8"))[1]).playlists[0].uri
        assert (await get(session, old))[0] == 200
        clock.now += 2
        assert [(await get(session, uri))[0] for uri in (old, "slot0.ts?token=0")] == [403, 403]
        new = m3u8.loads((await get(session, "master.m3u8"))[1]).playlists[0].uri
        assert (await get(session, new))[0] == 200


async def test_an_overrun_playlist_stands_still_and_then_jumps(cache: Path) -> None:
    async with serving(cache, "overrun:8:20") as (_, clock, session):
        seen = []
        for _ in range(3):
            clock.now += 10
            seen.append(m3u8.loads((await get(session, "live.m3u8"))[1]).media_sequence)
    assert seen == [0, 0, 12]


async def test_a_stream_that_is_played_once_ends(cache: Path) -> None:
    async with serving(cache, "ad:4:2", once=True) as (origin, clock, session):
        assert not origin.ended
        clock.now += 100
        playlist = m3u8.loads((await get(session, "live.m3u8"))[1])
    assert origin.ended
    assert playlist.is_endlist
    assert playlist.media_sequence + len(playlist.segments) == 5


async def test_coded_segments_are_read_from_disk_the_second_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(cache) as (_, _, session), session.get("slot0.ts") as response:
        first = await response.read()
    monkeypatch.setattr("loadtest.coding.transport_stream", None)
    async with serving(cache) as (_, _, session), session.get("slot0.ts") as response:
        assert await response.read() == first


@pytest.mark.parametrize("text", ["flood:1", "ad", "ad:x"])
def test_an_unknown_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Fault.parse(text)


def test_the_command_ends_by_itself(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["--port", "0", "--recording", "tone", "--speed", "0.1", "--seconds", "0.1", "--cache", str(cache)]) == 0
    )
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


async def test_what_was_said_has_its_dates_in_every_loop(cache: Path) -> None:
    spoken = replace(TONE, timeline=(Sentence(3.0, 5.0, "Susan", "f", "Good evening."),), digest="spoken")
    async with Origin(spoken, [Fault(Kind.AD, 8.0, 4.0)], speed=0.1, cache=cache) as origin:
        said = origin.said(16.0)
    times = [time - origin.started_at for row in said for time in (row.start, row.end)]
    assert times == pytest.approx([3.0, 5.0, 15.0, 17.0])


async def test_one_origin_stands_for_many_streams(cache: Path) -> None:
    async with serving(cache) as (origin, _, session):
        for name in ("one", "two"):
            async with session.get(origin.url_of(name)) as response:
                live = m3u8.loads(await response.text()).playlists[0].uri
            assert (await get(session, f"{name}/{live}"))[0] == 200
            assert (await get(session, f"{name}/slot2.ts?token=0"))[0] == 200
