"""Secrets that stand in files: each file of the folder SECRETS_DIR stands in for the variable of its name."""

import re
from collections.abc import MutableMapping
from pathlib import Path

FOLDER = "SECRETS_DIR"
LARGEST = 1 << 16
"""Bytes of the largest secret."""
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
"""Files with other names are no secrets of ours, such as those with which Kubernetes swaps a volume."""


def add_secrets(environment: MutableMapping[str, str]) -> None:
    """Adds what the files say and the environment leaves out or empty, so that whoever reads a variable finds it.

    Raises OSError, which names the file and never what is in it, for one that cannot be read.
    """
    if not (folder := environment.get(FOLDER, "")):
        return
    if not Path(folder).is_dir():
        raise OSError(f"{FOLDER}: {folder} is no folder")
    for path in sorted(Path(folder).iterdir()):
        if VARIABLE.fullmatch(path.name) and path.is_file() and not environment.get(path.name):
            environment[path.name] = _secret(path)


def _secret(path: Path) -> str:
    body = path.read_bytes() if path.stat().st_size <= LARGEST else b"\0"
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise OSError(f"{FOLDER}: {path} is no line of text")
    return text
