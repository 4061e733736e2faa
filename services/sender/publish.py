"""One segment of every rendition: fetched, packed, stored, and told as a row of the sealed log."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.sender import mix, package
from services.sender.captions import Cue
from services.sender.loudness import Loudness
from services.sender.mix import Stereo
from services.sender.package import Packed
from services.sender.sound import Sound, around
from services.sender.timeline import Due, Piece, Timeline
from shared.audio import Pcm, seconds, to_pcm
from shared.context import Record
from shared.messages import Sealed
from shared.store import Missing, Store

log = logging.getLogger(__name__)


@dataclass
class Warm:
    """What is kept in RAM between two segments; all of it can be fetched again."""

    sound: Sound = field(default_factory=Sound)
    clips: dict[str, Pcm] = field(default_factory=dict)


class Publisher:
    """Carries out what the timeline decides."""

    def __init__(self, store: Store, *, clean: bool) -> None:
        self.store, self.clean = store, clean

    async def publish(self, due: Due, timeline: Timeline, stream: str, record: Record, warm: Warm) -> Sealed:
        """Make and store one segment of every rendition; the row that names them."""
        original = timeline.original(due.piece)
        pieces = around(_heard(timeline, record), *package.window(due))
        dubs = await self._dubs(timeline, record, warm, due.cut)
        if dubs or not original:
            await self._decode(pieces, timeline, warm)
        cues: dict[str, list[Cue]] = {rendition: [] for rendition in captions_of(record)}
        for cue in timeline.cues:
            cues.get(cue.rendition, []).append(cue)
        packed = await asyncio.to_thread(
            package.pack,
            due,
            lambda start, end: warm.sound.read(pieces, start, end),
            size=(timeline.width, timeline.height),
            untouched=original is not None,
            dubs=dubs,
            cues=cues,
            duck=ducking(record),
            clean=self.clean,
        )
        await asyncio.gather(*(self.store.put(f"{stream}/{name}", body) for name, body in packed.bodies.items()))
        warm.sound.keep([*timeline.played, *timeline.pending])
        alive = {clip.audio for clip in timeline.clips}
        warm.clips = {key: pcm for key, pcm in warm.clips.items() if key in alive}
        return _row(due, timeline, packed, stream)

    async def listen(self, loudness: Loudness, timeline: Timeline, start: int, end: int, warm: Warm) -> None:
        """Hear how loud the original is in samples [start, end), as far as it is known."""
        pieces = around([*timeline.played, *timeline.pending], start, end)
        await self._decode(pieces, timeline, warm)
        loudness.add(_known(warm.sound, pieces, start, end))

    async def _dubs(self, timeline: Timeline, record: Record, warm: Warm, cut: int) -> dict[str, list[mix.Spoken]]:
        for clip in timeline.clips:
            if clip.audio not in warm.clips:
                warm.clips[clip.audio] = to_pcm(await self._get(clip.audio) or b"")
        return {
            language: [
                mix.Spoken(clip.span, warm.clips[clip.audio], clip.gain, cut if clip.end > cut else 0)
                for clip in timeline.clips
                if clip.language == language
            ]
            for language in dubbed(record)
        }

    async def _decode(self, pieces: Iterable[Piece], timeline: Timeline, warm: Warm) -> None:
        for piece in pieces:
            if piece.audio is None or piece.audio.media in warm.sound.decoded:
                continue
            track = timeline.track(piece.audio)
            init, media = await asyncio.gather(self._get(track.init), self._get(track.media))
            if init and media:
                lead = await self._get(piece.lead) if piece.lead else None
                await asyncio.to_thread(warm.sound.decode, piece, init, media, lead)

    async def _get(self, key: str) -> bytes | None:
        """An object, if it is there: nothing is waited for, what is missing is silent."""
        try:
            return await self.store.get(key)
        except Missing:
            log.warning("an object is missing", extra={"object": key})
            return None


def delay_of(record: Record) -> float:
    """D in whole segments, seconds."""
    if record.segment <= 0:
        return record.delay
    return -(-round(record.delay * 1000) // round(record.segment * 1000)) * record.segment


def kept(record: Record) -> bool:
    """Whether nothing is ever deleted; a file runs ahead of its viewers, so a sliding window would pass them by."""
    return record.record or record.live is False


def ducking(record: Record) -> mix.Duck:
    """How the original of this stream steps back."""
    return mix.Duck(record.ducking, record.ducking_attack, record.ducking_release, record.ducking_hold)


def spoken(record: Record) -> str:
    """The language of the source, which names its captions for the life of the stream."""
    return "und" if record.source_language in ("", "auto") else record.source_language


def dubbed(record: Record) -> list[str]:
    """Languages with a dub: neither subtitles only nor the source's own."""
    return [each for each in record.languages if each not in record.subtitled and each != spoken(record)]


def captions_of(record: Record) -> list[str]:
    """All caption renditions, the source's first."""
    own = spoken(record)
    return [f"captions-{own}", *(f"captions-{each}" for each in record.languages if each != own)]


def _heard(timeline: Timeline, record: Record) -> list[Piece]:
    """What has sound around the seal: adverts behind a slate have none."""
    pieces = [*timeline.played, *timeline.pending]
    return [piece for piece in pieces if not piece.advert] if record.ads == "slate" else pieces


def _row(due: Due, timeline: Timeline, packed: Packed, stream: str) -> Sealed:
    objects = {name: f"{stream}/{key}" for name, key in packed.objects.items()}
    inits = {name: f"{stream}/{key}" for name, key in packed.inits.items()}
    original = timeline.original(due.piece)
    picture = timeline.track(due.piece.video) if due.piece and due.piece.video else None
    for name, track in (("video", picture), ("original", original)):
        if track:
            objects[name], inits[name] = track.media, track.init
    order = ["video", "original", *(name for name in objects if name not in ("video", "original"))]
    return Sealed(
        stream=stream,
        until=seconds(due.end),
        number=due.number,
        start=due.start,
        duration=due.end - due.start,
        date=due.date,
        objects={name: objects[name] for name in order},
        inits={name: inits[name] for name in order if name in inits},
        discontinuity=due.discontinuity,
        slate=due.piece is None,
        advert=due.advert,
    )


def _known(sound: Sound, pieces: Sequence[Piece], start: int, end: int) -> Stereo:
    """The part of [start, end) that has sound, without the silence around it."""
    spans = [sound.decoded[piece.audio.media] for piece in pieces if piece.audio]
    if not spans:
        return sound.read((), start, start)
    low = max(start, min(at for at, _ in spans))
    high = min(end, max(at + pcm.shape[1] for at, pcm in spans))
    return sound.read(pieces, low, max(low, high))
