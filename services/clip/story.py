"""What the event stream of one clip tells: who says what, when and where on the picture, and how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Box(NamedTuple):
    """A place on the picture, as shares of its width and height."""

    left: float
    top: float
    width: float
    height: float


class Word(NamedTuple):
    """A word that was heard, seconds on the media clock."""

    text: str
    start: float
    end: float


@dataclass
class Sentence:
    """One utterance, seconds on the media clock."""

    start: float
    end: float
    text: str
    spoken: str
    speaker: int | None
    words: tuple[Word, ...]
    translations: dict[str, str] = field(default_factory=dict)
    """Language to text."""


@dataclass
class Story:
    """A fold of events, as `/v1/streams/{id}/events` sends them."""

    sentences: dict[str, Sentence] = field(default_factory=dict)
    shown: list[tuple[float, dict[int, Box]]] = field(default_factory=list)
    """The faces from one time on, in order."""
    speaks: dict[str, int | None] = field(default_factory=dict)
    """Utterance to the person who says it."""
    sealed: float = 0.0
    """Media time up to which the clip is done."""
    over: bool = False
    warnings: list[str] = field(default_factory=list)

    def tell(self, event: Mapping[str, Any]) -> None:
        """Take one event: its stage and its message."""
        stage, kind, message = event["stage"], event["kind"], event["message"]
        if kind == "utterance" and stage == "speaker":
            words = tuple(Word(word["text"], word["start"], word["end"]) for word in message["words"])
            known = (message["start"], message["end"], message["text"], message["spoken"], message["speaker"], words)
            self.sentences[message["utterance"]] = Sentence(*known)
        elif kind == "translation" and message["wordings"] and message["utterance"] in self.sentences:
            best = message["wordings"][0]["text"]
            self.sentences[message["utterance"]].translations[message["language"]] = best
        elif kind == "faces" and message["utterance"]:
            self.speaks[message["utterance"]] = message["faces"][0]["person"] if message["faces"] else None
        elif kind == "faces":
            boxes = {face["person"]: Box(*(face[side] for side in Box._fields)) for face in message["faces"]}
            self.shown.append((message["start"], boxes))
        elif kind == "sealed":
            self.sealed = max(self.sealed, message["until"])
        elif kind == "warned" and message["warning"] not in self.warnings:
            self.warnings.append(message["warning"])
        elif kind == "end" and stage == "sender":
            self.over = True

    def faces(self, start: float, end: float) -> dict[int, Box]:
        """Everybody who is on the picture between two times, at their first place in it."""
        found: dict[int, Box] = {}
        before = [shown for shown in self.shown if shown[0] <= start][-1:]
        for _, boxes in [*before, *(shown for shown in self.shown if start < shown[0] < end)]:
            found = {**boxes, **found}
        return found

    def told(self) -> list[tuple[str, Sentence]]:
        """All sentences that have a text, in the order in which they begin."""
        spoken = [(name, each) for name, each in self.sentences.items() if each.text.strip()]
        return sorted(spoken, key=lambda item: (item[1].start, item[0]))
