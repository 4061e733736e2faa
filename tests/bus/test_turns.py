"""The contracts of the scripts and of the turn loop, one by one, against a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import PrivateAttr
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from loadtest.redis_server import RedisServer
from shared.bus import Connection, Context, EngineError, Limits, Mesh, Service, State, Step
from shared.bus.address import connect
from shared.bus.dead_letters import DeadLetters
from shared.bus.errors import Fenced, Misfit
from shared.bus.mesh import Letter
from shared.bus.ring import listen
from shared.bus.scripts import Scripts
from shared.bus.turn import Token, Turn
from shared.context import Event, Pcm, Record
from shared.messages import End, Message, Progress, Sealed


class Sound(Message):
    number: int


class Note(Message):
    number: int


class Begin(Message):
    pass


class Stop(Message):
    pass


MESH = Mesh(
    Step("source", consumes=(Begin, Stop), produces=(Sound,)),
    Step("ear", consumes=(Sound,), produces=(Note, Sealed)),
    Step("echo", consumes=(Note,), produces=(Note,)),
    Step("voice", consumes=(Note, Sound), by_language=True),
    Step("sink", consumes=(Note,)),
)
RECORD = Record(stream="m", languages=("es", "fr"))
TO_SINK = Letter("Note", b'{"stream":"m","until":1,"number":1}', (("sink", "m"),))


@pytest.fixture
async def scripts(redis_server: RedisServer) -> AsyncIterator[Scripts]:
    redis = connect(redis_server.url)
    await redis.flushall()
    yield Scripts(redis)
    await redis.aclose()


def sounds(count: int) -> list[Sound]:
    return [Sound(stream="m", until=number, number=number) for number in range(count)]


async def post(scripts: Scripts, *messages: Message, version: str = "r1") -> None:
    letters = [MESH.address("source", message, RECORD) for message in messages]
    ours = [Letter(kind, body, tuple(r for r in receivers if r[0] == "ear")) for kind, body, receivers in letters]
    assert await scripts.post("m", "source", "*", version, RECORD, ours)


async def token(redis: Redis, stage: str, replica: str) -> Token:
    """Take the next token as FastStream would."""
    queue = f"{{p0}}:rdy:{stage}"
    with suppress(ResponseError):
        await redis.xgroup_create(queue, stage, id="0", mkstream=True)
    found: Any = await redis.xreadgroup(stage, replica, {queue: ">"}, count=1)
    ((_, ((entry, fields),)),) = found
    return Token(stage, fields[b"__data__"].decode(), f"{entry.decode()}@")


async def begin(scripts: Scripts, replica: str = "a") -> Turn:
    turn = await scripts.begin(await token(scripts.redis, "ear", replica), replica, 8, "", "")
    assert turn
    return turn


def row(number: int, discontinuity: bool = False) -> Sealed:
    return Sealed(
        stream="m",
        until=number + 1,
        number=number,
        start=0,
        duration=0,
        date=0,
        objects={},
        inits={},
        discontinuity=discontinuity,
    )


def test_a_message_goes_to_every_later_consumer_until_one_sends_it_on() -> None:
    assert [step.name for step in MESH.receivers("ear", Note)] == ["echo"]
    assert [step.name for step in MESH.receivers("echo", Note)] == ["voice", "sink"]
    assert [step.name for step in MESH.receivers("source", Sound)] == ["ear", "voice"]
    assert [step.name for step in MESH.receivers("source", End)] == ["ear"]
    letter = MESH.address("echo", Note(stream="m", until=0, number=0), RECORD)
    assert letter.receivers == (("voice", "m~es"), ("voice", "m~fr"), ("sink", "m"))


async def test_only_the_last_turn_of_a_token_can_commit(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    first = await begin(scripts)
    await asyncio.sleep(0.02)
    assert await scripts.sweep("{p0}", "ear", 10, 100) == 1
    second = await begin(scripts, "b")
    first.position = second.position = 1
    with pytest.raises(Fenced):
        await scripts.commit(first, "a", "v1", b"{}", [], [TO_SINK])
    await scripts.commit(second, "b", "v2", b"{}", [], [TO_SINK])
    assert await scripts.redis.xlen("{p0}:mb:sink:m") == 1
    assert await scripts.redis.xlen("{p0}:mb:ear:m") == 0


async def test_a_frozen_replica_cannot_renew_a_turn_that_was_given_away(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    first = await begin(scripts)
    assert await scripts.beat("{p0}", "ear", "a", 1000, 8, [first]) == [1]
    await asyncio.sleep(0.02)
    await scripts.sweep("{p0}", "ear", 10, 100)
    assert await scripts.beat("{p0}", "ear", "a", 1000, 8, [first]) == [-1]


async def test_only_attempts_that_ended_their_process_count(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))

    async def attempts() -> int:
        found: Any = await scripts.redis.hgetall("{p0}:st:ear:m")
        return int(found[b"attempts"])

    for _ in range(4):  # Too slow, but alive: another gets the turn, and the slow one learns of it.
        slow = await begin(scripts)
        await asyncio.sleep(0.02)
        await scripts.sweep("{p0}", "ear", 10, 100)
        assert await scripts.beat("{p0}", "ear", "a", 1000, 8, [slow]) == [-1]
        assert await attempts() == 0
    fenced = await begin(scripts)
    await asyncio.sleep(0.02)
    await scripts.sweep("{p0}", "ear", 10, 100)
    await scripts.again(fenced.token, "a")
    assert await attempts() == 0
    for dead in range(1, 4):  # Nobody says anything of these.
        await begin(scripts)
        await asyncio.sleep(0.02)
        await scripts.sweep("{p0}", "ear", 10, 100)
        assert await attempts() == dead


async def test_a_message_that_is_too_slow_for_all_is_not_tried_for_ever(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    for _ in range(35):
        slow = await begin(scripts)
        await asyncio.sleep(0.012)
        await scripts.sweep("{p0}", "ear", 10, 100)
        await scripts.beat("{p0}", "ear", "a", 1000, 8, [slow])
    found: Any = await scripts.redis.hgetall("{p0}:st:ear:m")
    assert int(found[b"attempts"]) == 5


async def test_an_emission_may_be_repeated_and_a_broken_chain_is_fenced(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    turn = await begin(scripts)
    chunk = Pcm(start=10, samples=b"\1\0" * 1600)
    await scripts.emit(turn, "v1", b"{}", [chunk], [TO_SINK])
    turn.version = ""
    await scripts.emit(turn, "v1", b"{}", [chunk], [TO_SINK])  # as after a lost reply
    assert await scripts.redis.xlen("{p0}:mb:sink:m") == await scripts.redis.xlen("{p0}:pcm:m") == 1
    turn.version = "a version that Redis lost"
    with pytest.raises(Fenced):
        await scripts.emit(turn, "v3", b"{}", [], [TO_SINK])
    with pytest.raises(Fenced):
        await scripts.commit(turn, "a", "v3", b"{}", [], [TO_SINK])
    turn.version = "v1"
    with pytest.raises(ResponseError, match="RING"):
        await scripts.emit(turn, "v2", b"{}", [chunk], [TO_SINK])
    assert await scripts.redis.xlen("{p0}:mb:sink:m") == 1


async def test_a_row_is_sealed_once_and_in_turn(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    turn = await begin(scripts)
    with pytest.raises(ResponseError, match="ROW 1"):
        await scripts.commit(turn, "a", "v1", b"{}", [row(1)], [TO_SINK])
    assert await scripts.redis.xlen("{p0}:mb:sink:m") == 0
    turn.position = 1
    await scripts.commit(turn, "a", "v1", b"{}", [row(0), row(1, discontinuity=True), row(2)], [])
    assert [fields[b"seams"] for fields in await entries(scripts, "{p0}:log:m")] == [b"0", b"1", b"1"]
    await post(scripts, *sounds(1), version="r2")
    turn = await begin(scripts)
    with pytest.raises(ResponseError, match="ROW 2"):
        await scripts.commit(turn, "a", "v2", b"{}", [row(2)], [])
    assert (await scripts.emit(turn, "v2", b"{}", [], []), turn.sealed) == (2, 3.0)


async def test_old_rows_go_when_the_sender_says_so(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    turn = await begin(scripts)
    turn.position = 1
    await scripts.commit(turn, "a", "v1", b"{}", [row(0), row(1), row(2)], [])
    await post(scripts, *sounds(1), version="r2")
    turn = await begin(scripts)
    turn.position = 2
    await scripts.commit(turn, "a", "v2", b"{}", [row(3)], [], oldest=2)
    found: Any = await scripts.redis.xrange("{p0}:log:m")
    assert [name for name, _ in found] == [b"3-0", b"4-0"]


async def test_a_full_redis_refuses_a_commit_as_a_whole(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    turn = await begin(scripts)
    turn.position = 1
    before = await scripts.redis.hgetall("{p0}:st:ear:m")
    await scripts.redis.config_set("maxmemory", 1)
    with pytest.raises(ResponseError, match=r"OOM|maxmemory"):
        await scripts.commit(turn, "a", "v1", b"{}", [], [TO_SINK])
    await scripts.redis.config_set("maxmemory", 0)
    assert await scripts.redis.hgetall("{p0}:st:ear:m") == before
    await scripts.commit(turn, "a", "v1", b"{}", [], [])


async def test_record_and_state_are_sent_only_when_they_changed(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    turn = await begin(scripts)
    version, body = turn.record
    assert version == "r1"
    assert body
    assert Record.model_validate_json(body) == RECORD
    turn.position = 1
    await scripts.commit(turn, "a", "v1", b'{"x":1}', [], [])
    await scripts.redis.hdel("{p0}:st:ear:m", "owner")
    await post(scripts, *sounds(1), version="r2")
    again = await scripts.begin(await token(scripts.redis, "ear", "a"), "a", 8, "v1", version)
    assert again
    assert again.state is None
    assert again.record[0] == "r2"
    assert not await scripts.post("m", "source", "another version", "r3", RECORD, [])
    assert await scripts.post("m", "source", "r1", "r2", RECORD, []), "a repeated POST is recognised"


async def test_the_ring_is_read_by_media_time(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    turn = await begin(scripts)
    for number in range(5):
        chunk = Pcm(start=10 + number * 0.2, samples=bytes([number, 0]) * 3200)
        await scripts.emit(turn, f"v{number}", b"{}", [chunk], [])
    heard = (await listen(scripts.redis, "{p0}:pcm:m", 10.1, 10.5)).samples
    assert heard == b"\0\0" * 1600 + b"\1\0" * 3200 + b"\2\0" * 1600
    assert (await listen(scripts.redis, "{p0}:pcm:m", 9.9, 10.0)).samples == b"\0\0" * 1600
    assert (await listen(scripts.redis, "{p0}:pcm:m", 10.9, 11.1)).samples == b"\4\0" * 1600 + b"\0\0" * 1600


async def test_a_url_belongs_to_one_stream_until_that_may_be_replaced(scripts: Scripts) -> None:
    assert await scripts.claim("d", "one", "") == "one"
    assert await scripts.claim("d", "two", "") == "one"
    assert await scripts.claim("d", "two", "other") == "one"
    assert await scripts.claim("d", "two", "one") == "two"


async def test_a_lane_that_lost_its_token_is_healed(scripts: Scripts) -> None:
    await post(scripts, *sounds(1))
    assert await scripts.heal("{p0}", "ear", "m") == 0
    await scripts.redis.delete("{p0}:rdy:ear")
    assert await scripts.heal("{p0}", "ear", "m") == 1
    assert (await begin(scripts)).mail


class Count(State):
    count: int = 0
    _decoder: list[int] = PrivateAttr(default_factory=list)


async def until(question: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not await question():
            await asyncio.sleep(0.02)


async def entries(scripts: Scripts, key: str) -> list[dict[bytes, bytes]]:
    found: Any = await scripts.redis.xrange(key)
    return [fields for _, fields in found]


async def test_bad_messages_are_put_aside_and_leave_no_trace_in_the_state(
    redis_server: RedisServer, scripts: Scripts
) -> None:
    tried: list[int] = []

    async def hear(sound: Sound, state: Count) -> AsyncIterator[Note]:
        tried.append(sound.number)
        state.count += 1
        state._decoder.append(sound.number)
        yield Note(stream=sound.stream, until=sound.until, number=state.count)
        if sound.number == 3:
            raise EngineError("cannot decode", retryable=False)
        if sound.number == 5 and tried.count(5) < 3:
            raise EngineError("busy", retryable=True)

    service = Service("ear", Limits(idle_ms=400))
    service.on(Sound, state=Count)(hear)
    await post(scripts, *sounds(8))
    connection = Connection(redis_server.url, MESH, [service])
    await connection.start()

    async def all_heard() -> bool:
        return len(await entries(scripts, "{p0}:mb:echo:m")) == 7

    await until(all_heard)
    await connection.stop()
    notes = [Note.model_validate_json(fields[b"body"]) for fields in await entries(scripts, "{p0}:mb:echo:m")]
    assert [note.number for note in notes] == list(range(1, 8))
    (dead,) = await entries(scripts, "{p0}:dlq:ear")
    assert dead[b"position"] == b"4"
    assert b"cannot decode" in dead[b"error"]
    assert tried.count(5) == 3


async def test_a_dead_letter_can_be_sent_again_or_dropped(scripts: Scripts) -> None:
    letters = DeadLetters(scripts, MESH)
    await post(scripts, *sounds(2))
    for position in (1, 2):
        await scripts.dead(await begin(scripts), position, "cannot decode")
    first, second = [letter async for letter in letters.all()]
    assert (first.stage, first.lane, first.kind, first.error) == ("ear", "m", "Sound", "cannot decode")
    assert await letters.replay(first.name)
    assert not await letters.replay(first.name)
    assert await letters.drop(second.name)
    assert [letter async for letter in letters.all()] == []
    again = await begin(scripts)
    assert [Sound.model_validate_json(mail.body).number for mail in again.mail] == [0]


async def test_a_source_hears_of_mail_and_hands_over_its_last_state(
    redis_server: RedisServer, scripts: Scripts
) -> None:
    lives: list[int] = []

    async def pull(begin: Begin, state: Count, context: Context) -> AsyncIterator[list[Message]]:
        lives.append(state.count)
        if len(lives) == 1:
            await context.amend(title="learned")
        while context.inbox.empty():
            await asyncio.sleep(0.02)
            state.count += 1
            yield [Sound(stream=begin.stream, until=state.count, number=state.count)]
        await context.inbox.get()
        assert context.record.title == "learned"
        yield [End(stream=begin.stream, until=state.count)]

    service = Service("source", Limits(idle_ms=400, grace=0.1))
    service.source(Begin, state=Count)(pull)
    start = Letter("Begin", Begin(stream="m", until=0).model_dump_json().encode(), (("source", "m"),))
    stop = Letter("Stop", Stop(stream="m", until=0).model_dump_json().encode(), (("source", "m"),))
    await scripts.post("m", "source", "", "r1", RECORD, [start])

    async def done() -> bool:
        return bool(await scripts.redis.hget("{p0}:st:source:m", "position") == b"2")

    for life in range(1, 4):  # two polite restarts in the middle
        connection = Connection(redis_server.url, MESH, [service])
        await connection.start()

        async def alive(life: int = life) -> bool:
            return len(lives) == life

        await until(alive)
        await asyncio.sleep(0.2)
        if life == 3:
            found = await scripts.record("m")
            assert found
            assert found[1].title == "learned"
            await scripts.post("m", "source", "*", "r9", found[1], [stop])
            await until(done)
        await connection.stop()
    sent = await entries(scripts, "{p0}:mb:ear:m")
    numbers = [Sound.model_validate_json(each[b"body"]).number for each in sent[:-1]]
    assert lives[0] == 0 < lives[1] < lives[2]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sent[-1][b"type"] == b"End"
    assert await scripts.redis.hmget("{p0}:st:source:m", ["position", "last", "token"]) == [b"2", b"2", b""]


async def test_observers_follow_events_and_offers(redis_server: RedisServer, scripts: Scripts) -> None:
    service = Service("ear", Limits(idle_ms=400))

    async def hear(sound: Sound, state: State) -> AsyncIterator[Progress]:
        yield Progress(stream=sound.stream, until=sound.until)

    service.on(Sound)(hear)
    connection = Connection(redis_server.url, MESH, [service])
    await connection.start()
    assert await service.bus.events("m") == []
    await post(scripts, *sounds(2))
    seen: list[Event] = []
    async with asyncio.timeout(5):
        while len(seen) < 4:
            seen += await service.bus.events("m", after=seen[-1].id if seen else "0", wait=1.0)
    assert [(event.stage, type(event.message).__name__) for event in seen] == [
        ("source", "Sound"),
        ("source", "Sound"),
        ("ear", "Progress"),
        ("ear", "Progress"),
    ]
    assert [record.stream for record in await service.bus.records()] == ["m"]
    await connection.stop()


async def test_another_number_of_shards_is_refused_at_the_start(redis_server: RedisServer, scripts: Scripts) -> None:
    await scripts.redis.hset("{p0}:mesh", "shards", "4")
    connection = Connection(redis_server.url, MESH, [])
    with pytest.raises(Misfit, match="BUS_SHARDS is 1 here and 4"):
        await connection.start()
    await connection._redis.aclose()


async def test_a_mesh_may_grow_but_an_older_release_is_refused(redis_server: RedisServer, scripts: Scripts) -> None:
    smaller = Mesh(*list(MESH.steps.values())[:-1])
    for mesh in (smaller, MESH):
        connection = Connection(redis_server.url, mesh, [])
        await connection.start()
        await connection.stop()
    connection = Connection(redis_server.url, smaller, [])
    with pytest.raises(Misfit, match="knows nothing of sink<Note"):
        await connection.start()
    await connection._redis.aclose()


def test_wiring_that_the_mesh_does_not_know_is_refused() -> None:
    async def wrong(note: Note, state: State) -> AsyncIterator[Progress]:
        yield Progress(stream=note.stream, until=note.until)

    service = Service("ear")
    service.on(Note)(wrong)
    with pytest.raises(TypeError, match="do not agree"):
        service.stage(MESH)
