"""A worker whose stages take as long as if they had real engines: `python -m loadtest.costs asr translator ...`.

A cost is CPU time that is really burnt, off the event loop and without the GIL as a model would; or, for an engine on
another device or machine, time that is only waited for.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import uvloop

from services import MESH
from services.__main__ import build, niceness
from shared.app import Settings, running
from shared.bus import Context, State
from shared.bus.stage import Handler
from shared.messages import AudioChunk, Message, Speech, Translation, Utterance

UNITS = {
    "asr": "second of sound",
    "speaker": "second of utterance",
    "translator": "sentence",
    "tts": "second of speech",
}
"""What the engine of a service is paid by."""
VARIABLE = "LOADTEST_COSTS"


class Cost(NamedTuple):
    """Seconds an engine takes for a unit, whether it only waits, and how many calls it serves at once."""

    seconds: float
    waits: bool = False
    workers: int = 1


ENGINES: Mapping[str, tuple[str, Cost]] = {
    "pocketsphinx": ("asr", Cost(0.14)),
    "fastconformer-114m": ("asr", Cost(0.11)),
    "fastconformer-600m": ("asr", Cost(0.56)),
    "whisper-tiny": ("asr", Cost(0.25)),
    "whisper-small": ("asr", Cost(0.75)),
    "dvector": ("speaker", Cost(0.16)),
    "ecapa": ("speaker", Cost(0.021)),
    "apertium": ("translator", Cost(0.015)),
    "opus": ("translator", Cost(0.12)),
    "nllb-600m": ("translator", Cost(0.44)),
    "espeak": ("tts", Cost(0.004)),
    "vits": ("tts", Cost(0.19)),
}
"""Measured on one core of the kind that docs/engines.md names; whisper at phrases of four seconds."""


def parsed(words: Sequence[str]) -> dict[str, Cost]:
    """Costs by service, each an engine's name or SERVICE=SECONDS, with `:wait` and `:WORKERS` behind; ValueError."""
    found: dict[str, Cost] = {}
    for word in words:
        what, *rest = word.split(":")
        name, equals, seconds = what.partition("=")
        if equals and name in UNITS:
            cost = Cost(float(seconds))
        elif what in ENGINES:
            name, cost = ENGINES[what]
        else:
            raise ValueError(f"{word!r} is no cost: say one of {', '.join(ENGINES)}, or {'|'.join(UNITS)}=SECONDS")
        waits, workers = "wait" in rest, [int(each) for each in rest if each.isdigit()]
        found[name] = Cost(cost.seconds, waits, workers[0] if workers else cost.workers)
    return found


def environment(costs: Mapping[str, Cost]) -> dict[str, str]:
    """The environment that tells a worker its costs."""
    return {VARIABLE: json.dumps({name: tuple(cost) for name, cost in costs.items()})}


def spend(seconds: float, waits: bool) -> None:
    """Burn CPU time of this thread without the GIL, or wait."""
    if waits:
        time.sleep(seconds)
        return
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        hashlib.pbkdf2_hmac("sha256", b"cost", b"of an engine", 1000)


class Till:
    """Where calls of one engine are paid; no more at once than it has workers."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._workers = ThreadPoolExecutor(cost.workers, thread_name_prefix="cost")

    async def pay(self, units: float) -> None:
        """Take as long as these units cost."""
        if units:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._workers, spend, units * self._cost.seconds, self._cost.waits)


def paid(stage: str, handler: Handler, till: Till) -> Handler:
    """A handler that takes as long as its engine would."""

    async def handle(message: Message, state: State, context: Context) -> AsyncGenerator[Message, None]:
        await till.pay(owed_before(stage, message))
        async for output in handler(message, state, context):
            await till.pay(owed_after(stage, output))
            yield output

    return handle


def owed_before(stage: str, message: Message) -> float:
    """Units that a message costs its stage."""
    match message:
        case AudioChunk() if stage == "asr":
            return message.end - message.start
        case Utterance() if stage == "speaker":
            return message.end - message.start
    return 0.0


def owed_after(stage: str, output: Message) -> float:
    """Units that an output has cost its stage."""
    match output:
        case Translation() if stage == "translator":
            return 1.0
        case Speech() if stage == "voice":
            return sum(take.duration for take in output.takes)
    return 0.0


async def work(names: Sequence[str], costs: Mapping[str, Cost]) -> None:
    """These services until SIGTERM, slowed down."""
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    tills = {"voice" if name == "tts" else name: Till(cost) for name, cost in costs.items()}
    async with running(MESH, build(names), Settings()) as connection:
        for stage in connection.stages:
            if till := tills.get(stage.name):
                stage.handlers = {kind: paid(stage.name, each, till) for kind, each in stage.handlers.items()}
        await done.wait()


if __name__ == "__main__":
    known = {name: Cost(*cost) for name, cost in json.loads(os.environ[VARIABLE]).items()}
    os.nice(niceness(sys.argv[1:]))
    uvloop.run(work(sys.argv[1:], known))
