"""A service's user on a real Redis: it does its work, and nothing else."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from deploy import acl
from loadtest.redis_server import RedisServer
from services import MESH, SERVICES
from shared.bus import Connection, Service
from shared.bus.mesh import Letter
from shared.bus.scripts import Scripts
from shared.bus.turn import Token, Turn
from shared.context import Offer, Pcm, Record
from shared.messages import Message, Progress, Sealed, StreamStarted

PASSWORDS = acl.draw()
RECORD = Record(stream="m", url="http://example.com/a.m3u8", languages=("es", "ca"), faces=True)
STAGES = [(service, stage) for service in SERVICES for stage in acl.stages(service) if MESH.steps[stage].consumes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    file = tmp_path_factory.mktemp("acl") / "users.acl"
    file.write_text(acl.users(PASSWORDS))
    with RedisServer("--aclfile", str(file)) as running:
        yield running


def url(server: RedisServer, user: str) -> str:
    return server.url.replace("redis://", f"redis://{user}:{PASSWORDS[user]}@")


@pytest.fixture
async def admin(server: RedisServer) -> AsyncIterator[Redis]:
    redis = Redis.from_url(url(server, "admin"))
    await redis.flushall()
    yield redis
    await redis.aclose()


async def turn(server: RedisServer, user: str, stage: str, *letters: Letter, rows: tuple[Sealed, ...] = ()) -> None:
    """Take the turn that waits in the ready queue, and commit these letters."""
    lane = "m~es" if MESH.steps[stage].by_language else "m"
    async with Redis.from_url(url(server, user)) as redis:
        scripts = Scripts(redis)
        begun = await begin(redis, scripts, stage, lane)
        assert await scripts.beat("{p0}", stage, "r", 1500, 8, [begun]) == [1]
        await scripts.commit(begun, "r", "v2", b"{}", rows, letters, over=True)
        await scripts.sweep("{p0}", stage, 1500, 100)
        await scripts.heal("{p0}", stage, lane)
        await scripts.leave("{p0}", stage, "r")


async def begin(redis: Redis, scripts: Scripts, stage: str, lane: str) -> Turn:
    taken: Any = await redis.xreadgroup(stage, "r", {f"{{p0}}:rdy:{stage}": ">"}, count=1)
    entry = taken[0][1][0][0].decode()
    begun = await scripts.begin(Token(stage, lane, f"{entry}@"), "r", 8, "", "")
    assert begun is not None
    return begun


async def wait_for(admin: Redis, stage: str) -> None:
    """A message and its token in front of a stage, put there by somebody who may do all."""
    await admin.xgroup_create(f"{{p0}}:rdy:{stage}", stage, id="0", mkstream=True)
    lane = "m~es" if MESH.steps[stage].by_language else "m"
    letter = Letter("Progress", b'{"stream":"m","until":1}', ((stage, lane),))
    await Scripts(admin).post("m", "ingest", "*", "v1", RECORD, [letter])


def letters_of(stage: str) -> list[Letter]:
    """One letter to each receiver of a stage, in each of its lanes."""
    lanes = {step.name: list(step.lanes(Message(stream="m", until=1), RECORD)) for step in MESH.steps.values()}
    to = tuple((other, lane) for other in sorted(acl.receivers(MESH, stage)) for lane in lanes[other])
    return [Letter("Progress", b'{"stream":"m","until":2}', to)]


@pytest.mark.parametrize(("service", "stage"), STAGES)
async def test_each_stage_takes_its_turns_and_delivers(
    server: RedisServer, admin: Redis, service: str, stage: str
) -> None:
    await wait_for(admin, stage)
    row = Sealed(stream="m", until=6, number=0, start=0, duration=540_000, date=0, objects={}, inits={})
    await turn(server, service, stage, *letters_of(stage), rows=(row,) if stage == "sender" else ())
    for other in acl.receivers(MESH, stage):
        assert await admin.xlen(f"{{p0}}:rdy:{other}") == (2 if MESH.steps[other].by_language else 1)


def idle(stage: str) -> Service:
    """A stage that passes nothing on, and says what it serves."""
    made = Service(stage)
    made.offer(Offer())
    for kind in MESH.steps[stage].consumes if stage in MESH.steps else ():

        @made.on(kind)
        async def keep(message: Message) -> AsyncIterator[Progress]:
            yield Progress(stream=message.stream, until=message.until)

    return made


@pytest.mark.parametrize("service", SERVICES)
async def test_each_service_connects_starts_its_stages_and_stops(
    server: RedisServer, admin: Redis, service: str
) -> None:
    stages = [idle(stage) for stage in acl.stages(service) or (service,)]
    connection = Connection(url(server, service), MESH, stages)
    await connection.start()
    assert await connection.ready()
    assert connection.alive
    await connection.stop()


async def test_ingest_posts_claims_and_reads_what_others_say(server: RedisServer, admin: Redis) -> None:
    connection = Connection(url(server, "ingest"), MESH, [service := Service("ingest")])
    await connection.start()
    assert await service.bus.claim("digest", "m") == "m"
    assert await service.bus.post(RECORD, "", StreamStarted(stream="m", until=0))
    assert [record.stream for record in await service.bus.records()] == ["m"]
    assert [event.stage for event in await service.bus.events("m")] == ["ingest"]
    assert await service.bus.offers() == {}
    await connection.stop()


async def test_the_downloader_emits_sound_and_amends_the_record(server: RedisServer, admin: Redis) -> None:
    await wait_for(admin, "downloader")
    async with Redis.from_url(url(server, "downloader")) as redis:
        scripts = Scripts(redis)
        begun = await begin(redis, scripts, "downloader", "m")
        await scripts.emit(begun, "v2", b"{}", [Pcm(start=1.0, samples=b"\0\0")], letters_of("downloader"))
        version, record = await scripts.record("m") or ("", RECORD)
        assert await scripts.post("m", "downloader", version, "v9", record, [])


async def test_a_stage_puts_aside_what_it_cannot_handle(server: RedisServer, admin: Redis) -> None:
    await wait_for(admin, "translator")
    async with Redis.from_url(url(server, "translator")) as redis:
        scripts = Scripts(redis)
        await scripts.dead(await begin(redis, scripts, "translator", "m"), 1, "no such word")
    assert await admin.xlen("{p0}:dlq:translator") == 1


async def test_asr_hears_the_ring_and_nobody_else_writes_it(server: RedisServer, admin: Redis) -> None:
    await admin.xadd("{p0}:pcm:m", {"pcm": b"\0\0"}, id="1000-0")
    for user in ("asr", "speaker"):
        async with Redis.from_url(url(server, user)) as redis:
            assert await redis.xlen("{p0}:pcm:m") == 1
    for user in set(SERVICES) - {"downloader"}:
        async with Redis.from_url(url(server, user)) as redis:
            with pytest.raises(NoPermissionError):
                await redis.xadd("{p0}:pcm:m", {"pcm": b"lie"})
            with pytest.raises(NoPermissionError):
                await redis.delete("{p0}:pcm:m")


async def test_the_sender_alone_writes_the_log_and_says_what_is_wanted(server: RedisServer, admin: Redis) -> None:
    connection = Connection(url(server, "sender"), MESH, [service := Service("sender")])
    await connection.start()
    await service.bus.want("m", "es")
    assert await service.bus.log("m") == []
    await connection.stop()
    for user in set(SERVICES) - {"sender"}:
        async with Redis.from_url(url(server, user)) as redis:
            for call in (redis.xadd("{p0}:log:m", {"body": "lie"}), redis.hset("{p0}:want:m", "es", "1")):
                with pytest.raises(NoPermissionError):
                    await call


async def test_the_dashboard_only_looks(server: RedisServer, admin: Redis) -> None:
    await Scripts(admin).post("m", "ingest", "", "v1", RECORD, [])
    connection = Connection(url(server, "dashboard"), MESH, [service := Service("dashboard")])
    await connection.start()
    assert [record.stream for record in await service.bus.records()] == ["m"]
    assert await service.bus.events("m") == []
    with pytest.raises(NoPermissionError):
        await service.bus._redis.hset("{p0}:g:m", "body", "lie")
    await connection.stop()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_reads_and_writes_nothing_that_is_not_its_own(
    server: RedisServer, admin: Redis, service: str
) -> None:
    own = acl.stages(service)
    reached = {other for stage in own for other in acl.receivers(MESH, stage)} | set(own)
    async with Redis.from_url(url(server, service)) as redis:
        for stage in set(MESH.steps) - reached:
            for key in (f"{{p0}}:mb:{stage}:m", f"{{p0}}:st:{stage}:m", f"{{p0}}:rdy:{stage}", f"{{p0}}:dlq:{stage}"):
                with pytest.raises(NoPermissionError):
                    await redis.delete(key)
        for command in (
            "KEYS *",
            "FLUSHALL",
            "CONFIG GET dir",
            "EVAL return 0",
            "ACL LIST",
            "MONITOR",
        ):
            with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)permission"):
                await redis.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def runs(admin: Redis, user: str, *words: str) -> bool:
    """Whether a user may give a command at all, whatever its keys."""
    try:
        verdict = await admin.execute_command("ACL", "DRYRUN", user, *words)  # type: ignore[no-untyped-call]
    except ResponseError:
        return False
    return b"no permissions to run" not in verdict


@pytest.mark.parametrize("service", [*SERVICES, "monitor"])
async def test_a_user_may_give_the_commands_of_its_list_and_no_other(
    server: RedisServer, admin: Redis, service: str
) -> None:
    rules = acl.OBSERVERS.get(service) or acl.rules(MESH, service)
    granted = {name.replace("|", " ") for name in re.findall(r"\+([a-z|]+)", rules)}
    known: Any = await admin.execute_command("COMMAND")  # type: ignore[no-untyped-call]
    commands = {name: facts["arity"] for name, facts in known.items() if not facts["subcommands"]}
    for facts in known.values():
        commands |= {each[0].decode().replace("|", " "): each[1] for each in facts["subcommands"]}
    assert len(commands) > 300
    allowed = set()
    for name, arity in commands.items():
        words = name.split()
        if await runs(admin, service, *words, *["x"] * (abs(arity) - len(words))):
            allowed.add(name)
    # Without these two nobody could leave.
    assert allowed - {"quit", "reset"} == granted


async def test_a_script_is_refused_a_mailbox_that_is_not_its_receivers(server: RedisServer, admin: Redis) -> None:
    await wait_for(admin, "segmenter")
    with pytest.raises(ResponseError, match=r"(?i)permission|access"):
        await turn(server, "segmenter", "segmenter", Letter("Head", b"{}", (("sender", "m"),)))


async def test_nobody_gets_in_without_a_password(server: RedisServer) -> None:
    async with Redis.from_url(server.url) as redis:
        with pytest.raises((AuthenticationError, NoPermissionError)):
            await redis.get("{p0}:g:m")


async def test_the_monitor_sees_lengths_and_figures_but_no_content(server: RedisServer, admin: Redis) -> None:
    async with Redis.from_url(url(server, "monitor")) as redis:
        assert await redis.xlen("{p0}:rdy:asr") == 0
        assert "used_memory" in await redis.info("memory")
        with pytest.raises(NoPermissionError):
            await redis.hgetall("{p0}:g:m")


def test_files_are_written_once_and_hold_hashes_beside_secrets(tmp_path: Path) -> None:
    assert acl.main([str(tmp_path)]) == 0
    secret = dict(line.split("=", 1) for line in (tmp_path / "passwords.env").read_text().splitlines())
    users = (tmp_path / "users.acl").read_text()
    assert set(secret) == {f"REDIS_PASSWORD_{name.upper()}" for name in (*SERVICES, "monitor", "admin")}
    assert not any(value in users for value in secret.values())
    assert (tmp_path / "passwords.env").stat().st_mode & 0o077 == 0
    assert acl.main([str(tmp_path)]) == 1
