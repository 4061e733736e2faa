"""What callers send and what they get, as JSON."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from services.ingest import served
from services.ingest.streams import LONGEST_DELAY, SHORTEST_DELAY, Profile, merged
from shared.context import Casting, Term, Voice

MOST_LANGUAGES = 16
SHORTEST_LINK = 60
LONGEST_LINK = 31 * 86_400

Language = Annotated[str, Field(min_length=2, max_length=35, examples=["es"]), AfterValidator(served.tag)]
Speaker = Annotated[str, Field(pattern=r"^\d{1,6}$", examples=["2"])]
Ducking = Annotated[float, Field(ge=-60, le=0, allow_inf_nan=False)]
Ramp = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Delay = Annotated[float, Field(ge=SHORTEST_DELAY, le=LONGEST_DELAY, allow_inf_nan=False)]
Merges = Annotated[dict[Speaker, Speaker], Field(max_length=256), AfterValidator(merged)]


def source(text: str) -> str:
    """Returns a language tag or "auto"; raises ValueError for anything else."""
    return served.AUTO if text == served.AUTO else served.tag(text)


class Body(BaseModel):
    """What a caller sends: a field that nobody knows is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class TermBody(Term, Body):
    """A glossary entry."""


class CastingBody(Casting, Body):
    """What an operator decided about one speaker."""


Entry = Annotated[TermBody, AfterValidator(lambda entry: Term(**dict(entry)))]
Glossary = Annotated[list[Entry], Field(max_length=1000)]
Decided = Annotated[CastingBody, AfterValidator(lambda casting: Casting(**dict(casting)))]


class StreamRequest(Body):
    """A stream that somebody wants dubbed."""

    url: str = Field(min_length=1, max_length=2048, examples=["https://example.com/live/master.m3u8"])
    """A live or recorded stream: HLS, a page that streamlink or yt-dlp knows, or `file:NAME` in the media folder."""
    languages: list[Language] = Field(min_length=1, max_length=MOST_LANGUAGES, examples=[["es"]])
    """Languages to dub into, BCP 47."""
    source_language: Annotated[str, Field(max_length=35), AfterValidator(source)] = "en"
    """Language that is spoken, BCP 47; `auto` where the running engine finds out by itself."""
    candidates: list[Language] = Field(default=[], max_length=MOST_LANGUAGES, examples=[["en", "es"]])
    """Languages among which `auto` decides; none: all that are understood and translated. Ignored without `auto`."""
    profile: Profile = "balanced"
    """Delay and utterance length in one word: live 8 s, balanced 12 s, quality 16 s."""
    delay: Delay | None = None
    """Seconds from the live head to what is published, instead of a profile's; rounded up to whole segments."""
    glossary: Glossary = []
    """Terms with their translations, or terms to keep as they are."""
    ducking: Ducking = -14.0
    """Level of the original under a voice, dB."""
    ducking_attack: Ramp = 0.15
    """Seconds in which the original falls, right before the voice begins."""
    ducking_release: Ramp = 0.4
    """Seconds in which it rises behind the voice."""
    ducking_hold: Ramp = 0.8
    """Pauses in speech that are shorter stay ducked, seconds."""
    record: bool = False
    """Keep everything, so that the stream stays playable when it is over."""
    ads: Literal["pass", "slate"] = "pass"
    """What is shown while the source plays adverts: the adverts, or a slate."""
    on_demand: bool = True
    """Work for a language only while somebody listens to it."""
    subtitles_only: bool = False
    """Subtitles in every language and no voice."""
    faces: bool = False
    """Find out who is on the picture, so that a voice fits who is seen to speak; costs CPU."""
    listen: bool = False
    """Offer each voice-over by WebRTC (WHEP) too, with less delay than HLS players have."""


class LanguageChange(Body):
    """Languages that come and go."""

    add: list[Language] = Field(default=[], max_length=MOST_LANGUAGES)
    remove: list[Language] = Field(default=[], max_length=MOST_LANGUAGES)


