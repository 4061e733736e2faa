"""How a measure is told: a table for people, JSON for programs."""

import argparse
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def parser(measure: str, text: str | None) -> argparse.ArgumentParser:
    """An argument parser with the options that all measures share."""
    found = argparse.ArgumentParser(prog=f"python -m loadtest {measure}", description=text)
    found.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    return found


def tell(measure: str, figures: Mapping[str, float], options: argparse.Namespace) -> None:
    """Print the figures and write them where `--json` says. A figure that could not be measured is absent."""
    table = Table("figure", "value", title=measure)
    for key, value in figures.items():
        table.add_row(key, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console().print(table)
    chosen: dict[str, Any] = {key: value for key, value in vars(options).items() if key != "json"}
    if options.json:
        whole = {"measure": measure, "machine": machine(), "options": chosen, "figures": dict(figures)}
        options.json.write_text(json.dumps(whole, indent=2, default=str) + "\n")


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table of rows."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{cell:,.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
