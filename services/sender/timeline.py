"""What is published when: the seal moves over media, speech and cues, and never waits for any of them."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from services.sender import captions
from services.sender.captions import Cue
from services.sender.mix import Span
from shared.audio import TICKS, VOICE, seconds, ticks
from shared.messages import Clip, MediaSegment, Track

SLACK = TICKS // 40
"""Ticks by which media may miss the seal: more than an AAC frame, so that no slate is without sound."""
DRIFT = 10.0
"""Seconds after its utterance at which a moved clip is no longer worth hearing."""
TAIL = 2 * TICKS
"""Ticks that speech may run past the end of the media."""
MEMORY = 3
"""Seconds for which a clip still matters to the mix after it has ended."""
READABLE = 1.0
"""Seconds that a late cue stays at least."""


class Coded(BaseModel):
    """One track of a piece."""

    model_config = ConfigDict(frozen=True)

    format: int
    """Index in the timeline's formats."""
    media: str
    """Key."""


class Piece(BaseModel):
    """A media segment as the sender remembers it, in ticks."""

    model_config = ConfigDict(frozen=True)

    start: int
    end: int
    date: float
    video: Coded | None = None
    audio: Coded | None = None
    lead: str = ""
    """Key of the sound right before it, in the same format."""
    advert: bool = False


class Spoken(BaseModel):
    """A clip as the sender will play it, in samples of the 48 kHz media clock."""

    model_config = ConfigDict(frozen=True)

    language: str
    start: int
    end: int
    known: int
    """What was published when it came."""
    audio: str
    """Key."""
    gain: float

    @property
    def span(self) -> Span:
        """Where it speaks."""
        return Span(self.start, self.end, self.known)


@dataclass(frozen=True, slots=True)
class Due:
    """The next segment to publish, in ticks."""

    number: int
    start: int
    end: int
    date: float
    piece: Piece | None
    """None: a slate fills the hole."""
    discontinuity: bool
    advert: bool = False
    cut: int = 0
    """Sample at which all speech is over, as the stream is; 0: nobody knows yet."""


