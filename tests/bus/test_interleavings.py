"""Whatever the order of begin, commit, crash, freeze and sweep: each message has its effect once, and in turn."""

import asyncio
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.exceptions import ResponseError

from loadtest.chaos import sabotage
from loadtest.redis_server import RedisServer
from shared.bus.address import connect
from shared.bus.errors import Fenced
from shared.bus.mesh import Letter
from shared.bus.scripts import Scripts
from shared.bus.turn import Token, Turn
from shared.context import Record

REPLICAS = ("a", "b", "c")
NAMES = count()


class Turns(RuleBasedStateMachine):
    """Three replicas of stage `ear` share one lane; what they commit goes to stage `sink`."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = connect(self.url)
        self.scripts = Scripts(self.redis)
        self.lane = f"m{next(NAMES)}"
        self.sent = 0
        self.tokens: dict[str, list[Token]] = {replica: [] for replica in REPLICAS}
        self.turns: dict[str, list[Turn]] = {replica: [] for replica in REPLICAS}
        """Turns that began and did not end: their replicas may be frozen, and come back late."""

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize()
    def create(self) -> None:
        async def groups() -> None:
            await self.redis.flushall()
            for queue in ("{p0}:rdy:ear", *(f"{{p0}}:rdy:ear@{replica}" for replica in REPLICAS)):
                await self.redis.xgroup_create(queue, "ear", id="0", mkstream=True)

        self.run(groups())
        self.beat()

    @rule()
    def send(self) -> None:
        """Another message of the lane."""
        letter = Letter("Note", str(self.sent).encode(), (("ear", self.lane),))
        record = Record(stream=self.lane)
        assert self.run(self.scripts.post(self.lane, "in", "*", f"v{self.sent}", record, [letter]))
        self.sent += 1

    @rule(replica=st.sampled_from(REPLICAS), own=st.booleans())
    def take(self, replica: str, own: bool) -> None:
        """A replica reads a token from the queue of all or from its own."""
        owner = replica if own else ""
        queue = f"{{p0}}:rdy:ear{'@' + owner if owner else ''}"

        async def read() -> Any:
            with suppress(ResponseError):  # the queue of a replica that left
                return await self.redis.xreadgroup("ear", replica, {queue: ">"}, count=1)

        for _, entries in self.run(read()) or ():
            for name, fields in entries:
                self.tokens[replica].append(Token("ear", fields[b"__data__"].decode(), f"{name.decode()}@{owner}"))

    @rule(replica=st.sampled_from(REPLICAS), batch=st.integers(1, 3))
    def begin(self, replica: str, batch: int) -> None:
        if self.tokens[replica]:
            token = self.tokens[replica].pop()
            turn = self.run(self.scripts.begin(token, replica, batch, "", ""))
            if turn:
                self.turns[replica].append(turn)

    @rule(replica=st.sampled_from(REPLICAS))
    def begin_twice(self, replica: str) -> None:
        """The answer to the first BEGIN was lost with the connection."""
        if self.tokens[replica]:
            token = self.tokens[replica].pop()
            for _ in range(2):
                turn = self.run(self.scripts.begin(token, replica, 1, "", ""))
                if turn:
                    self.turns[replica].append(turn)

    @rule(replica=st.sampled_from(REPLICAS), oldest=st.booleans())
    def commit(self, replica: str, oldest: bool) -> None:
        """A replica ends a turn, now or long after it was taken from it."""
        if self.turns[replica]:
            self.end(self.turns[replica].pop(0 if oldest else -1), replica)

    @rule(replica=st.sampled_from(REPLICAS))
    def crash(self, replica: str) -> None:
        """All that the replica had in hand is gone."""
        self.tokens[replica].clear()
        self.turns[replica].clear()

    @rule(replica=st.sampled_from(REPLICAS))
    def leave(self, replica: str) -> None:
        """SIGTERM: the replica hands back what it has."""
        self.run(self.scripts.leave("{p0}", "ear", replica))

    @rule()
    def sweep(self) -> None:
        """Long after all that happened: every unfinished turn is taken for abandoned."""
        self.run(self.redis.delete("{p0}:swp:ear"))
        self.run(asyncio.sleep(0.005))
        self.run(self.scripts.sweep("{p0}", "ear", 4, 0))

    @rule()
    def beat(self) -> None:
        for replica in REPLICAS:
            self.run(self.scripts.beat("{p0}", "ear", replica, 60_000, 2, []))

    @rule()
    def heal(self) -> None:
        """The doctor comes; on a lane that is well it changes nothing that matters."""
        self.run(self.scripts.heal("{p0}", "ear", self.lane))

    @precondition(lambda self: self.sent)
    @invariant()
    def every_effect_is_once_and_in_turn(self) -> None:
        said = self.said()
        assert said == list(range(len(said)))
        assert self.state() == len(said)

    def end(self, turn: Turn, replica: str) -> None:
        """What a handler does: count, and pass each message on."""
        known = int(turn.state or b"0")
        numbers = [int(mail.body) for mail in turn.mail]
        assert numbers == list(range(known, known + len(numbers))), "mail and state belong together"
        letters = [Letter("Note", mail.body, (("sink", self.lane),)) for mail in turn.mail]
        turn.position += len(numbers)
        state = str(known + len(numbers)).encode()
        with suppress(Fenced):
            self.run(self.scripts.commit(turn, replica, f"s{turn.nonce}", state, [], letters))

    def said(self) -> list[int]:
        entries = self.run(self.redis.xrange(f"{{p0}}:mb:sink:{self.lane}"))
        return [int(fields[b"body"]) for _, fields in entries]

    def state(self) -> int:
        return int(self.run(self.redis.hget(f"{{p0}}:st:ear:{self.lane}", "state")) or 0)

    def teardown(self) -> None:
        """In the end nothing is lost: one replica that lives does what is left."""
        try:
            self.drain()
            assert self.said() == list(range(self.sent))
        finally:
            self.run(self.redis.aclose())
            self.runner.close()

    def drain(self) -> None:
        for replica in REPLICAS:
            self.crash(replica)
        for _ in range(2 * self.sent + 4):
            self.sweep()
            for own in (False, True):
                self.take("a", own)
            while self.tokens["a"]:
                self.begin("a", 3)
            while self.turns["a"]:
                self.commit("a", False)


def test_any_interleaving_keeps_order_and_effect(redis_server: RedisServer) -> None:
    Turns.url = redis_server.url
    bounds = settings(
        max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(Turns, settings=bounds)


@pytest.mark.parametrize("protection", ["", "fence"])
def test_a_thawed_replica_commits_twice_only_without_the_fence(
    protection: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Turns.url = redis_server.url
    if protection:
        monkeypatch.setattr("shared.bus.scripts.FOLDER", sabotage(protection))
    turns = Turns()
    turns.create()
    turns.send()
    turns.take("a", False)
    turns.begin("a", 1)
    turns.sweep()
    turns.take("b", False)
    turns.begin("b", 1)
    turns.commit("b", True)
    turns.commit("a", True)
    said = turns.said()
    turns.teardown() if not protection else turns.runner.run(turns.redis.aclose())
    turns.runner.close()
    assert said == ([0, 0] if protection else [0])
