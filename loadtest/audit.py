"""Was anything lost, doubled, disordered? Every word that was said, followed through the events of a stream."""

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from shared.context import Event, Row
from shared.messages import Clip, Dropped, Translation, Utterance, Word, Words


@dataclass
class Verdict:
    """Counts of faults, and each in words."""

    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    holes: int = 0
    faults: list[str] = field(default_factory=list)

    def compare(self, what: str, wanted: Sequence[Hashable], found: Sequence[Hashable]) -> None:
        """Each wanted item once and in order; what was not wanted counts as doubled."""
        counts, known = Counter(found), set(wanted)
        missing = [item for item in wanted if not counts[item]]
        again = [item for item in counts if counts[item] > 1 or item not in known]
        order = {item: place for place, item in enumerate(wanted)}
        places = [order[item] for item in dict.fromkeys(found) if item in known]
        turned = sum(later < earlier for earlier, later in itertools.pairwise(places))
        self.lost, self.doubled, self.disordered = (
            self.lost + len(missing),
            self.doubled + len(again),
            self.disordered + turned,
        )
        for name, items in (("lost", missing), ("doubled", again)):
            if items:
                self.faults.append(f"{what}: {len(items)} {name}, such as {items[0]}")
        if turned:
            self.faults.append(f"{what}: {turned} out of order")

    def tile(self, rows: Sequence[Row]) -> None:
        """Rows follow each other without a hole in number or media time; a slate is a hole that was filled."""
        for row in rows:
            if row.body.slate:
                self.holes += 1
                self.faults.append(f"slate at {row.body.start / 90_000:.1f} s")
        for before, after in itertools.pairwise(rows):
            if after.number != before.number + 1 or before.body.start + before.body.duration != after.body.start:
                self.holes += 1
                self.faults.append(f"hole behind row {before.number}")


def audit(
    events: Iterable[Event], rows: Sequence[Row], script: Sequence[str] | None, languages: Iterable[str]
) -> Verdict:
    """Follow the script's words through recognition, utterances, translations and clips up to the last of each.

    Without a script what was recognised is taken as it is, and followed from there.
    """
    verdict = Verdict()
    words: list[Hashable] = []
    uttered: list[Hashable] = []
    utterances: list[str] = []
    translated: dict[str, list[str]] = {language: [] for language in languages}
    settled: dict[str, list[str]] = {language: [] for language in languages}

    def name(word: Word) -> Hashable:
        # A script's words are all different; people say a word again.
        return word.text.lower() if script is not None else (word.text.lower(), round(word.start, 2))

    for event in events:
        match event.message:
            case Words(words=found):
                words += map(name, found)
            case Utterance(utterance=number, words=found) if event.stage == "speaker":
                utterances.append(number)
                uttered += map(name, found)
            case Translation(language=language, utterance=number):
                translated[language].append(number)
            case Clip(language=language, utterance=number) | Dropped(language=language, utterance=number):
                settled[language].append(number)
    if words and script is not None:
        said = set(words)
        places = [place for place, word in enumerate(script) if word in said] or [0]
        verdict.compare("words", script[places[0] : places[-1] + 1], words)
    verdict.compare("words of utterances", words[: len(uttered)], uttered)
    for language in translated:
        told, placed = translated[language], settled[language]
        verdict.compare(f"translations to {language}", utterances[: len(told)], told)
        verdict.compare(f"clips in {language}", told[: len(placed)], placed)
    verdict.tile(rows)
    return verdict
