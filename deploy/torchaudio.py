"""Make `import torchaudio` work where a CPU torch meets a torchaudio that is linked to CUDA.

Its Python parts, which are all that the engines use, need no compiled library, but one that does not load stops the
import, and with it transformers, NeMo, speechbrain and Coqui. Run it once in an environment; a matching pair is left
alone.
"""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def imports() -> bool:
    """Whether torchaudio can be imported, asked of a fresh process."""
    return subprocess.run([sys.executable, "-c", "import torchaudio"], capture_output=True, check=False).returncode == 0


def main() -> int:
    try:
        # Not by its name: that is what this file is called too.
        folder = Path(str(distribution("torchaudio").locate_file("torchaudio")))
    except PackageNotFoundError:
        return 0
    if imports():
        return 0
    for library in (folder / "lib").glob("*.so"):
        library.unlink()
    if not imports():
        sys.stderr.write("torchaudio does not import: install one that fits this torch\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
