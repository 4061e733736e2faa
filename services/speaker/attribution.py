"""An utterance and its sound in; its pieces with speaker and gender out."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.speaker.cut import Span, Vectors, changes, split, voiced
from services.speaker.engines import Embedder, Piece
from services.speaker.ledger import HEARD, Ledger, Vector, merged
from shared.audio import EAR, Pcm
from shared.context import Record
from shared.messages import Utterance


@dataclass(frozen=True, slots=True)
class Heard:
    """What the sound of one piece says."""

    utterance: Utterance
    seconds: float
    """Of voiced sound."""
    vector: Vector | None
    log_odds: float | None
    """Of female."""


class Listener:
    """Cuts utterances where the speaker changes and embeds the pieces: CPU work without any state."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def hear(self, utterance: Utterance, pcm: Pcm) -> list[Heard]:
        """Embed each piece of an utterance; `pcm` (16 kHz) starts with it."""
        return [
            self._embed(piece, utterance.start, pcm) for piece in split(utterance, self.changes(utterance.start, pcm))
        ]

    def changes(self, start: float, pcm: Pcm) -> list[float]:
        """Media times at which the speaker changes in sound that begins at `start`."""
        speech = voiced(pcm)

        def embed(spans: Sequence[Span]) -> Vectors:
            pieces = [Piece(start + speech.original(first), speech.part(first, last)) for first, last in spans]
            return self.embedder.embed(pieces)

        return [start + speech.original(at) for at in changes(speech.duration, embed, self.embedder.different)]

    def _embed(self, piece: Utterance, start: float, pcm: Pcm) -> Heard:
        speech = voiced(pcm[round((piece.start - start) * EAR) : round((piece.end - start) * EAR)])
        if speech.duration < HEARD:
            return Heard(piece, speech.duration, None, None)
        vector = self.embedder.embed([Piece(piece.start, speech.pcm)])[0]
        return Heard(piece, speech.duration, vector, self.embedder.gender(speech.pcm, vector))


def attribute(ledger: Ledger, heard: Heard, same: float, record: Record) -> Utterance:
    """Enter a piece into the ledger and say whose it is; what a person decided in the record goes first."""
    speaker = merged(ledger.who(heard.vector, heard.seconds, same), record.merged)
    gender = ledger.gender(speaker, heard.log_odds, heard.seconds)
    casting = record.casting.get(str(speaker))
    gender = casting.gender if casting and casting.gender else gender
    return heard.utterance.model_copy(update={"speaker": speaker, "gender": gender})
