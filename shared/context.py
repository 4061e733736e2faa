"""The global context: what every stage may know of a stream. The record here, the PCM ring beside it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from shared.messages import Gender, Message, Sealed


class Term(BaseModel):
    """A glossary entry."""

    model_config = ConfigDict(frozen=True)

    term: str
    translations: dict[str, str] = {}
    """Language to the wanted translation."""
    keep: bool = False
    """The term stays as it is in every language."""


class Casting(BaseModel):
    """What an operator decided about one speaker."""

    model_config = ConfigDict(frozen=True)

    name: str = ""
    gender: Gender | None = None
    voices: dict[str, str] = {}
    """Language to voice."""


class Record(BaseModel):
    """The settings of one stream, written by ingest, and below what the downloader learns of it."""

    model_config = ConfigDict(frozen=True)

    stream: str = ""
    url: str = ""
    tenant: str = ""
    languages: tuple[str, ...] = ()
    """Targets, BCP 47: those with a dub and those with subtitles only."""
    subtitled: tuple[str, ...] = ()
    """Of the languages, those that get subtitles only."""
    subtitles_only: bool = False
    """No language gets a voice, whatever the engines offer."""
    source_language: str = "en"
    candidates: tuple[str, ...] = ()
    """Languages among which `auto` is decided; none: all that the engine knows."""
    profile: str = "balanced"
    delay: float = 12.0
    """Seconds from head to seal; the downloader rounds it up to whole segments."""
    next_delay: float | None = None
    """A delay that was asked for and waits for a pause in speech, seconds."""
    longest: float = 8.0
    """Seconds of the longest utterance."""
    glossary: tuple[Term, ...] = ()
    casting: dict[str, Casting] = {}
    """Speaker to casting."""
    merged: dict[str, str] = {}
    """Speaker to the speaker that it is."""
    ducking: float = -14.0
    """Level of the original under a voice, dB."""
    ducking_attack: float = 0.15
    """Seconds of the fall, all of them before the voice begins."""
    ducking_release: float = 0.4
    """Seconds of the rise behind it."""
    ducking_hold: float = 0.8
    """Pauses in speech that are shorter stay ducked, seconds."""
    record: bool = False
    """Keep everything: the presentation becomes a VOD."""
    on_demand: bool = True
    """Work for a language only while somebody fetches it."""
    ads: Literal["pass", "slate"] = "pass"
    faces: bool = False
    """Find out who is on the picture; costs a stage of its own."""
    listen: bool = False
    """Offer each voice-over by WHEP too."""
    created_at: float = 0.0
    ended_at: float = 0.0
    """Epoch seconds at which somebody ended it or it was found to have ended; 0: not yet."""

    live: bool | None = None
    """None until the downloader knows."""
    segment: float = 0.0
    """Seconds of the source's longest segment (its TARGETDURATION)."""
    title: str = ""
    told_language: str = ""
    """What the source itself says is spoken in it."""
    warnings: tuple[str, ...] = ()
    state: Literal["starting", "running", "ended", "failed"] = "starting"
    reason: str = ""
    """Why it failed, in words for the person who started it."""


class Pcm(BaseModel):
    """16 kHz mono s16 samples for the ring; the downloader yields it together with the chunk that announces it."""

    start: float
    """Media time, seconds."""
    samples: bytes = Field(repr=False)


class Event(BaseModel):
    """One message that a stage yielded, with the bus's own stamp; observers read these and nothing else."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Orders the events of a stream; an observer goes on after the last one it has seen."""
    at: float
    """Epoch seconds by the clock of the bus."""
    stage: str
    lane: str
    message: SerializeAsAny[Message]


class Row(BaseModel):
    """A row of the sealed log."""

    model_config = ConfigDict(frozen=True)

    number: int
    sealed: float
    """Media time that is published once this row is."""
    seams: int
    """Discontinuities up to this row, its own included."""
    body: Sealed


class Voice(BaseModel):
    """A voice that an engine speaks with."""

    model_config = ConfigDict(frozen=True)

    name: str
    language: str
    gender: Gender
    pace: float
    """Words a minute at rate 1.0."""


class Offer(BaseModel):
    """What the engines of one replica serve."""

    model_config = ConfigDict(frozen=True)

    spoken: tuple[str, ...] = ()
    """Languages that are understood (asr)."""
    pairs: tuple[tuple[str, str], ...] = ()
    """From and to (translator)."""
    voices: tuple[Voice, ...] = ()
    """(tts)"""
    full: str = ""
    """Why this replica has no memory for another stream, in words; none: it has."""
