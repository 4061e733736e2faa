"""Whether a model fits on a GPU: told in one line before it is loaded, not by a crash while it is."""

import subprocess
from collections.abc import Callable
from pathlib import Path

GIGABYTE = 1e9
WEIGHTS = (".bin", ".safetensors", ".pth", ".pt", ".nemo", ".ckpt")


def weights(folder: Path) -> int:
    """Bytes of the weights in a folder: of the largest kind, since some models are published in two."""
    kinds: dict[str, int] = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.suffix in WEIGHTS:
            kinds[file.suffix] = kinds.get(file.suffix, 0) + file.stat().st_size
    return max(kinds.values(), default=0)


def room(device: str) -> int | None:
    """Free bytes on a GPU such as `cuda` or `cuda:1`; None where the driver does not tell."""
    number = device.partition(":")[2] or "0"
    command = ["nvidia-smi", f"--id={number}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(told.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def refusal(
    folder: Path, device: str, reserve: float, *, share: float = 1.0, free: Callable[[str], int | None] = room
) -> str:
    """Why a model cannot be loaded: what it needs, what is free, which one beside it would fit; "" where it can.

    `share`: bytes in memory for each byte on disk; `reserve`: gigabytes that stay free for the work itself.
    """
    available = free(device) if device.startswith("cuda") else None
    if available is None:
        return ""
    spare = available - reserve * GIGABYTE
    needed = weights(folder) * share
    if needed <= spare:
        return ""
    others = {other.name: weights(other) * share for other in folder.parent.iterdir() if other.is_dir()}
    smaller = {name: size for name, size in others.items() if 0 < size <= spare}
    best = max(smaller, key=lambda name: smaller[name], default="")
    advice = f"{best} would fit" if best else "take a smaller model or the CPU"
    return (
        f"{folder.name} needs {needed / GIGABYTE:.1f} GB and {reserve:.1f} GB in reserve, "
        f"{device} has {available / GIGABYTE:.1f} GB free: {advice}"
    )
