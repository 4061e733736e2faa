"""Many live streams from one loop of segments."""

from itertools import pairwise

from loadtest.coding import CODED_BASE, SEGMENT
from loadtest.origin import HEAD_START, STREAM_BASE
from loadtest.origins import Origins, phase
from loadtest.published import Listed as Seen
from loadtest.published import entries, holes
from shared.audio import TICKS

PACKET = bytes.fromhex("47410010 000001e0000080800521 00010001").ljust(188, b"\0")
"""One MPEG-TS packet with a PTS of 0."""


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_streams_begin_their_segments_at_times_that_are_spread_evenly() -> None:
    late = sorted(phase(f"s{number}") for number in range(16))
    assert all(0 <= each < SEGMENT for each in late)
    assert max(after - before for before, after in pairwise(late)) < 0.25


def test_a_segment_is_listed_when_its_last_sample_is_captured() -> None:
    clock = Clock()
    origins = Origins([b""], clock=clock)
    for name in ("s0", "s1", "s2"):
        [*_, last] = entries(origins.playlist(name))
        assert last.end <= clock.now < last.end + SEGMENT


def test_the_window_slides_without_a_hole() -> None:
    clock = Clock()
    origins = Origins([b""], window=4, clock=clock)
    seen: dict[int, Seen] = {}
    for _ in range(20):
        clock.now += 0.7
        seen |= {each.number: Seen(clock.now, each) for each in entries(origins.playlist("s7"))}
    assert holes([seen[number] for number in sorted(seen)]) == 0
    assert len(entries(origins.playlist("s7"))) == 4


def test_a_faster_origin_has_media_time_pass_faster() -> None:
    clock = Clock()
    origins = Origins([b""], speed=6.0, clock=clock)
    assert origins.captured("s0") == HEAD_START
    clock.now += 10
    assert origins.captured("s0") == HEAD_START + 30


def test_a_second_loop_goes_on_in_time() -> None:
    origins = Origins([PACKET, PACKET])
    turns = [origins.slot(number) for number in range(4)]
    assert turns[0] == turns[1] != turns[2] == turns[3]
    assert STREAM_BASE > CODED_BASE
    assert _pts(turns[2]) - _pts(turns[0]) == 2 * SEGMENT * TICKS


def _pts(packet: bytes) -> int:
    at = packet.index(b"\0\0\1") + 9
    word = int.from_bytes(packet[at : at + 5])
    return (word >> 33 & 7) << 30 | (word >> 17 & 0x7FFF) << 15 | word >> 1 & 0x7FFF
