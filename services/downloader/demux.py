"""Bytes of a segment in, coded tracks in the source's time out; nothing is decoded here."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import av

from services.downloader.bitstream import adts_frames, avcc, length_prefixed, nal_units, sampling_rate
from shared.audio import TICKS
from shared.cmaf import Sample, audio_codec, video_codec

FORMATS = "mpegts,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flv,aac,mp3,ogg,wav,flac"
"""Containers that may be opened: none of them leads libav to another resource."""
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "data"}
_PICTURES = {"h264": "avc1", "hevc": "hvc1", "av1": "av01"}


class Unusable(ValueError):
    """This media cannot be dubbed; the text is a sentence for the user."""


class Packet(NamedTuple):
    """A coded packet; times in ticks of the source's clock."""

    data: bytes
    pts: int
    dts: int
    duration: int
    key: bool


@dataclass(frozen=True, slots=True)
class Head:
    """What a container says about one track."""

    codec: str
    """libav's name."""
    extra: bytes
    width: int = 0
    height: int = 0
    channels: int = 0
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Coded:
    """The coded samples of one track of one segment."""

    entry: str
    """Sample entry in CMAF: avc1, hvc1, av01, mp4a."""
    codec: str
    """As in the CODECS attribute (RFC 6381)."""
    config: bytes
    """Decoder configuration: a change of it needs a new init segment."""
    timescale: int
    start: int
    """Decode time of the first sample, in `timescale`."""
    samples: tuple[Sample, ...]
    width: int = 0
    height: int = 0
    channels: int = 0

    @property
    def length(self) -> int:
        """Sum of the samples' durations, in `timescale`."""
        return sum(sample.duration for sample in self.samples)

    def moved(self, ticks: int) -> "Coded":
        """The same samples `ticks` (1/90000 s) later."""
        return replace(self, start=self.start + round(ticks * self.timescale / TICKS))


@dataclass(frozen=True, slots=True)
class Fragment:
    """One segment of the source in its own time, ticks."""

    start: int
    """Of the first picture; of the first sound where there is no picture."""
    duration: int
    video: Coded | None
    audio: Coded | None


@dataclass(frozen=True, slots=True)
class Tracks:
    """The packets of at most one picture track and one sound track."""

    video: Head | None = None
    pictures: tuple[Packet, ...] = ()
    audio: Head | None = None
    sounds: tuple[Packet, ...] = ()


def head_of(stream: av.VideoStream | av.AudioStream) -> Head:
    """The track's description."""
    context = stream.codec_context
    extra = bytes(context.extradata or b"")
    if isinstance(stream, av.VideoStream):
        return Head(context.name, extra, width=stream.codec_context.width, height=stream.codec_context.height)
    sound = stream.codec_context
    return Head(context.name, extra, channels=sound.layout.nb_channels, rate=sound.sample_rate)


def packet_of(packet: "av.Packet[av.stream.Stream]") -> Packet | None:
    """The packet with its times in ticks; None where it has none."""
    if packet.pts is None or packet.dts is None or packet.time_base is None:
        return None
    scale = packet.time_base * TICKS
    times = round(packet.pts * scale), round(packet.dts * scale), round((packet.duration or 0) * scale)
    return Packet(bytes(packet), *times, packet.is_keyframe)


def demux(data: bytes) -> Tracks:
    """The tracks of a fetched segment: MPEG-TS, packed audio, or init + fMP4; raises Unusable."""
    try:
        form = "mpegts" if data[:1] == b"\x47" else None
        with av.open(io.BytesIO(data), "r", format=form, options=OPTIONS) as container:
            streams: list[av.VideoStream | av.AudioStream] = [
                *container.streams.video[:1],
                *container.streams.audio[:1],
            ]
            rows: dict[int, list[Packet]] = {stream.index: [] for stream in streams}
            for packet in container.demux(streams):
                row = packet_of(packet)
                if row:
                    rows[packet.stream_index].append(row)
            heads: dict[str, Head] = {stream.type: head_of(stream) for stream in streams if rows[stream.index]}
            found = {stream.type: tuple(rows[stream.index]) for stream in streams}
    except (av.error.FFmpegError, ValueError) as error:
        raise Unusable("The source does not deliver media that can be read.") from error
    if not heads:
        raise Unusable("The source does not deliver media that can be read.")
    return Tracks(heads.get("video"), found.get("video", ()), heads.get("audio"), found.get("audio", ()))


