"""Following a stream while it runs."""

from services.ingest.feed import follow
from shared.context import Record
from shared.messages import Head, Progress
from tests.ingest.conftest import MemoryBus


def head(second: float) -> Head:
    return Head(stream="s", until=second, head=second)


async def test_what_is_said_later_comes_too_and_the_end_ends_the_feed(bus: MemoryBus) -> None:
    bus.put(Record(stream="s", state="running"))
    bus.tell("downloader", head(1), head(2), head(3))
    heads = []
    async for event in follow(bus, "s", "0", ()):
        heads.append(event.data["message"]["head"])
        if len(heads) == 3:
            bus.tell("downloader", head(4))
        if len(heads) == 4:
            bus.amend("s", state="ended")
    assert heads == [1, 2, 3, 4]


async def test_a_stream_that_is_silent_but_runs_is_followed_on(bus: MemoryBus) -> None:
    looks = 0

    class Slow(MemoryBus):
        async def record(self, stream: str) -> tuple[str, Record] | None:
            nonlocal looks
            looks += 1
            return "1", Record(stream=stream, state="running" if looks < 3 else "failed")

    slow = Slow()
    slow.tell("asr", Progress(stream="s", until=1.0))
    assert [event.id async for event in follow(slow, "s", "0", ())] == ["1"]
    assert looks == 3


async def test_a_stream_that_redis_has_forgotten_ends_its_feed(bus: MemoryBus) -> None:
    assert [event async for event in follow(bus, "nobody", "0", ())] == []
