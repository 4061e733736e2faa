"""Bytes of a segment in, coded tracks in the source's time out; nothing is decoded here."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import av

from services.downloader.bitstream import adts_frames, avcc, length_prefixed, nal_units, sampling_rate
from shared.audio import TICKS
from shared.cmaf import Sample, audio_codec, video_codec

FORMATS = "mpegts,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flv,aac,mp3,ogg,wav,flac"
"""Containers that may be opened: none of them leads libav to another resource."""
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "data"}
BRIEF = {"analyzeduration": "100000", "skip_frame": "all"}
"""Most segments say at their beginning what they are; libav would decode more of them to make sure."""
TAKEN = ("aac", "mp3", "mp3float")
"""Sound that is handed on as it is."""
HOLE = 0.04
"""Seconds that may lie between two frames of sound before something is missing there."""
_STAMP = b"com.apple.streaming.transportStreamTimestamp\0"
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

    @property
    def whole(self) -> bool:
        """Whether the container has told all that is asked of its tracks."""
        pictured = self.video is None or bool(self.video.width and self.video.height)
        heard = self.audio is None or self.audio.codec == "aac" or bool(self.audio.channels and self.audio.rate)
        return pictured and heard


def head_of(stream: av.VideoStream | av.AudioStream) -> Head:
    """The track's description."""
    context = stream.codec_context
    extra = bytes(context.extradata or b"")
    if isinstance(stream, av.VideoStream):
        return Head(context.name, extra, width=stream.codec_context.width, height=stream.codec_context.height)
    sound = stream.codec_context
    return Head(context.name, extra, channels=sound.layout.nb_channels, rate=sound.sample_rate)


def packet_of(packet: "av.Packet[av.stream.Stream]", base: Fraction | None = None) -> Packet | None:
    """The packet with its times in ticks, `base` being its track's; None where it has none."""
    pts, dts, base = packet.pts, packet.dts, base or packet.time_base
    if pts is None or dts is None or base is None:
        return None
    up, down = base.numerator * TICKS, base.denominator
    length = packet.duration or 0
    if up != down:
        pts, dts, length = rescaled(pts, up, down), rescaled(dts, up, down), rescaled(length, up, down)
    return Packet(bytes(packet), pts, dts, length, packet.is_keyframe)


def rescaled(time: int, up: int, down: int) -> int:
    """`time` in units of `up` / `down`, as the nearest whole one."""
    return (2 * time * up + down) // (2 * down)


def demux(data: bytes) -> Tracks:
    """The tracks of a fetched segment: MPEG-TS, packed audio, or init + fMP4; raises Unusable."""
    try:
        tracks = _demux(data, OPTIONS | BRIEF)
        if not tracks.whole:
            tracks = _demux(data, OPTIONS)
        if tracks.audio and tracks.audio.codec.startswith("mp3") and layer(tracks.sounds[0].data) == 2:
            tracks = replace(tracks, audio=replace(tracks.audio, codec="mp2"))
        if stamp := packed(data):
            tracks = replace(tracks, sounds=tuple(row._replace(pts=row.pts + stamp) for row in tracks.sounds))
    except (av.error.FFmpegError, ValueError) as error:
        raise Unusable("The source does not deliver media that can be read.") from error
    if not (tracks.video or tracks.audio):
        raise Unusable("The source does not deliver media that can be read.")
    return tracks


def layer(frame: bytes) -> int:
    """The layer of a frame of MPEG audio (ISO/IEC 11172-3, 2.4.2.3); a transport stream does not tell II from III."""
    return 4 - (frame[1] >> 1 & 3) if len(frame) > 1 else 0


def packed(data: bytes) -> int:
    """Ticks at which a segment of packed audio starts, by the ID3 tag before it (RFC 8216, 3.4)."""
    at = data.find(_STAMP, 0, 1024) if data[:3] == b"ID3" else -1
    return int.from_bytes(data[at + len(_STAMP) :][:8]) if at >= 0 else 0


def _demux(data: bytes, options: dict[str, str]) -> Tracks:
    form = "mpegts" if data[:1] == b"\x47" else None
    with av.open(io.BytesIO(data), "r", format=form, options=options) as container:
        streams: list[av.VideoStream | av.AudioStream] = [*container.streams.video[:1], *container.streams.audio[:1]]
        rows: dict[int, list[Packet]] = {stream.index: [] for stream in streams}
        bases = {stream.index: stream.time_base for stream in streams}
        for packet in container.demux(streams):
            row = packet_of(packet, bases[packet.stream_index])
            if row:
                rows[packet.stream_index].append(row)
        heads: dict[str, Head] = {stream.type: head_of(stream) for stream in streams if rows[stream.index]}
        found = {stream.type: tuple(rows[stream.index]) for stream in streams}
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
    frames = [(row.pts, row.data) for row in rows]
    if head.codec in ("mp3", "mp3float"):
        start, samples = timed(frames, 1152 if head.rate >= 32000 else 576, head.rate)
        return Coded("mp4a", audio_codec(b""), b"", head.rate, start, samples, channels=head.channels)
    if head.codec != "aac":
        raise Unusable(f"The source's sound codec ({head.codec}) is not supported.")
    config = head.extra[:2] if head.extra[:1] and head.extra[0] >> 3 == 2 else head.extra
    if not config or frames[0][1][:1] == b"\xff":
        split = [(time, adts_frames(data)) for time, data in frames]
        config = split[0][1][1]
        frames = [(time, frame) for time, (parts, _) in split for frame in parts]
    if not config:
        raise Unusable("The source's sound cannot be read.")
    rate = sampling_rate(config)
    start, samples = timed(frames, 1024, rate)
    channels = head.channels or config[1] >> 3 & 15
    return Coded("mp4a", audio_codec(config), config, rate, start, samples, channels=channels)


def timed(frames: Sequence[tuple[int, bytes]], length: int, rate: int) -> tuple[int, tuple[Sample, ...]]:
    """Where frames with their times in ticks start, and the frames: one before a hole lasts until the next."""
    at = start = round(frames[0][0] * rate / TICKS)
    samples: list[Sample] = []
    for ticks, data in frames:
        missing = round(ticks * rate / TICKS) - at
        if missing > HOLE * rate:
            samples[-1] = samples[-1]._replace(duration=length + missing)
            at += missing
        samples.append(Sample(data, length))
        at += length
    return start, tuple(samples)


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
