"""python -m deploy.audit: known vulnerabilities of the pinned dependencies, as pip-audit knows them.

Ends with 1 where there are some. Where the vulnerability services cannot be reached it says so and ends with 0, or with
--strict with 2, so that a check without a network still runs and never looks like one that found nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PINNED = Path(__file__).parents[1] / "constraints.txt"
SERVICES = ("pypi", "osv")
"""Tried in this order: the package index itself, then osv.dev."""
PATIENCE = 120.0
"""Seconds for one service."""


def requirements(text: str) -> str:
    """Returns pins without local versions (torch==2.13.0+cpu), which no service knows."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return "".join(f"{line.partition('+')[0]}\n" for line in lines if line)


def faults(report: dict[str, Any]) -> Iterator[str]:
    """Yields one line per vulnerability in pip-audit's JSON."""
    for package in report.get("dependencies", []):
        for found in package.get("vulns", []):
            mended = ", ".join(found.get("fix_versions", [])) or "no version yet"
            yield f"{package['name']} {package['version']}: {found['id']}, mended in {mended}"


def audited(service: str, pins: Path) -> dict[str, Any] | None:
    """Returns pip-audit's report, None where the service does not answer."""
    words = ["--requirement", str(pins), "--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "5"]
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--vulnerability-service", service, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None
    # Packages that a service does not know are skipped: where it knows none, it is no such service.
    known = [package for package in report.get("dependencies", []) if "vulns" in package]
    return report if known else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was found."""
    parser = argparse.ArgumentParser(prog="python -m deploy.audit", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--strict", action="store_true", help="fail where no service can be reached")
    strict = parser.parse_args(arguments).strict
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "requirements.txt"
        pins.write_text(requirements(PINNED.read_text()))
        report = next((found for service in SERVICES if (found := audited(service, pins)) is not None), None)
    if report is None:
        sys.stdout.write("audit: NOT DONE, no vulnerability service can be reached (pypi.org, api.osv.dev).\n")
        return 2 if strict else 0
    listed = list(faults(report))
    sys.stdout.write("".join(f"audit: {line}\n" for line in listed))
    sys.stdout.write(f"audit: {len(report['dependencies'])} packages, {len(listed)} known vulnerabilities.\n")
    return int(bool(listed))


if __name__ == "__main__":
    sys.exit(main())
