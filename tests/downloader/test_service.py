import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np
import pytest
from aiohttp import web
from Crypto.Cipher import AES

from services.downloader.service import GLANCE, Downloader, DownloaderState, Settings
from services.downloader.source import Lost
from shared import cmaf
from shared.audio import EAR, to_pcm
from shared.bus import Context
from shared.context import Pcm, Record
from shared.messages import AudioChunk, End, Gap, Head, MediaSegment
from shared.store import open_store
from tests.downloader.broadcast import Bench, Origin, playlist, recording, transport, write

Build = Callable[..., Bench]
T = TypeVar("T")


def of(kind: type[T], said: list[Any]) -> list[T]:
    return [item for item in said if isinstance(item, kind)]


def heard(said: list[Any]) -> np.ndarray[Any, Any]:
    """All sound from media time 10 s on."""
    parts = of(Pcm, said)
    end = max(round(part.start * EAR) + len(part.samples) // 2 for part in parts)
    pcm = np.zeros(end - 10 * EAR, np.float32)
    for part in parts:
        at = round(part.start * EAR) - 10 * EAR
        pcm[at : at + len(part.samples) // 2] = to_pcm(part.samples)
    return pcm


def pips(pcm: np.ndarray[Any, Any]) -> list[float]:
    """Seconds that a pip marks."""
    loud = np.flatnonzero(np.abs(pcm) > 0.1)
    starts = [loud[0], *loud[1:][np.diff(loud) > EAR // 4]] if loud.size else []
    return [float(start) / EAR - 0.475 for start in starts]


def consistent(said: list[Any]) -> None:
    """What every stream must keep, whatever its source does."""
    chunks, parts = of(AudioChunk, said), of(Pcm, said)
    for chunk, part in zip(chunks, parts, strict=True):
        assert chunk.start == part.start
        assert 0 < chunk.end - chunk.start <= 1
        assert round((chunk.end - chunk.start) * EAR) * 2 == len(part.samples)
    for before, after in pairwise(chunks):
        assert before.until <= after.start
    segments, heads = of(MediaSegment, said), of(Head, said)
    for first, second in pairwise(segments):
        assert first.end <= second.start
        assert first.until <= second.start / 90_000
    assert [head.head for head in heads] == sorted(head.head for head in heads)
    assert [type(item).__name__ for item in said[-2:]] == ["Head", "End"]
    assert heads[-1].ended


def serve(origin: Origin, count: int, name: str = "live.m3u8", **options: Any) -> None:
    origin.answers |= {f"slot{number}.ts": transport(number) for number in range(count)}
    origin.answers[name] = playlist(count, **options)


async def test_a_presentation_arrives_whole_and_its_pips_sound_on_the_second(origin: Origin, bench: Build) -> None:
    serve(origin, 5)
    running = bench("live.m3u8")
    said = await running.run()
    consistent(said)
    segments = of(MediaSegment, said)
    assert [(segment.start, segment.duration) for segment in segments] == [
        ((10 + number) * 90_000, 90_000) for number in range(5)
    ]
    assert pips(heard(said)) == pytest.approx(range(5), abs=0.003)
    assert running.record.state == "ended"
    assert (running.record.live, running.record.segment) == (False, 1.0)


async def test_what_is_stored_can_be_read_back(origin: Origin, bench: Build) -> None:
    serve(origin, 2)
    said = await bench("live.m3u8").run()
    store = open_store("memory://")
    first, second = of(MediaSegment, said)
    assert first.video
    assert first.audio
    assert second.audio
    time, pictures = cmaf.samples_of(await store.get(first.video.media))
    assert (time, sum(sample.duration for sample in pictures)) == (first.start, first.duration)
    assert cmaf.track_of(await store.get(first.video.init)).width == 64
    time, sounds = cmaf.samples_of(await store.get(first.audio.media))
    assert cmaf.track_of(await store.get(first.audio.init)).rate == 48_000
    after, _ = cmaf.samples_of(await store.get(second.audio.media))
    assert after == time + 1024 * len(sounds)


async def test_a_lost_segment_is_a_gap_of_its_length(origin: Origin, bench: Build) -> None:
    serve(origin, 5)
    origin.answers["slot2.ts"] = 404
    said = await bench("live.m3u8").run()
    consistent(said)
    (gap,) = of(Gap, said)
    assert (gap.start, gap.end) == pytest.approx((12, 13), abs=0.001)
    assert pips(heard(said)) == pytest.approx([0, 1, 3, 4], abs=0.003)


async def test_a_segment_that_a_server_refuses_for_a_while_is_not_lost(origin: Origin, bench: Build) -> None:
    serve(origin, 4)
    answers: list[int | bytes] = [503, 503, 503, transport(2)]

    def later(request: web.Request) -> web.Response:
        answer = answers.pop(0)
        return web.Response(status=answer) if isinstance(answer, int) else web.Response(body=answer)

    origin.answers["slot2.ts"] = later
    said = await bench("live.m3u8", patience=5).run()
    consistent(said)
    assert not of(Gap, said)
    assert pips(heard(said)) == pytest.approx(range(4), abs=0.003)


async def test_what_left_the_window_is_lost_once(origin: Origin, bench: Build) -> None:
    serve(origin, 8)
    lists = [playlist(2, end=False), playlist(2, end=False), playlist(3, first=5)]
    origin.answers["live.m3u8"] = lambda request: web.Response(text=lists.pop(0) if len(lists) > 1 else lists[0])
    answers: list[int | bytes] = [503, 503, transport(5)]

    def later(request: web.Request) -> web.Response:
        answer = answers.pop(0)
        return web.Response(status=answer) if isinstance(answer, int) else web.Response(body=answer)

    origin.answers["slot5.ts"] = later
    said = await bench("live.m3u8", patience=5).run()
    (gap,) = of(Gap, said)
    assert (gap.start, gap.end) == pytest.approx((12, 15), abs=0.01)


async def test_an_advertisement_and_a_jump_of_timestamps_do_not_move_the_clock(origin: Origin, bench: Build) -> None:
    serve(origin, 6, before={2: "#EXT-X-DISCONTINUITY\n#EXT-X-CUE-OUT:1", 3: "#EXT-X-DISCONTINUITY\n#EXT-X-CUE-IN"})
    origin.answers["slot2.ts"] = transport(40)
    origin.answers["slot5.ts"] = transport(0)
    said = await bench("live.m3u8").run()
    consistent(said)
    segments = of(MediaSegment, said)
    assert [segment.start // 90_000 for segment in segments] == [10, 11, 12, 13, 14, 15]
    assert [segment.advert for segment in segments] == [False, False, True, False, False, False]
    assert [segment.rebased for segment in segments] == [False, False, True, True, False, True]


async def test_a_downloader_that_dies_goes_on_from_its_last_commit(origin: Origin, bench: Build) -> None:
    serve(origin, 6)
    running = bench("live.m3u8")
    await running.run(die_after=3)
    said = await running.run()
    consistent(said)
    assert [segment.start // 90_000 for segment in of(MediaSegment, said)] == [10, 11, 12, 13, 14, 15]
    assert pips(heard(said)) == pytest.approx(range(6), abs=0.003)


async def test_a_live_source_is_joined_near_its_edge_and_its_head_moves_on_through_silence(
    origin: Origin, bench: Build
) -> None:
    serve(origin, 8, end=False)
    running = bench("live.m3u8", patience=1.5)
    began = time.monotonic()
    said = await running.run()
    consistent(said)
    assert running.record.live
    assert len(of(MediaSegment, said)) == 3
    heads = of(Head, said)
    assert len(heads) >= 5
    assert 14 <= heads[-1].head < 15
    assert {head.until for head in heads[2:-1]} == {heads[2].until}
    assert time.monotonic() - began < 4


async def test_a_stop_ends_the_stream_at_once(origin: Origin, bench: Build) -> None:
    serve(origin, 8, end=False)
    said = await bench("live.m3u8", patience=60).run(stop_after=2)
    assert of(End, said)[0].reason == "stopped"
    assert len(of(MediaSegment, said)) == 2


async def test_an_expired_url_is_resolved_again(origin: Origin, bench: Build) -> None:
    serve(origin, 8)
    whole, part = playlist(8), playlist(3, end=False)
    tokens: dict[str, list[str | int]] = {"live.m3u8?t=0": [part, 403, 403], "live.m3u8?t=1": [whole]}
    masters = iter("011111")

    def master(request: web.Request) -> web.Response:
        return web.Response(text=f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8?t={next(masters)}\n")

    def live(request: web.Request) -> web.Response:
        answers = tokens[request.path_qs[1:]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(text=answer) if isinstance(answer, str) else web.Response(status=403)

    origin.answers |= {"master.m3u8": master, "live.m3u8": live}
    said = await bench("master.m3u8", patience=5).run()
    consistent(said)
    assert [segment.start // 90_000 for segment in of(MediaSegment, said)] == list(range(10, 18))


async def test_segments_under_aes_are_decrypted(origin: Origin, bench: Build) -> None:
    key = bytes(range(16))
    for number in range(2):
        clear = transport(number)
        fill = 16 - len(clear) % 16
        coder = AES.new(key, AES.MODE_CBC, number.to_bytes(16))
        origin.answers[f"slot{number}.ts"] = coder.encrypt(clear + bytes([fill]) * fill)
    origin.answers |= {"key": key, "live.m3u8": playlist(2, before={0: '#EXT-X-KEY:METHOD=AES-128,URI="key"'})}
    said = await bench("live.m3u8").run()
    assert pips(heard(said)) == pytest.approx([0, 1], abs=0.003)


async def test_byte_ranges_are_taken_from_servers_with_and_without_them(origin: Origin, bench: Build) -> None:
    first, second = transport(0), transport(1)
    whole = first + second

    def ranged(request: web.Request) -> web.Response:
        part = request.http_range
        return web.Response(status=206, body=whole[part])

    for answer in (whole, ranged):
        origin.answers["all.ts"] = answer
        origin.answers["live.m3u8"] = (
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
            f"#EXTINF:1,\n#EXT-X-BYTERANGE:{len(first)}@0\nall.ts\n"
            f"#EXTINF:1,\n#EXT-X-BYTERANGE:{len(second)}\nall.ts\n#EXT-X-ENDLIST\n"
        )
        said = await bench("live.m3u8").run()
        assert pips(heard(said)) == pytest.approx([0, 1], abs=0.003)


async def test_sound_of_a_separate_playlist_joins_the_picture(origin: Origin, bench: Build) -> None:
    origin.answers |= {f"v/slot{number}.ts": transport(number, sound=False) for number in range(4)}
    origin.answers |= {f"a/slot{number}.ts": transport(number, 2.0, picture=False) for number in range(2)}
    origin.answers |= {"v/v.m3u8": playlist(4), "a/a.m3u8": playlist(2, length=2)}
    origin.answers["master.m3u8"] = (
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",LANGUAGE="en-GB",DEFAULT=YES,URI="a/a.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080,AUDIO="a"\nbig.m3u8\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=64x48,AUDIO="a"\nv/v.m3u8\n'
    )
    running = bench("master.m3u8")
    said = await running.run()
    consistent(said)
    assert running.record.told_language == "en-GB"
    segments = of(MediaSegment, said)
    assert len(segments) == 4
    assert all(segment.video and segment.audio for segment in segments)
    assert pips(heard(said)) == pytest.approx(range(4), abs=0.003)


async def test_fragmented_mp4_arrives_as_it_was_stored(origin: Origin, bench: Build) -> None:
    serve(origin, 3)
    store, first = open_store("memory://"), of(MediaSegment, await bench("live.m3u8").run())
    for name in ("video", "audio"):
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f'#EXT-X-MAP:URI="{name}.mp4"']
        for segment in first:
            track = segment.video if name == "video" else segment.audio
            assert track
            origin.answers[f"{name}.mp4"] = await store.get(track.init)
            origin.answers[f"{name}{segment.start}.m4s"] = await store.get(track.media)
            lines += ["#EXTINF:1,", f"{name}{segment.start}.m4s"]
        origin.answers[f"{name}.m3u8"] = "\n".join([*lines, "#EXT-X-ENDLIST", ""])
    origin.answers["master.m3u8"] = (
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",DEFAULT=YES,URI="audio.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=64x48,AUDIO="a"\nvideo.m3u8\n'
    )
    said = await bench("master.m3u8").run()
    consistent(said)
    assert [segment.model_dump(exclude={"captured_at", "date", "until"}) for segment in of(MediaSegment, said)] == [
        segment.model_dump(exclude={"captured_at", "date", "until"}) for segment in first
    ]
    assert pips(heard(said)) == pytest.approx(range(3), abs=0.003)


async def test_radio_has_segments_without_a_picture(origin: Origin, bench: Build) -> None:
    origin.answers |= {f"slot{number}.ts": transport(number, picture=False) for number in range(3)}
    origin.answers["live.m3u8"] = playlist(3)
    said = await bench("live.m3u8").run()
    consistent(said)
    assert [segment.video for segment in of(MediaSegment, said)] == [None] * 3
    assert pips(heard(said)) == pytest.approx(range(3), abs=0.03)


@pytest.mark.parametrize("picture", [True, False])
async def test_a_file_is_cut_at_its_key_pictures(bench: Build, tmp_path: Path, picture: bool) -> None:
    (tmp_path / "talk.mp4").write_bytes(write("mp4", 0, 7.0, picture=picture))
    running = bench("file:talk.mp4")
    await running.run(die_after=2)
    said = await running.run()
    consistent(said)
    segments = of(MediaSegment, said)
    assert len(segments) == 4
    assert segments[0].start == 900_000
    assert segments[-1].end == pytest.approx(17 * 90_000, abs=4000)
    assert pips(heard(said)) == pytest.approx(range(7), abs=0.03)
    assert (running.record.live, running.record.title) == (False, "talk")


@pytest.mark.parametrize("codec", ["pcm_s16le", "flac", "libopus"])
async def test_sound_that_players_do_not_take_is_coded_anew(bench: Build, tmp_path: Path, codec: str) -> None:
    form = {"pcm_s16le": "wav", "flac": "flac", "libopus": "ogg"}[codec]
    (tmp_path / f"talk.{form}").write_bytes(recording(form, codec, 7))
    running = bench(f"file:talk.{form}")
    await running.run(die_after=2)
    said = await running.run()
    consistent(said)
    assert pips(heard(said)) == pytest.approx(range(7), abs=0.03)
    segments = of(MediaSegment, said)
    assert {segment.audio.codec for segment in segments if segment.audio} == {"mp4a.40.2"}
    assert segments[-1].end == pytest.approx(17 * 90_000, abs=9000)


async def test_a_gap_that_the_source_declares_is_lost_without_asking(origin: Origin, bench: Build) -> None:
    serve(origin, 4, before={2: "#EXT-X-GAP"})
    said = await bench("live.m3u8").run()
    consistent(said)
    (gap,) = of(Gap, said)
    assert (gap.start, gap.end) == pytest.approx((12, 13), abs=0.001)
    assert "slot2.ts" not in origin.asked


SPANS = {
    'CLASS="twitch-stitched-ad",DURATION=1.0': True,
    'CLASS="twitch-stitched-ad",PLANNED-DURATION=1.0': True,
    'CLASS="com.apple.hls.interstitial",END-DATE="2026-01-01T00:00:03Z"': True,
    "SCTE35-OUT=0xFC30,DURATION=1.0": True,
    'CLASS="twitch-session",DURATION=1.0': False,
    'CLASS="ad"': False,
}


@pytest.mark.parametrize("attributes", SPANS)
async def test_a_date_range_marks_an_advertisement(origin: Origin, bench: Build, attributes: str) -> None:
    span = f'#EXT-X-DATERANGE:ID="a",START-DATE="2026-01-01T00:00:02Z",{attributes}'
    serve(origin, 4, before={0: f"{span}\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z"})
    said = await bench("live.m3u8").run()
    marked = [segment.advert for segment in of(MediaSegment, said)]
    assert marked == [False, False, SPANS[attributes], False]
    assert any(chunk.advert for chunk in of(AudioChunk, said)) == SPANS[attributes]


async def test_a_file_is_not_read_far_ahead_of_what_is_sealed(bench: Build, tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(write("mp4", 0, 7.0))
    running = bench("file:talk.mp4", ahead=3)
    task = asyncio.create_task(running.run(hold=11.0))
    await asyncio.sleep(0.8)
    assert running.state.clock.head == 16
    running.hold = None
    consistent(await task)


FAULTS = {
    "nothing.m3u8": "404",
    "page.html": "no media|There is no media",
    "page.m3u8": "no media",
    "silent.m3u8": "no sound",
    "drm.m3u8": "DRM",
    "hang.m3u8": "in time",
    "broken.m3u8": "cannot be read|media that can be read",
    "empty.m3u8": "in time",
    "down.m3u8": "503",
}


@pytest.mark.parametrize("path", FAULTS)
async def test_a_source_that_cannot_start_fails_with_a_sentence(origin: Origin, bench: Build, path: str) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    origin.answers |= {
        "page.html": "<html>",
        "page.m3u8": "<html>",
        "silent.m3u8": playlist(1),
        "slot0.ts": transport(0, sound=False),
        "drm.m3u8": playlist(1, before={0: '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x"'}),
        "hang.m3u8": hang,
        "broken.m3u8": playlist(1, first=5),
        "slot5.ts": b"no media at all" * 100,
        "empty.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n",
        "down.m3u8": 503,
    }
    running = bench(path, start=1.0, timeout=1.0)
    began = time.monotonic()
    said = await running.run()
    assert time.monotonic() - began < 4
    assert [type(item).__name__ for item in said] == ["Head", "End"]
    assert of(End, said)[0].reason == "failed"
    assert running.record.state == "failed"
    assert any(part in running.record.reason for part in FAULTS[path].split("|"))
    assert running.record.reason.endswith(".")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "%2e%2e/secret", "none.mp4"])
async def test_only_files_of_the_folder_can_be_named(bench: Build, tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "secret").write_text("x")
    running = bench(f"file:{name}")
    await running.run()
    assert running.record.reason == "There is no such file."


async def test_a_playlist_cannot_lead_inside(origin: Origin, bench: Build) -> None:
    origin.answers["live.m3u8"] = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n"
    )
    running = bench("live.m3u8")
    await running.run()
    assert running.record.state == "failed"


def test_the_head_is_told_at_the_moment_at_which_something_is_sealed() -> None:
    state = DownloaderState(live=True)
    record = Record(stream="s", delay=1.0)
    downloader = Downloader(Settings(), open_store("memory://"), state, cast(Context, SimpleNamespace(record=record)))
    downloader._lose(Lost(900_000, 1_080_000, "gone"))
    now = time.time()
    state.clock.arrived(12.0, now)
    downloader._told = now + 60
    assert downloader._silence() == []
    state.clock.lag = now - 12.9
    assert 0 < downloader._glance() <= 0.11
    assert downloader._silence() == []
    state.clock.lag = now - 13.01
    (head,) = downloader._silence()
    assert isinstance(head, Head)
    assert 13.0 < head.head < 14
    assert downloader._glance() == GLANCE
