"""How much memory is left on a GPU or for the CPU: told in one line before it runs out, not by a crash when it has."""

import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

GIGABYTE = 1e9
WEIGHTS = (".bin", ".safetensors", ".pth", ".pt", ".nemo", ".ckpt")
LEAST, MOST = 0.05, 0.5 * GIGABYTE
"""Share of all memory, and bytes: with less than the smaller of the two free, there is none for another stream."""


class Memory(NamedTuple):
    """Bytes of one device."""

    free: int
    whole: int


def memory(device: str) -> Memory | None:
    """What a GPU such as `cuda` or `cuda:1`, or this process on a `cpu`, has; None where nobody tells."""
    return _gpu(device.partition(":")[2] or "0") if device.startswith("cuda") else _main()


def _gpu(number: str) -> Memory | None:
    command = ["nvidia-smi", f"--id={number}", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        free, whole = told.split("\n")[0].split(",")
        return Memory(int(free) << 20, int(whole) << 20)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def machine(proc: Path = Path("/proc")) -> Memory | None:
    """What the kernel says, whatever this process may have of it."""
    try:
        found = _table((proc / "meminfo").read_text())
        return Memory(found["MemAvailable"] << 10, found["MemTotal"] << 10)
    except (OSError, KeyError, ValueError):
        return None


def _main(proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")) -> Memory | None:
    """The machine's, or less where a control group (a container's limit) allows less."""
    whole = machine(proc)
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        # Files that were read count as used, and are let go when memory is short.
        used -= _table((group / "memory.stat").read_text()).get("inactive_file", 0)
    except (OSError, ValueError):
        return whole
    own = Memory(max(0, limit - used), limit)
    return min(whole, own) if whole else own


def _table(text: str) -> dict[str, int]:
    rows = (line.replace(":", " ").split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1}


def weights(folder: Path) -> int:
    """Bytes of the weights in a folder: of the largest kind, since some models are published in two."""
    kinds: dict[str, int] = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.suffix in WEIGHTS:
            kinds[file.suffix] = kinds.get(file.suffix, 0) + file.stat().st_size
    return max(kinds.values(), default=0)


def room(device: str) -> int | None:
    """Free bytes on a device; None where nobody tells."""
    told = memory(device)
    return told.free if told else None


def refusal(
    folder: Path, device: str, reserve: float, *, share: float = 1.0, free: Callable[[str], int | None] = room
) -> str:
    """Why a model cannot be loaded: what it needs, what is free, which one beside it would fit; "" where it can.

    `share`: bytes in memory for each byte on disk; `reserve`: gigabytes of a GPU that stay free for the work itself.
    """
    available = free(device)
    if available is None:
        return ""
    gpu = device.startswith("cuda")
    spare = available - (reserve * GIGABYTE if gpu else 0.0)
    needed = weights(folder) * share
    if needed <= spare:
        return ""
    others = {other.name: weights(other) * share for other in folder.parent.iterdir() if other.is_dir()}
    smaller = {name: size for name, size in others.items() if 0 < size <= spare}
    best = max(smaller, key=lambda name: smaller[name], default="")
    advice = f"{best} would fit" if best else f"take a smaller model{' or the CPU' if gpu else ''}"
    kept = f" and {reserve:.1f} GB in reserve" if gpu else ""
    return (
        f"{folder.name} needs {needed / GIGABYTE:.1f} GB{kept}, "
        f"{device} has {available / GIGABYTE:.1f} GB free: {advice}"
    )


def devices(environment: Mapping[str, str]) -> set[str]:
    """The GPUs that the engines are set to use, and the CPU."""
    return {"cpu"} | {
        value for name, value in environment.items() if name.endswith("_DEVICE") and value.startswith("cuda")
    }


def shortage(used: Iterable[str], tell: Callable[[str], Memory | None] = memory) -> str:
    """Which of the devices has no memory for another stream, in words; "" where all have."""
    for device in sorted(used):
        told = tell(device)
        if told and told.free < min(LEAST * told.whole, MOST):
            return f"{device} has {told.free / GIGABYTE:.1f} of {told.whole / GIGABYTE:.1f} GB of memory left"
    return ""
