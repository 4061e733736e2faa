"""A small generated source: H.264 and AAC, boxed and stored as the downloader would."""

import io
from collections.abc import Callable
from functools import cache

import av
import numpy as np

from services.sender import encode, still
from services.sender.mix import Stereo
from shared import cmaf
from shared.audio import BASE, TICKS, VOICE
from shared.messages import MediaSegment, Track
from shared.store import Store

SECONDS = 2
WIDTH, HEIGHT = 160, 90
NOISE = np.random.default_rng(1).standard_normal(10007)


def tone(start: int, end: int) -> Stereo:
    """A quiet tone in some noise (pure tones are dear to code), by samples of the media clock."""
    time = np.arange(start, end)
    wave = 0.1 * np.sin(2 * np.pi * 440 * time / VOICE) + 0.01 * NOISE[time % len(NOISE)]
    return np.stack([wave, wave]).astype(np.float32)


async def segment(
    store: Store,
    stream: str,
    index: int,
    *,
    read: Callable[[int, int], Stereo] = tone,
    picture: bool = True,
    sound: bool = True,
    advert: bool = False,
) -> MediaSegment:
    """Segment `index` of a source with 2 s segments."""
    start = BASE + index * SECONDS * TICKS
    video = audio = None
    if picture:
        shown = still.card(WIDTH, HEIGHT)
        entry = cmaf.video_entry(shown.config, WIDTH, HEIGHT)
        init = await store.put(f"{stream}/init-v.mp4", cmaf.init_segment(entry, TICKS, width=WIDTH, height=HEIGHT))
        body = cmaf.media_segment(index + 1, start, shown.lasting(SECONDS * TICKS), video=True)
        media = await store.put(f"{stream}/v-{start}.m4s", body)
        video = Track(codec="avc1.42c00a", init=init, media=media, timescale=TICKS, width=WIDTH, height=HEIGHT)
    if sound:
        entry = cmaf.audio_entry(encode.configuration(), VOICE, 2)
        init = await store.put(f"{stream}/init-o.mp4", cmaf.init_segment(entry, VOICE))
        body = _sound(index, read)
        media = await store.put(f"{stream}/o-{start}.m4s", body)
        audio = Track(codec="mp4a.40.2", init=init, media=media, timescale=VOICE, channels=2)
    return MediaSegment(
        stream=stream,
        until=(start + SECONDS * TICKS) / TICKS,
        start=start,
        duration=SECONDS * TICKS,
        video=video,
        audio=audio,
        date=1_700_000_000.0 + index * SECONDS,
        captured_at=0.0,
        advert=advert,
    )


@cache
def _sound(index: int, read: Callable[[int, int], Stereo]) -> bytes:
    start = BASE + index * SECONDS * TICKS
    frames = encode.frames_of(start, start + SECONDS * TICKS)
    return cmaf.media_segment(index + 1, frames.start * encode.FRAME, encode.encode(read, frames), video=False)


def decoded(init: bytes, media: bytes) -> Stereo:
    """Sound of one fragment as a player hears it, without what came before."""
    track = cmaf.track_of(init)
    start, samples = cmaf.samples_of(media)
    return encode.decode(track.codec, track.config, start, track.timescale, samples)[1]


def pictures(init: bytes, media: bytes) -> int:
    """Number of pictures that a decoder finds in a fragment."""
    with av.open(io.BytesIO(init + media), "r") as container:
        return len(list(container.decode(video=0)))
