"""python -m services [name ...]: these services in one process; all of them without a name."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

import uvloop

from services import MESH, SERVICES, TIMELY
from shared.app import Settings, run
from shared.bus import Service
from shared.bus.address import connect
from shared.bus.dead_letters import DeadLetters
from shared.bus.errors import Misfit
from shared.bus.scripts import Scripts
from shared.settings import add_secrets

YIELDING = 5
"""How nice a process is to those that keep the streams in time, with which it shares a machine."""


def build(names: Iterable[str]) -> list[Service]:
    """The services of these folders, from their settings in the environment."""
    services: list[Service] = []
    for name in names:
        created = import_module(f"services.{name}.service").create()
        services += created if isinstance(created, tuple) else (created,)
    return services


def niceness(names: Iterable[str]) -> int:
    """Of a process with these services."""
    return 0 if set(names) & set(TIMELY) else YIELDING


def main(words: Sequence[str]) -> int:
    try:
        add_secrets(os.environ)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if words[:1] == ["dead-letters"]:
        return asyncio.run(dead_letters(words[1:]))
    if words[:1] == ["clip"]:
        return int(import_module("services.clip.command").main(words[1:]))
    parser = argparse.ArgumentParser(
        prog="python -m services", description=__doc__, epilog="See also: python -m services dead-letters --help"
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(SERVICES))
    names = parser.parse_args(words).names or SERVICES
    if unknown := sorted(set(names) - set(SERVICES)):
        parser.error(f"no service is called {', '.join(unknown)}; there are {', '.join(SERVICES)}")
    os.nice(niceness(names))
    try:
        uvloop.run(run(MESH, build(names), Settings()))
    except (OSError, ImportError, MemoryError, Misfit) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def dead_letters(words: Sequence[str]) -> int:
    """List, replay or drop what stages could not handle; transcripts are shown, so mind who looks on."""
    parser = argparse.ArgumentParser(prog="python -m services dead-letters", description=dead_letters.__doc__)
    parser.add_argument("action", choices=("list", "replay", "drop"))
    parser.add_argument("letters", nargs="*", metavar="letter", help="as listed; all without one")
    options, settings = parser.parse_args(words), Settings()
    redis = connect(settings.redis_url)
    try:
        letters = DeadLetters(Scripts(redis, settings.bus_shards), MESH)
        known = [letter async for letter in letters.all()]
        if options.action == "list":
            for letter in known:
                sys.stdout.write(f"{letter.name}  {letter.lane}  {letter.kind}  {letter.error}\n  {letter.body}\n")
            return 0
        act = letters.replay if options.action == "replay" else letters.drop
        names = options.letters or [letter.name for letter in known]
        done = [await act(name) for name in names]
        sys.stdout.write(f"{options.action}: {sum(done)} of {len(names)}\n")
        return int(not all(done))
    finally:
        await redis.aclose()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
