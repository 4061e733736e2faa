"""What is left on a device, what is refused for it, and what a replica says of it."""

import os
from pathlib import Path

import pytest

from shared.memory import Memory, _gpu, _main, devices, refusal, shortage

FULL = Memory(free=300_000_000, whole=24_000_000_000)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable:  640 kB\nHugePages_Total: 0\n")
    return tmp_path


def test_the_machine_has_what_its_kernel_calls_available(machine: Path) -> None:
    assert _main(machine, machine / "none") == Memory(640 << 10, 1000 << 10)
    assert _main(machine / "none", machine) is None


def test_the_limit_of_a_container_counts_where_it_is_lower(machine: Path) -> None:
    (machine / "memory.max").write_text("500000\n")
    (machine / "memory.current").write_text("480000\n")
    (machine / "memory.stat").write_text("anon 100\ninactive_file 30000\n")
    assert _main(machine, machine) == Memory(50_000, 500_000)
    (machine / "memory.max").write_text("max\n")
    assert _main(machine, machine) == Memory(640 << 10, 1000 << 10)


def test_a_gpu_has_what_its_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$1" = --id=1 ] && echo "300, 24000" || exit 6\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert _gpu("1") == Memory(300 << 20, 24000 << 20)
    assert _gpu("2") is None


def test_a_device_with_little_left_is_named_in_one_line() -> None:
    assert shortage(["cuda:1", "cpu"], {"cuda:1": FULL}.get) == "cuda:1 has 0.3 of 24.0 GB of memory left"
    assert shortage(["cuda"], {"cuda": Memory(600_000_000, 24_000_000_000)}.get) == ""
    assert shortage(["cpu"], {"cpu": Memory(60_000_000, 1_000_000_000)}.get) == ""
    assert shortage(["cpu"], {"cpu": Memory(40_000_000, 1_000_000_000)}.get) != ""
    assert shortage(["cuda"], {"cpu": FULL}.get) == ""


def test_the_devices_are_those_of_the_engines() -> None:
    assert devices({"ASR_DEVICE": "cuda:1", "TTS_DEVICE": "cpu", "DEVICE": "cuda:2"}) == {"cpu", "cuda:1"}


def test_a_model_too_large_for_the_cpu_is_refused_without_a_reserve(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "model.bin").write_bytes(bytes(3000))
    line = refusal(tmp_path / "big", "cpu", 2.0, free=lambda device: 2000)
    assert line.endswith("free: take a smaller model")
    assert "reserve" not in line
    assert refusal(tmp_path / "big", "cpu", 2.0, free=lambda device: 4000) == ""
