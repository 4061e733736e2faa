"""A playlist watched at its edge."""

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web

from loadtest.published import LOOK, Edge, Entry, Listed, delays, entries, follow, holes, late_until
from services.sender.playlist import media_playlist
from shared.context import Row
from shared.messages import Sealed

EPOCH = 1_700_000_000.0


def row(number: int) -> Row:
    sealed = Sealed(
        stream="m",
        until=12.0 + 2 * number,
        number=number,
        start=(10 + 2 * number) * 90_000,
        duration=180_000,
        date=EPOCH + 2 * number,
        objects={"video": f"m/v-{number}.m4s"},
        inits={"video": "m/init.mp4"},
    )
    return Row(number=number, sealed=sealed.until, seams=0, body=sealed)


def listed(delay: float, number: int) -> Listed:
    entry = Entry(number, EPOCH + 2 * number, 2.0)
    return Listed(entry.end + delay, entry)


def test_what_the_sender_writes_is_read() -> None:
    found = entries(media_playlist([row(7), row(8)], "video", 2))
    assert [(each.number, each.start, each.end) for each in found] == [
        (7, EPOCH + 14, EPOCH + 16),
        (8, EPOCH + 16, EPOCH + 18),
    ]
    assert found[0].uri == "v-7.m4s"


def test_a_gap_is_no_segment_but_keeps_its_number() -> None:
    gap = media_playlist([row(7), row(8)], "video", 2).replace("v-7.m4s", "#EXT-X-GAP\nv-7.m4s")
    assert [each.number for each in entries(gap)] == [8]


def test_what_was_there_at_the_first_look_is_no_sample() -> None:
    edge = Edge()
    first = [Entry(number, EPOCH + 2 * number, 2.0) for number in range(3)]
    assert edge.see(first, EPOCH + 20)
    assert not edge.see(first, EPOCH + 20.1)
    assert edge.see([*first[1:], Entry(3, EPOCH + 6, 2.0)], EPOCH + 21)
    assert [(each.entry.number, each.delay) for each in edge.listed] == [(3, 13.0)]


def test_a_segment_that_is_missing_or_out_of_time_is_a_hole() -> None:
    assert holes([listed(12, 0), listed(12, 1), listed(12, 2)]) == 0
    assert holes([listed(12, 0), listed(12, 2)]) == 1
    assert holes([listed(12, 0), Listed(EPOCH, Entry(1, EPOCH + 3, 2.0))]) == 1


def test_delay_is_told_by_mean_spread_and_tail() -> None:
    found = delays([listed(12.0, 0), listed(13.0, 1)])
    assert found == {"delay_mean_s": 12.5, "delay_sd_s": 0.5, "delay_p99_s": pytest.approx(12.99)}
    assert delays([]) == {}


def test_the_last_late_segment_ends_the_recovery() -> None:
    seen = [listed(12.0, 0), listed(14.5, 1), listed(13.6, 2), listed(12.1, 3)]
    assert late_until(seen, 13.5) == seen[2].at
    assert late_until(seen, 15.0) is None


def test_looks_begin_shortly_before_the_next_segment_is_due() -> None:
    edge = Edge()
    edge.see([Entry(0, EPOCH, 2.0)], 100.0)
    assert edge.wait(100.0) == pytest.approx(1.7)
    assert edge.wait(101.8) == pytest.approx(0.1)
    assert edge.wait(109.0) == pytest.approx(1.4)
    fast = Edge(speed=4.0)
    fast.see([Entry(0, EPOCH, 2.0)], 100.0)
    assert fast.wait(100.0) == pytest.approx(0.2)


def test_a_segment_that_is_in_time_behind_a_late_one_is_not_missed() -> None:
    edge = Edge()
    edge.see([Entry(0, EPOCH, 2.0)], 100.0)
    edge.see([Entry(1, EPOCH + 2, 2.0)], 104.0)
    assert edge.wait(104.0) == pytest.approx(LOOK)
    edge.see([Entry(2, EPOCH + 4, 2.0), Entry(3, EPOCH + 6, 2.0)], 106.0)
    assert edge.wait(106.0) == pytest.approx(1.7)


async def test_another_replica_is_asked_where_one_is_gone() -> None:
    started = time.time()

    async def live(request: web.Request) -> web.Response:
        last = int((time.time() - started) / 0.2)
        return web.Response(text=media_playlist([row(number) for number in range(last + 1)], "video", 2))

    app = web.Application()
    app.router.add_get("/live.m3u8", live)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    edge = Edge(speed=10.0)
    async with aiohttp.ClientSession() as client:
        urls = ["http://127.0.0.1:9/live.m3u8", f"http://127.0.0.1:{port}/live.m3u8"]
        watching = asyncio.create_task(follow(client, urls, edge))
        await asyncio.sleep(1.5)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await runner.cleanup()
    assert len(edge.listed) >= 3
    assert holes(edge.listed) == 0
