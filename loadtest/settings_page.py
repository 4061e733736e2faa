"""python -m loadtest.settings_page [--check]: docs/settings.md from the settings classes, which are its only source."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from services import SERVICES
from shared.app import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/settings.md"

BEFORE = """# Settings

Every setting is an environment variable with a default. There are no configuration files; what belongs to one stream
is set when it is started ([api.md](api.md)). A wrong value stops the process at start and is named. This page is
written by `python -m loadtest.settings_page`.

## The process

`python -m services` runs everything in one process, `python -m services asr translator` these stages. All processes of
a mesh share `REDIS_URL`; with more than one, every `..._STORE` must name the same place (`file:///folder` or
`s3://bucket/prefix`), since `memory://` is seen by one process only. A file of the folder `SECRETS_DIR` stands in
for the variable of its name, where that is not set.
"""
AFTER = """
## The demo and the tests

`make demo` starts its own Redis unless `REDIS_URL` is set, and keeps objects in memory. `OPENBLAS_NUM_THREADS` and
`OMP_NUM_THREADS` should be 1: the numeric libraries otherwise spend several times the CPU on the same work.
"""


def page() -> str:
    """Returns the page of every service's settings, in Markdown."""
    parts = [BEFORE, table(Settings, shared=())]
    common = variables(Settings)
    for name in SERVICES:
        settings = import_module(f"services.{name}.service").Settings
        parts += [f"\n## {name}\n", table(settings, shared=common)]
    return "\n".join([*parts, AFTER])


def table(settings: type[BaseSettings], shared: Sequence[str]) -> str:
    """Returns one row per setting but those of the whole process, whose variables are `shared`."""
    rows = [row for row in _rows(settings) if row[0][0] not in shared]
    lines = [f"| {names(row[0])} | {row[1]} | {row[2]} |".replace("|  |", "| |") for row in rows]
    return "\n".join(["| variable | default | |", "|---|---|---|", *lines])


def variables(settings: type[BaseSettings]) -> tuple[str, ...]:
    """Returns the environment variables of a settings class."""
    return tuple(name for row in _rows(settings) for name in row[0])


def names(of: Sequence[str]) -> str:
    """Returns variables that set the same thing, the first that is set counts."""
    return ", or ".join(f"`{name}`" for name in of)


def _rows(settings: type[BaseSettings]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    prefix = str(settings.model_config.get("env_prefix", ""))
    for name, field in settings.model_fields.items():
        yield _variables(field, prefix + name), _default(field), _text(field)


def _variables(field: FieldInfo, plain: str) -> tuple[str, ...]:
    alias = field.validation_alias
    known = alias.choices if isinstance(alias, AliasChoices) else [alias or plain]
    return tuple(str(name).upper() for name in known)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    shown = "unset" if value is None else str(value).removeprefix(f"{ROOT}/")
    return f"`{shown}`" if shown else ""


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


def main(options: Sequence[str]) -> int:
    """Writes the page, or with --check says by its exit status whether it is current."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.settings_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args(options).check:
        return int(PAGE.read_text() != page())
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
