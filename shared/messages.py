"""Every message of the mesh, in the order a sentence travels.

Units: `start`, `end`, `duration` are float seconds on the media clock unless a field says ticks (integers of
1/90000 s); an `..._at` is epoch seconds, for measurement only; a key names an object in the store.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Gender = Literal["f", "m"]


class Part(BaseModel):
    """A value inside a message."""

    model_config = ConfigDict(frozen=True)


class Message(BaseModel):
    """A fact about one stream. Types are told apart by class name; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True)

    stream: str
    until: float
    """Media time before which its producer has nothing more to say."""


class StreamStarted(Message):
    """Somebody wants this stream; its settings are in the record."""


class StreamStopped(Message):
    """Somebody wants this stream no longer."""


class AudioChunk(Message):
    """At most one second of sound has been appended to the PCM ring."""

    start: float
    end: float
    advert: bool = False
    captured_at: float


class Track(Part):
    """The coded samples of one elementary stream in one media segment, stored as CMAF."""

    codec: str
    """As in the CODECS attribute (RFC 6381)."""
    init: str
    """Key of the init segment."""
    media: str
    """Key of the media segment."""
    timescale: int
    width: int = 0
    height: int = 0
    channels: int = 0


class MediaSegment(Message):
    """One segment of the source, untouched, on the media clock; no video where the source has none."""

    start: int
    """Ticks."""
    duration: int
    """Ticks."""
    video: Track | None
    audio: Track | None
    date: float
    """Epoch seconds at which `start` was captured: the source's own date where it tells one."""
    captured_at: float
    """Epoch seconds at which the segment had arrived here."""
    rebased: bool = False
    """The source's timestamps jumped here; the media clock did not."""
    advert: bool = False

    @property
    def end(self) -> int:
        """Ticks."""
        return self.start + self.duration


class Head(Message):
    """How far the live source is, or would be by now while it is silent."""

    head: float
    ended: bool = False
    """The source is over and everything it said has had its delay."""


class Gap(Message):
    """Media time that will never be heard."""

    start: float
    end: float
    reason: str


class Word(Part):
    text: str
    start: float
    end: float
    confidence: float | None = None


class Words(Message):
    """Recognised words that will not change any more."""

    words: tuple[Word, ...]
    spoken: str
    """Language of the words, BCP 47."""


class Utterance(Message):
    """What one speaker says up to a sentence end; the segmenter leaves speaker and gender open."""

    utterance: str
    """Number in the stream, such as "7"; "7.1", "7.2" where it was cut at a change of speaker."""
    start: float
    end: float
    text: str
    words: tuple[Word, ...]
    spoken: str
    speaker: int | None = None
    gender: Gender | None = None


class Face(Part):
    """One face on the picture at one time; the box as shares of the picture's width and height."""

    person: int
    """Number in the stream, stable; faces that are never on one picture may share it."""
    left: float
    top: float
    width: float
    height: float


class Faces(Message):
    """Who is on the picture at `start`, or who of them speaks an utterance."""

    start: float
    faces: tuple[Face, ...] = ()
    utterance: str = ""
    """Set where this tells who speaks: `faces` then holds one face, or none when nobody on the picture speaks."""


class Wording(Part):
    """One way to say a translation."""

    text: str
    shorter: bool = False
    score: float | None = None


class Translation(Message):
    """An utterance in one language."""

    language: str
    utterance: str
    start: float
    """Of the utterance in the source."""
    end: float
    speaker: int | None
    gender: Gender | None
    wordings: tuple[Wording, ...]
    """Best first."""


class Take(Part):
    """One wording as speech at its natural pace."""

    wording: int
    """Index in the translation's wordings."""
    text: str
    duration: float
    audio: str
    """Key: 48 kHz mono s16."""


class Speech(Message):
    """Synthesised speech that has no place yet; no takes when synthesis failed."""

    language: str
    utterance: str
    start: float
    """Of the utterance in the source."""
    end: float
    speaker: int | None
    voice: str
    takes: tuple[Take, ...]


class Clip(Message):
    """Speech with its place on the media clock."""

    language: str
    utterance: str
    start: float
    duration: float
    """As played, at `rate`."""
    rate: float
    wording: int
    voice: str
    audio: str
    """Key: 48 kHz mono s16, as played."""


class Dropped(Message):
    """An utterance that will not be voiced: the viewer hears the original."""

    language: str
    utterance: str
    reason: Literal["late", "failed"]


class Sealed(Message):
    """Segment `number` of every rendition: a row of the sealed log."""

    number: int
    start: int
    """Ticks."""
    duration: int
    """Ticks."""
    date: float
    """Epoch seconds at which `start` was captured."""
    objects: dict[str, str]
    """Rendition to key of its media object."""
    inits: dict[str, str]
    """Rendition to key of its init segment; captions have none."""
    discontinuity: bool = False
    """A tag stands before this segment in every rendition."""
    slate: bool = False
    advert: bool = False


class Progress(Message):
    """Nothing but its `until`; behind the translator it speaks for one language."""

    language: str = ""


class End(Message):
    """The stream is over for this stage."""

    language: str = ""
    reason: Literal["ended", "stopped", "failed"] = "ended"


class Warned(Message):
    """Something an operator should know; it goes to the event stream alone."""

    warning: str