def fragment(tracks: Tracks, duration: int | None = None) -> Fragment:
    """The tracks as CMAF wants them; raises Unusable for codecs that cannot be passed through.

    `duration` is that of the picture in ticks, where it is known from what follows.
    """
    audio = sound(tracks.audio, tracks.sounds) if tracks.audio and tracks.sounds else None
    if tracks.video and tracks.pictures:
        start, length = min(row.pts for row in tracks.pictures), duration or span(tracks.pictures)
        return Fragment(start, length, picture(tracks.video, tracks.pictures, length), audio)
    if audio is None:
        raise Unusable("The source does not deliver media that can be read.")
    start = round(audio.start * TICKS / audio.timescale)
    return Fragment(start, round(audio.length * TICKS / audio.timescale), None, audio)


def span(rows: Sequence[Packet]) -> int:
    """Ticks from the first picture to the end of the last."""
    if len(rows) < 2:
        return rows[0].duration or TICKS // 25
    spread = rows[-1].dts - rows[0].dts
    return spread + (rows[-1].duration or round(spread / (len(rows) - 1)))


def picture(head: Head, rows: Sequence[Packet], duration: int) -> Coded:
    """Pictures with their times in ticks; their durations add up to `duration`."""
    boxed = head.extra[:1] in (b"\1", b"\x81")
    if head.codec not in _PICTURES or not (boxed or head.codec == "h264"):
        raise Unusable(f"The source's picture codec ({head.codec}) is not supported; H.264 is.")
    entry = _PICTURES[head.codec]
    if boxed:
        config, payloads = head.extra, [row.data for row in rows]
    else:
        units = [nal_units(row.data) for row in rows]
        key = next((part for part, row in zip(units, rows, strict=True) if row.key), [])
        config = avcc(key or nal_units(head.extra))
        payloads = [length_prefixed(part) for part in units]
    times = [*(row.dts for row in rows), rows[0].dts + duration]
    samples = tuple(
        Sample(data, max(after - row.dts, 0), row.pts - row.dts, row.key)
        for data, row, after in zip(payloads, rows, times[1:], strict=True)
    )
    return Coded(entry, video_codec(entry, config), config, TICKS, rows[0].dts, samples, head.width, head.height)


def sound(head: Head, rows: Sequence[Packet]) -> Coded:
    """Frames of AAC or MP3 with their times in samples."""
    frames = [row.data for row in rows]
    if head.codec in ("mp3", "mp3float"):
        length = 1152 if head.rate >= 32000 else 576
        start, samples = round(rows[0].pts * head.rate / TICKS), tuple(Sample(frame, length) for frame in frames)
        return Coded("mp4a", audio_codec(b""), b"", head.rate, start, samples, channels=head.channels)
    if head.codec != "aac":
        raise Unusable(f"The source's sound codec ({head.codec}) is not supported; AAC and MP3 are.")
    config = head.extra[:2] if head.extra[:1] and head.extra[0] >> 3 == 2 else head.extra
    if not config or frames[0][:1] == b"\xff":
        split = [adts_frames(frame) for frame in frames]
        config, frames = split[0][1], [frame for part, _ in split for frame in part]
    if not config:
        raise Unusable("The source's sound cannot be read.")
    rate = sampling_rate(config)
    start, samples = round(rows[0].pts * rate / TICKS), tuple(Sample(frame, 1024) for frame in frames)
    return Coded("mp4a", audio_codec(config), config, rate, start, samples, channels=head.channels)


def between(track: Coded, start: int, end: int) -> Coded:
    """The frames of a sound track that start within [start, end), ticks."""
    kept: list[Sample] = []
    at, first = track.start, None
    for sample in track.samples:
        if start <= round(at * TICKS / track.timescale) < end:
            first = at if first is None else first
            kept.append(sample)
        at += sample.duration
    return replace(track, start=at if first is None else first, samples=tuple(kept))


def joined(first: Coded, second: Coded) -> Coded:
    """Two stretches of one sound track as one; the second alone where they do not meet."""
    meets = abs(first.start + first.length - second.start) <= 1024
    if first.config != second.config or not meets:
        return second
    return replace(first, samples=first.samples + second.samples)
