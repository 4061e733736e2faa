"""Whether this machine can draw the letters of a language."""

import shutil
import subprocess
from collections.abc import Iterable

LETTERS = {
    **dict.fromkeys(("ru", "uk", "bg", "sr", "be", "mk", "kk"), "ж"),
    **dict.fromkeys(("ar", "fa", "ur"), "ع"),
    **dict.fromkeys(("hi", "mr", "ne"), "ह"),
    "am": "ሀ",
    "bn": "ক",
    "el": "ω",
    "he": "ש",
    "hy": "ա",
    "ja": "あ",
    "ka": "ა",
    "km": "ក",
    "ko": "한",
    "ta": "க",
    "te": "క",
    "th": "ก",
    "zh": "中",
}
"""A letter of each language that is not written in Latin ones."""
PACKAGES = {"ja": "fonts-noto-cjk", "ko": "fonts-noto-cjk", "zh": "fonts-noto-cjk"}


def missing(languages: Iterable[str]) -> str:
    """A sentence that says which fonts to install; empty where all languages can be drawn, or nobody can tell."""
    if shutil.which("fc-list") is None:
        return ""
    lacking = [each for each in languages if not _drawn(LETTERS.get(each.partition("-")[0], "a"))]
    if not lacking:
        return ""
    packages = sorted({PACKAGES.get(each.partition("-")[0], "fonts-noto-core") for each in lacking})
    return f"No font here has the letters of {', '.join(lacking)}: apt-get install {' '.join(packages)}"


def _drawn(letter: str) -> bool:
    found = subprocess.run(
        ["fc-list", f":charset={ord(letter):x}", "family"], capture_output=True, text=True, timeout=20, check=False
    )
    return bool(found.stdout.strip())
