import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web
from obstore.store import MemoryStore

from services.downloader.demux import demux, fragment
from services.downloader.package import segment
from services.downloader.pull import Address, Puller, Web, renewal
from services.downloader.source import Cursor, Lost, Piece, place
from shared import guard
from shared.audio import TICKS
from shared.messages import Gap, MediaSegment
from shared.store import Store
from tests.downloader.broadcast import Bench, Origin, playlist, transport, write
from tests.downloader.test_service import consistent, heard, of, pips, serve

Build = Callable[..., Bench]
MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8?t={}\n"


def dated(count: int, first: int, length: float) -> str:
    """A playlist whose segments say when they were captured."""
    stamps = {
        number: f"#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{number * length:06.3f}Z"
        for number in range(first, first + count)
    }
    return playlist(count, first=first, before=stamps)


@pytest.mark.parametrize("status", [403, 410])
async def test_a_segment_that_expired_with_its_playlist_is_asked_for_again(
    origin: Origin, bench: Build, status: int
) -> None:
    serve(origin, 6)
    asked: list[str] = []

    def master(request: web.Request) -> web.Response:
        asked.append("master")
        return web.Response(text=MASTER.format(len(asked)))

    def slot(request: web.Request) -> web.Response:
        return web.Response(status=status) if len(asked) < 2 else web.Response(body=transport(3))

    origin.answers |= {"master.m3u8": master, "live.m3u8": playlist(6), "slot3.ts": slot}
    said = await bench("master.m3u8", patience=5).run()
    consistent(said)
    assert not of(Gap, said)
    assert pips(heard(said)) == pytest.approx(range(6), abs=0.003)
    assert len(asked) == 2


async def test_a_segment_that_stays_refused_is_lost_once(origin: Origin, bench: Build) -> None:
    serve(origin, 5)
    origin.answers["slot2.ts"] = 403
    said = await bench("live.m3u8", patience=5).run()
    consistent(said)
    (gap,) = of(Gap, said)
    assert (gap.start, gap.end) == pytest.approx((12, 13), abs=0.001)


async def test_a_url_is_resolved_again_before_it_expires(origin: Origin) -> None:
    serve(origin, 4, end=False)
    resolved: list[float] = []

    async def again() -> Address:
        resolved.append(time.time())
        if len(resolved) > 1:
            origin.answers["live.m3u8"] = playlist(4)
        return Address(origin.url("live.m3u8"), expires=time.time() + 1.0)

    policy = guard.Policy.parse(origin.pair)
    async with guard.session(policy) as client:
        found = [found async for found, _ in Puller(again, Web(client, policy), Cursor(), patience=5.0).events()]
    assert len([piece for piece in found if isinstance(piece, Piece)]) == 3
    assert len(resolved) == 2
    assert 0.4 < resolved[1] - resolved[0] < 1.6


def test_long_urls_are_renewed_ten_minutes_early_and_short_ones_at_half_their_life() -> None:
    assert renewal(None, 0.0) == float("inf")
    assert renewal(21_600.0, 0.0) == 21_000.0
    assert renewal(100.0, 0.0) == 50.0


async def test_dates_tell_how_much_left_the_window(origin: Origin, bench: Build) -> None:
    serve(origin, 8)
    first, later = (text.replace("DURATION:1", "DURATION:2") for text in (dated(2, 0, 1.0), dated(3, 5, 1.0)))
    lists = [first.replace("#EXT-X-ENDLIST\n", "")] * 2 + [later]
    origin.answers["live.m3u8"] = lambda request: web.Response(text=lists.pop(0) if len(lists) > 1 else lists[0])
    said = await bench("live.m3u8", patience=5).run()
    (gap,) = of(Gap, said)
    assert (gap.start, gap.end) == pytest.approx((12, 15), abs=0.01)


async def test_a_change_of_codec_and_size_is_a_new_init_section(origin: Origin, bench: Build) -> None:
    serve(origin, 4)
    origin.answers["slot2.ts"] = write("mpegts", 2, 1.0, codec="libmp3lame", size=(96, 64))
    said = await bench("live.m3u8").run()
    consistent(said)
    segments = of(MediaSegment, said)
    assert [(s.video.width, s.video.height) for s in segments if s.video] == [(64, 48), (64, 48), (96, 64), (64, 48)]
    inits = [(s.video.init, s.audio.init) for s in segments if s.video and s.audio]
    assert inits[0] == inits[1] == inits[3]
    assert not set(inits[0]) & set(inits[2])
    assert [segment.start // TICKS for segment in segments] == [10, 11, 12, 13]


async def test_what_was_stored_and_never_committed_does_not_stand_for_what_comes_after_it() -> None:
    store, places = Store(MemoryStore()), [Cursor(), Cursor()]
    names = []
    for cursor, number in zip(places, (0, 7), strict=True):
        (piece,) = place(fragment(demux(transport(number))), cursor)
        assert isinstance(piece, Piece)
        said = await segment(store, "s", replace(piece, start=10 * TICKS), until=0.0, date=1.0, arrived=1.0)
        again = await segment(store, "s", replace(piece, start=10 * TICKS), until=0.0, date=1.0, arrived=2.0)
        assert said.video
        assert said.audio
        assert (said.video, said.audio) == (again.video, again.audio)
        names.append(said.audio.media)
    assert names[0] != names[1]
    assert set(names) <= set(await store.names("s"))


def test_a_loss_is_as_long_as_dates_say_where_they_are_likely() -> None:
    cursor = Cursor(date=100.0, length=2.0)
    assert cursor.until(110.0, 6.0) == 8.0
    assert cursor.until(None, 6.0) == 6.0
    assert cursor.until(500.0, 6.0) == 6.0
    assert cursor.until(90.0, 6.0) == 6.0
    cursor.lose(8 * TICKS, "gone")
    found = place(fragment(demux(transport(1))), cursor)
    assert isinstance(found[0], Lost)
    assert found[0].end - found[0].start == 8 * TICKS