class Timeline(BaseModel):
    """The seal of one stream and everything that is known about the time around it."""

    sealed: int | None = None
    """Ticks; everything before is published. None before the first media."""
    number: int = 0
    captured: int = 0
    """Ticks; end of the newest media."""
    head: float = 0.0
    ended: bool = False
    epoch: float = 0.0
    """Epoch seconds of media time 0, by the newest published date."""
    target: int = 2 * TICKS
    width: int = 640
    height: int = 360
    until: dict[str, float] = {}
    """Promise of each place lane."""
    over: tuple[str, ...] = ()
    """Languages whose place lane has ended."""
    pending: list[Piece] = []
    played: list[Piece] = []
    """The piece before the seal: the encoder hears its end."""
    formats: list[Track] = []
    shape: str = ""
    """What players had to configure for the newest segment; a change is a discontinuity."""
    clips: list[Spoken] = []
    free: dict[str, int] = {}
    """Language to the sample at which its last clip ends."""
    starts: dict[str, float] = {}
    """Utterance to its start in the source."""
    cues: list[Cue] = []
    late: int = 0
    """Media that came after its seal."""
    moved: int = 0
    """Clips that came too late for their place."""
    dropped: int = 0
    """Clips that came too late at all."""

    def capture(self, segment: MediaSegment) -> None:
        """Take a media segment; it waits for its seal."""
        if self.sealed is None:
            self.sealed = segment.start
        if segment.start < self.sealed - SLACK:
            self.late += 1
            return
        before = next((p for p in (*self.played, *self.pending) if abs(p.end - segment.start) <= SLACK), None)
        video, audio = self._coded(segment.video), self._coded(segment.audio)
        same = before and before.audio and audio and before.audio.format == audio.format and not segment.rebased
        self.pending.append(
            Piece(
                start=segment.start,
                end=segment.end,
                date=segment.date,
                video=video,
                audio=audio,
                lead=before.audio.media if same and before and before.audio else "",
                advert=segment.advert,
            )
        )
        self.pending.sort(key=lambda piece: piece.start)
        self.captured = max(self.captured, segment.end)
        if segment.video and segment.video.width:
            self.width, self.height = segment.video.width, segment.video.height

    def move(self, head: float, ended: bool) -> None:
        """The live head is at `head` seconds; it never goes back."""
        self.head, self.ended = max(self.head, head), self.ended or ended

    def promise(self, language: str, until: float) -> None:
        """A place lane says nothing more that starts before `until`."""
        self.until[language] = max(self.until.get(language, 0.0), until)

    def close(self, language: str) -> None:
        """A place lane has ended."""
        if language not in self.over:
            self.over = (*self.over, language)

    def place(self, clip: Clip, gain: float) -> Spoken | None:
        """Give a clip its final place: never before the seal, never over another one; None when it comes too late."""
        known = self._known
        wanted = round(clip.start * VOICE)
        start = max(wanted, known, self.free.get(clip.language, 0))
        if start > wanted:
            if start / VOICE - self.starts.get(clip.utterance, clip.start) > DRIFT:
                self.dropped += 1
                return None
            self.moved += 1
        end = start + round(clip.duration * VOICE)
        spoken = Spoken(language=clip.language, start=start, end=end, known=known, audio=clip.audio, gain=gain)
        self.clips.append(spoken)
        self.free[clip.language] = end
        return spoken

    def hear(self, utterance: str, start: float) -> None:
        """Remember when an utterance was said: its clips drift from there."""
        self.starts[utterance] = start
        while len(self.starts) > 24:
            self.starts.pop(next(iter(self.starts)))

    def caption(self, rendition: str, start: float, end: float, text: str, speaker: str, colour: str = "") -> None:
        """Show text while it is said; what has been published already is made up for right after the seal."""
        seal = seconds(self.sealed or 0)
        if seal - end > DRIFT:
            return
        first = max(start, seal)
        last = max(end, first + min(end - start, READABLE)) if first > start else end
        self.cues += captions.cues(rendition, first, last, text, speaker, colour)

    def limit(self, live: bool, delay: float, languages: tuple[str, ...]) -> float:
        """Ticks up to which everything is due."""
        if self.finished(live, languages):
            return float("inf")
        if live or not languages:
            return ticks(self.head) - ticks(delay)
        waiting = [language for language in languages if language not in self.over]
        return ticks(min(self.until.get(language, 0.0) for language in waiting))

    def finished(self, live: bool, languages: tuple[str, ...]) -> bool:
        """Whether nothing more will come; the head of a file is at its end long before its speech is."""
        return self.ended if live or not languages else set(languages) <= set(self.over)

    def due(self, limit: float, slate_adverts: bool = False) -> Due | None:
        """The next segment, if it ends at or before `limit` ticks; a hole becomes a slate when the seal must pass."""
        if self.sealed is None:
            return None
        while self.pending and self.pending[0].start < self.sealed - SLACK:
            self.pending.pop(0)
            self.late += 1
        piece = self.pending[0] if self.pending else None
        if piece and piece.start <= self.sealed + SLACK:
            end, shown = piece.end, None if piece.advert and slate_adverts else piece
        else:
            end, shown = min(self.sealed + self.target, piece.start if piece else self._tail(limit)), None
        if end > limit or end <= self.sealed:
            return None
        date = piece.date + seconds(self.sealed - piece.start) if piece and end == piece.end else 0.0
        date = date or self.epoch + seconds(self.sealed)
        broken = self.number > 0 and self._shape(shown) != self.shape
        advert = bool(piece and piece.advert and end == piece.end)
        cut = (self.captured + TAIL) * VOICE // TICKS if limit == float("inf") else 0
        return Due(self.number, self.sealed, end, date, shown, broken, advert, cut)

    def publish(self, due: Due) -> None:
        """The seal has passed this segment."""
        self.sealed, self.number, self.shape = due.end, due.number + 1, self._shape(due.piece)
        self.epoch = due.date - seconds(due.start)
        if self.pending and self.pending[0].end <= due.end:
            self.played = [self.pending.pop(0)]
        elif due.piece is None:
            self.played = [piece for piece in self.played if piece.end > due.start - TICKS]
        kept = self._known - MEMORY * VOICE
        self.clips = [clip for clip in self.clips if clip.end > kept]
        self.cues = [cue for cue in self.cues if cue.end > seconds(due.end)]

    def track(self, coded: Coded) -> Track:
        """A track of a piece, as the downloader announced it."""
        return self.formats[coded.format].model_copy(update={"media": coded.media})

    def original(self, piece: Piece | None) -> Track | None:
        """The source's sound, if players can have it untouched."""
        track = self.track(piece.audio) if piece and piece.audio else None
        return track if track and track.codec == "mp4a.40.2" else None

    @property
    def _known(self) -> int:
        return -(-(self.sealed or 0) * VOICE // TICKS)

    def _tail(self, limit: float) -> int:
        """Where the last slate ends: the speech that began before the end may be heard out."""
        if limit != float("inf"):
            return (self.sealed or 0) + self.target
        spoken = max((clip.end * TICKS // VOICE for clip in self.clips), default=0)
        end = min(spoken, self.captured + TAIL)
        return end if end > (self.sealed or 0) + SLACK else self.sealed or 0

    def _shape(self, piece: Piece | None) -> str:
        if piece is None:
            return f"slate {self.width}x{self.height}"
        original = self.original(piece)
        picture = self.formats[piece.video.format].init if piece.video else "card"
        return f"{picture} {original.init if original else ''}"

    def _coded(self, track: Track | None) -> Coded | None:
        if track is None:
            return None
        form = track.model_copy(update={"media": ""})
        if form not in self.formats:
            self.formats.append(form)
        return Coded(format=self.formats.index(form), media=track.media)
