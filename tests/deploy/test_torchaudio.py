"""A torchaudio whose compiled libraries do not load is left with its Python parts alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "torchaudio.py"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A package that does not import while there is a library in it."""
    (tmp_path / "torchaudio" / "lib").mkdir(parents=True)
    (tmp_path / "torchaudio" / "lib" / "libtorchaudio.so").write_bytes(b"")
    code = "import pathlib\nassert not list(pathlib.Path(__file__).parent.glob('lib/*.so')), 'linked to CUDA'\n"
    (tmp_path / "torchaudio" / "__init__.py").write_text(code)
    (tmp_path / "torchaudio-2.11.0.dist-info").mkdir()
    (tmp_path / "torchaudio-2.11.0.dist-info" / "METADATA").write_text("Name: torchaudio\nVersion: 2.11.0\n")
    return tmp_path


def mended(packages: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(packages)}
    return subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=20)


def test_libraries_that_do_not_load_are_removed(packages: Path) -> None:
    assert mended(packages).returncode == 0
    assert not list(packages.glob("torchaudio/lib/*.so"))


def test_a_package_that_imports_is_left_alone(packages: Path) -> None:
    (packages / "torchaudio" / "__init__.py").write_text("")
    assert mended(packages).returncode == 0
    assert list(packages.glob("torchaudio/lib/*.so"))


def test_a_package_that_cannot_be_mended_is_named(packages: Path) -> None:
    (packages / "torchaudio" / "__init__.py").write_text("raise ImportError")
    done = mended(packages)
    assert done.returncode == 1
    assert "install one that fits this torch" in done.stderr
