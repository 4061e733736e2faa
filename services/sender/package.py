"""One segment of every rendition, as bytes: a pure function of stored input."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from services.sender import encode, mix, still
from services.sender.captions import Cue, webvtt
from services.sender.mix import Duck, ReadPcm
from services.sender.still import Still
from services.sender.timeline import Due
from shared import cmaf
from shared.audio import TICKS, VOICE, seconds


@dataclass
class Packed:
    """Names of the objects of one segment, and the bytes of those that have to be stored."""

    objects: dict[str, str] = field(default_factory=dict)
    inits: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)


class Packer:
    """Fills one segment, rendition by rendition."""

    def __init__(self, due: Due) -> None:
        self.due = due
        self.packed = Packed()
        self.frames = encode.frames_of(due.start, due.end)

    def picture(self, shown: Still) -> None:
        """A still picture for the whole segment."""
        due = self.due
        self.packed.inits["video"] = self._init(_video_init(shown.config, shown.width, shown.height))
        samples = shown.lasting(due.end - due.start)
        self._store("video", "video", cmaf.media_segment(due.number + 1, due.start, samples, video=True))

    def original(self, read: ReadPcm) -> None:
        """The original sound, coded anew: silence, or a codec that not every player knows."""
        self._sound("original", "original", read)

    def dub(
        self, language: str, clips: Sequence[mix.Spoken], read: ReadPcm, duck: Duck, clean: bool, quiet: bool
    ) -> None:
        """Voice-over and clean dub of one language; `quiet` ones are the same for all languages and coded once."""
        bed, silence = ("bed", "silence") if quiet else (language, f"{language}-clean")
        self._sound(language, bed, lambda start, end: mix.voice_over(read, clips, start, end, duck))
        if clean:
            self._sound(f"{language}-clean", silence, lambda start, end: mix.voice(clips, start, end))

    def captions(self, rendition: str, cues: Sequence[Cue]) -> None:
        """The caption segment of one rendition."""
        text = webvtt(cues, seconds(self.due.start), seconds(self.due.end))
        self._store(rendition, rendition, text.encode(), "vtt")

    def _sound(self, rendition: str, name: str, read: ReadPcm) -> None:
        self.packed.inits[rendition] = self._init(_sound_init())
        known = next((key for key in self.packed.bodies if key.startswith(f"{name}-{self.due.start}-")), "")
        if known:
            self.packed.objects[rendition] = known
            return
        samples = encode.encode(read, self.frames)
        body = cmaf.media_segment(self.due.number + 1, self.frames.start * encode.FRAME, samples, video=False)
        self._store(rendition, name, body)

    def _store(self, rendition: str, name: str, body: bytes, suffix: str = "m4s") -> None:
        key = f"{name}-{self.due.start}-{_digest(body)}.{suffix}"
        self.packed.objects[rendition] = key
        self.packed.bodies[key] = body

    def _init(self, body: bytes) -> str:
        key = f"init-{_digest(body)}.mp4"
        self.packed.bodies[key] = body
        return key


def window(due: Due) -> tuple[int, int]:
    """Samples [start, end) of the media clock that the encoder hears for a segment."""
    frames = encode.frames_of(due.start, due.end)
    return (frames.start - encode.LEAD_IN) * encode.FRAME, (frames.stop + encode.LOOK_AHEAD) * encode.FRAME


def pack(
    due: Due,
    read: ReadPcm,
    *,
    size: tuple[int, int],
    untouched: bool,
    dubs: Mapping[str, Sequence[mix.Spoken]],
    cues: Mapping[str, Sequence[Cue]],
    duck: Duck,
    clean: bool,
) -> Packed:
    """All that has to be made for one segment.

    The source's own picture is used as it is, and so is its sound where it is `untouched`; `dubs` has the clips of each
    dubbed language, `cues` those of each caption rendition.
    """
    packer = Packer(due)
    if due.piece is None or due.piece.video is None:
        packer.picture(still.slate(*size) if due.piece is None else still.card(*size))
    if not untouched:
        packer.original(read)
    start, end = window(due)
    # All languages hear the same stretch of the original.
    read = cache(read)
    for language, clips in dubs.items():
        near = [clip for clip in clips if clip.span.start < end + duck.reach and clip.span.end > start - duck.reach]
        packer.dub(language, near, read, duck, clean, quiet=not near)
    for rendition, lines in cues.items():
        packer.captions(rendition, lines)
    return packer.packed


@cache
def _sound_init() -> bytes:
    entry = cmaf.audio_entry(encode.configuration(), VOICE, 2, encode.BITRATE)
    return cmaf.init_segment(entry, VOICE)


@cache
def _video_init(config: bytes, width: int, height: int) -> bytes:
    return cmaf.init_segment(cmaf.video_entry(config, width, height), TICKS, width=width, height=height)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
