"""A piece of the source as stored objects and the messages that announce them."""

import hashlib
import math

from services.downloader.demux import Coded
from services.downloader.ear import Heard
from services.downloader.source import Piece
from shared import cmaf
from shared.audio import EAR, TICKS, seconds, to_bytes
from shared.context import Pcm
from shared.messages import AudioChunk, MediaSegment, Track
from shared.store import Store


def digest(data: bytes) -> str:
    """A short name of some content."""
    return hashlib.sha256(data).hexdigest()[:16]


async def track(store: Store, stream: str, coded: Coded | None, start: int) -> Track | None:
    """Store the samples of one track as CMAF; raises OSError.

    Named by media time and content: a publisher never sends the same again, so a piece that was stored and not
    committed must not stand for the one that comes after it.
    """
    if coded is None or not coded.samples:
        return None
    if coded.width:
        entry = cmaf.video_entry(coded.config, coded.width, coded.height, coded.entry)
    else:
        entry = cmaf.audio_entry(coded.config, coded.timescale, coded.channels)
    init = cmaf.init_segment(entry, coded.timescale, width=coded.width, height=coded.height)
    media = cmaf.media_segment(start // TICKS, coded.start, coded.samples, video=bool(coded.width))
    name = f"{'v' if coded.width else 'o'}-{start}-{digest(media)}.m4s"
    return Track(
        codec=coded.codec,
        init=await store.put(f"{stream}/init-{digest(init)}.mp4", init),
        media=await store.put(f"{stream}/{name}", media),
        timescale=coded.timescale,
        width=coded.width,
        height=coded.height,
        channels=coded.channels,
    )


async def segment(
    store: Store, stream: str, piece: Piece, *, until: float, date: float, arrived: float
) -> MediaSegment:
    """Store a piece and name it; raises OSError."""
    return MediaSegment(
        stream=stream,
        until=until,
        start=piece.start,
        duration=piece.duration,
        video=await track(store, stream, piece.video, piece.start),
        audio=await track(store, stream, piece.audio, piece.start),
        date=piece.date or date,
        captured_at=arrived,
        rebased=piece.rebased,
        advert=piece.advert,
    )


def chunks(stream: str, heard: Heard, *, length: float, advert: bool, arrived: float) -> list[Pcm | AudioChunk]:
    """The sound as PCM for the ring with the chunks that announce it, about `length` and at most one second each."""
    found: list[Pcm | AudioChunk] = []
    size = heard.pcm.size
    count = max(round(size / (length * EAR)), math.ceil(size / EAR), 1)
    step = max(math.ceil(size / count), 1)
    for at in range(0, size, step):
        part = heard.pcm[at : at + step]
        start, end = (heard.start + at) / EAR, (heard.start + at + part.size) / EAR
        found.append(Pcm(start=start, samples=to_bytes(part)))
        found.append(AudioChunk(stream=stream, until=end, start=start, end=end, advert=advert, captured_at=arrived))
    return found


def until(captured: int, ear: int) -> float:
    """Media time before which nothing more comes: the lesser of ticks and samples."""
    return min(seconds(captured), ear / EAR)
