"""python -m services [name ...]: these services in one process; all of them without a name."""

import argparse
import sys
from collections.abc import Iterable
from importlib import import_module

import uvloop

from services import MESH, SERVICES
from shared.app import Settings, run
from shared.bus import Service


def build(names: Iterable[str]) -> list[Service]:
    """The services of these folders, from their settings in the environment."""
    services: list[Service] = []
    for name in names:
        created = import_module(f"services.{name}.service").create()
        services += created if isinstance(created, tuple) else (created,)
    return services


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(SERVICES))
    names = parser.parse_args().names or SERVICES
    if unknown := sorted(set(names) - set(SERVICES)):
        parser.error(f"no service is called {', '.join(unknown)}; there are {', '.join(SERVICES)}")
    try:
        uvloop.run(run(MESH, build(names), Settings()))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
