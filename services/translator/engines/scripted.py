"""A pseudo-translation that can be undone word by word: for tests and load tests, it knows no language."""

from collections.abc import Sequence

from services.translator.engines import Options, Pair, Source
from shared.messages import Wording

TARGETS = ("es", "ca", "gl", "de", "fr", "it", "pt", "ru")
MARK = "~"
KEPT = 4
"""Of five words, so many are in the shorter wording."""


class Scripted:
    """Marks each word with the target language, and offers the first four of five words as a shorter wording."""

    name = "scripted"
    glossaries = False

    def __init__(self, options: Options | None = None) -> None:
        self.pairs: tuple[Pair, ...] = tuple(("en", target) for target in TARGETS)

    async def start(self) -> None:
        """Needs nothing."""

    async def stop(self) -> None:
        """Holds nothing."""

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        """Every word becomes `word~target`."""
        return [self._wordings(source.text.split(), target) for source in batch]

    @staticmethod
    def _wordings(words: list[str], target: str) -> list[Wording]:
        marked = [f"{word}{MARK}{target}" for word in words]
        shorter = marked[: len(marked) * KEPT // 5]
        best = Wording(text=" ".join(marked))
        return [best, Wording(text=" ".join(shorter), shorter=True)] if 0 < len(shorter) < len(marked) else [best]


def undone(text: str, target: str) -> str:
    """The source of a pseudo-translation."""
    return " ".join(word.removesuffix(f"{MARK}{target}") for word in text.split())