class StreamPatch(Body):
    """What changes in a running stream, from the next utterance on; fields that are left out stay as they are."""

    languages: LanguageChange = LanguageChange()
    delay: Delay | None = None
    """Seconds from the live head to what is published, in whole segments; in force from the next pause in speech."""
    ducking: Ducking | None = None
    """Level of the original under a voice, dB; this and the three times from the next segment on."""
    ducking_attack: Ramp | None = None
    """Seconds in which the original falls, right before the voice begins."""
    ducking_release: Ramp | None = None
    """Seconds in which it rises behind the voice."""
    ducking_hold: Ramp | None = None
    """Pauses in speech that are shorter stay ducked, seconds."""
    subtitles_only: bool | None = None
    """Subtitles and no voice, or voices again."""
    listen: bool | None = None
    """Offer each voice-over by WebRTC (WHEP) too."""
    glossary: Glossary | None = None
    """Replaces the glossary."""
    speakers: dict[Speaker, Decided | None] = Field(default={}, max_length=256)
    """Speaker to name, gender and voices; null forgets what was said about a speaker."""
    merged: Merges | None = None
    """Speaker to the speaker that it really is; replaces all earlier merges."""


class Links(BaseModel):
    """Where a stream is seen, heard and followed; paths on this server."""

    playlist: str
    watch: str
    dashboard: str
    events: str
    transcript: str


class LinkRequest(Body):
    """A playback link that somebody wants."""

    seconds: int = Field(default=6 * 3600, ge=SHORTEST_LINK, le=LONGEST_LINK, examples=[21_600])
    """How long it opens the stream."""


class LinkView(BaseModel):
    """A signed playback link: whoever has it may watch this one stream until it expires."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    playlist: str
    """For any HLS player; a path on this server."""
    watch: str
    """The player page."""
    expires_at: int
    """Epoch seconds."""


class Named(BaseModel):
    """A speaker as viewers know them."""

    name: str


class Seen(BaseModel):
    """What everybody who sees a stream may know of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    state: Literal["starting", "running", "ended", "failed"]
    reason: str
    """Why it failed or ended."""
    title: str
    source_language: str
    languages: list[str]
    subtitled: list[str]
    """Of the languages, those that get subtitles only, since no voice speaks them or none is wanted."""
    delay: float
    """Seconds from the live head to what is published: the contract."""
    behind_live: float
    """Seconds that a viewer is behind the live head: the delay and the player's own buffer of three segments."""
    merged: dict[str, str]
    listen: bool
    faces: bool
    """Whether it is told who is on the picture."""


class ViewerView(Seen):
    """What a viewer may know of a stream: neither its source nor its settings."""

    speakers: dict[str, Named]


class StreamView(Seen):
    """A stream: its settings, and what became of it."""

    url: str
    live: bool | None
    """None until the source has been looked at."""
    subtitles_only: bool
    profile: str
    next_delay: float | None
    """A delay that was asked for and comes into force in the next pause in speech."""
    longest: float
    """Seconds of the longest utterance."""
    glossary: list[Term]
    candidates: list[str]
    """Languages among which `auto` decides; empty where the language is declared."""
    speakers: dict[str, Casting]
    ducking: float
    """Level of the original under a voice, dB."""
    ducking_attack: float
    ducking_release: float
    ducking_hold: float
    record: bool
    ads: str
    on_demand: bool
    warnings: list[str]
    created_at: float
    """Epoch seconds."""
    ended_at: float | None
    """Epoch seconds; null while it runs."""
    links: Links


class StreamDetail(StreamView):
    """A stream with what its stages report."""

    status: dict[str, JsonValue]
    """Head, seal, delay, lag of each stage, ear-voice span and drift, speakers, last sentences."""


class StreamList(BaseModel):
    """Streams, the newest first."""

    streams: list[StreamView]


class Pair(BaseModel):
    """A language that can be had from another."""

    source: str
    target: str
    serves: Literal["dub", "subtitles"]
    voices: list[Voice]


class LanguageList(BaseModel):
    """What the running engines serve."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    spoken: list[str]
    """Languages that are understood and translated."""
    detects: bool
    """Whether `auto` may be asked for."""
    pairs: list[Pair]


class UsageView(BaseModel):
    """What a tenant has running, and how much it may have; null: as much as it likes."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    streams: int
    most_streams: int | None
    languages: int
    most_languages: int | None
    minutes: float
    """Minutes of streams within the last 24 hours."""
    most_minutes: int | None
    requests_a_minute: float | None
