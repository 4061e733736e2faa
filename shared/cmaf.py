"""CMAF (fragmented MP4) in pure Python: coded samples in, bytes out, and back; no muxer state.

A media segment is a function of samples, decode time and number, so a second writing gives the same bytes. Times are
integers in the track's timescale: 90 000 for video, the sample rate for audio. Boxes follow ISO/IEC 14496-12, -14,
-15 and the CMAF profile of 23000-19.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_UNITY_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SYNC, _NON_SYNC = 0x02000000, 0x01010000
_CONFIGS = {b"avc1": b"avcC", b"hvc1": b"hvcC", b"av01": b"av1C", b"vp09": b"vpcC"}
_AAC, _MP3 = 0x40, 0x6B


class Sample(NamedTuple):
    """One coded frame: an access unit with length-prefixed NAL units, or one raw AAC frame."""

    data: bytes
    duration: int
    """Ticks of the track's timescale until the next sample is decoded."""
    offset: int = 0
    """Ticks from decode to presentation (B-frames); 0 for audio."""
    key: bool = True


@dataclass(frozen=True, slots=True)
class TrackHeader:
    """What an init segment says about its one track."""

    entry: str
    """Sample entry: avc1, hvc1, av01, vp09 or mp4a."""
    config: bytes
    """Decoder configuration: avcC, hvcC, av1C or vpcC record, or AudioSpecificConfig."""
    codec: str
    """As in the CODECS attribute (RFC 6381)."""
    timescale: int
    width: int = 0
    height: int = 0
    channels: int = 0
    rate: int = 0
    """Samples a second, as the sample entry says; 0 for video."""


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box: 32-bit size, four-character kind, payload."""
    payload = b"".join(parts)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box whose payload starts with a version and 24 bits of flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def audio_entry(config: bytes, rate: int, channels: int, bitrate: int = 128_000) -> bytes:
    """Sample entry `mp4a`: AAC with its AudioSpecificConfig (two bytes for AAC-LC), or MP3 where `config` is empty."""

    def descriptor(tag: int, payload: bytes) -> bytes:
        return bytes([tag, 0x80, 0x80, 0x80, len(payload)]) + payload

    specific = descriptor(5, config) if config else b""
    kind = _AAC if config else _MP3
    decoder = descriptor(4, struct.pack(">BB3xII", kind, 0x15, bitrate, bitrate) + specific)
    stream = descriptor(3, struct.pack(">HB", 1, 0) + decoder + descriptor(6, b"\x02"))
    fields = struct.pack(">6xH8xHHHHI", 1, channels, 16, 0, 0, rate << 16)
    return box(b"mp4a", fields, full_box(b"esds", 0, 0, stream))


def video_entry(config: bytes, width: int, height: int, kind: str = "avc1") -> bytes:
    """Sample entry of a picture track; `kind` is avc1, hvc1, av01 or vp09 and `config` its configuration record."""
    fields = struct.pack(">6xH16xHHIIIH32sHh", 1, width, height, 0x480000, 0x480000, 0, 1, b"", 24, -1)
    return box(kind.encode(), fields, box(_CONFIGS[kind.encode()], config))


def init_segment(entry: bytes, timescale: int, language: str = "und", width: int = 0, height: int = 0) -> bytes:
    """`ftyp` + `moov` of a one-track presentation, audio where width is 0; language is ISO 639-2/T, three letters."""
    audio = not width
    code = sum((ord(letter) - 0x60) << shift for letter, shift in zip(language, (10, 5, 0), strict=True))
    ftyp = box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6cmfcmp41")
    movie = struct.pack(">IIIIIH10x", 0, 0, timescale, 0, 0x10000, 0x100) + _UNITY_MATRIX + bytes(24)
    track = struct.pack(">IIIII8xHHHH", 0, 0, 1, 0, 0, 0, 0, 0x100 if audio else 0, 0) + _UNITY_MATRIX
    handler = struct.pack(">I4s12x", 0, b"soun" if audio else b"vide") + b"h\0"
    header = full_box(b"smhd", 0, 0, bytes(4)) if audio else full_box(b"vmhd", 0, 1, bytes(8))
    references = box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))
    table = box(
        b"stbl",
        full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, timescale, 0, code, 0)),
        full_box(b"hdlr", 0, 0, handler),
        box(b"minf", header, references, table),
    )
    size = struct.pack(">II", width << 16, height << 16)
    return ftyp + box(
        b"moov",
        full_box(b"mvhd", 0, 0, movie, struct.pack(">I", 2)),
        box(b"trak", full_box(b"tkhd", 0, 7, track, size), media),
        box(b"mvex", full_box(b"trex", 0, 0, struct.pack(">IIIII", 1, 1, 0, 0, 0))),
    )


def media_segment(sequence: int, decode_time: int, samples: Sequence[Sample], video: bool) -> bytes:
    """`styp` + `moof` + `mdat`; `decode_time` (tfdt) is media time in the track's timescale: there is no edit list."""
    if video:
        rows = b"".join(
            struct.pack(">IIIi", s.duration, len(s.data), _SYNC if s.key else _NON_SYNC, s.offset) for s in samples
        )
        header = full_box(b"tfhd", 0, 0x020000, struct.pack(">I", 1))
        flags = 0x000F01  # data offset; per sample: duration, size, flags, composition offset
    else:
        rows = b"".join(struct.pack(">II", s.duration, len(s.data)) for s in samples)
        header = full_box(b"tfhd", 0, 0x020020, struct.pack(">II", 1, _SYNC))
        flags = 0x000301  # data offset; per sample: duration, size

    def moof(offset: int) -> bytes:
        run = full_box(b"trun", 1, flags, struct.pack(">Ii", len(samples), offset), rows)
        time = full_box(b"tfdt", 1, 0, struct.pack(">Q", decode_time))
        return box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", sequence)), box(b"traf", header, time, run))

    styp = box(b"styp", b"msdh", struct.pack(">I", 0), b"msdhmsixcmfc")
    return styp + moof(len(moof(0)) + 8) + box(b"mdat", *(s.data for s in samples))


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and payload of each box in `data`; raises ValueError where it is cut short."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("a box is cut short")
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise ValueError("a box is cut short")
        yield kind, data[at + 8 : at + size]
        at += size


def _find(data: bytes, *path: bytes) -> bytes:
    for kind in path:
        inner = next((payload for found, payload in boxes(data) if found == kind), None)
        if inner is None:
            raise ValueError(f"there is no {kind.decode()} box")
        data = inner
    return data


def samples_of(media: bytes) -> tuple[int, list[Sample]]:
    """Decode time of the first sample, and all samples, of what `media_segment` wrote; raises ValueError."""
    fragment, data = _find(media, b"moof", b"traf"), memoryview(_find(media, b"mdat"))
    (time,) = struct.unpack_from(">Q", _find(fragment, b"tfdt"), 4)
    run = _find(fragment, b"trun")
    flags, count = struct.unpack_from(">II", run)
    row = struct.Struct(">IIIi" if flags & 0xC00 else ">II")
    samples, at = [], 0
    for values in row.iter_unpack(run[12 : 12 + count * row.size]):
        duration, size = values[:2]
        key, offset = (values[2] & 0x10000 == 0, values[3]) if len(values) == 4 else (True, 0)
        samples.append(Sample(bytes(data[at : at + size]), duration, offset, key))
        at += size
    return time, samples


def track_of(init: bytes) -> TrackHeader:
    """The track that an init segment of `init_segment` describes; raises ValueError."""
    media = _find(init, b"moov", b"trak", b"mdia")
    (timescale,) = struct.unpack_from(">I", _find(media, b"mdhd"), 12)
    kind, entry = next(boxes(_find(media, b"minf", b"stbl", b"stsd")[8:]))
    if kind == b"mp4a":
        channels, _, _, _, rate = struct.unpack_from(">16xHHHHI", entry)
        config = _specific_config(_find(entry[28:], b"esds")[4:])
        return TrackHeader("mp4a", config, audio_codec(config), timescale, channels=channels, rate=rate >> 16)
    width, height = struct.unpack_from(">24xHH", entry)
    if kind not in _CONFIGS:
        raise ValueError("the sample entry is not known")
    config, name = _find(entry[78:], _CONFIGS[kind]), kind.decode()
    return TrackHeader(name, config, video_codec(name, config), timescale, width, height)


def _specific_config(descriptors: bytes) -> bytes:
    """AudioSpecificConfig inside nested descriptors with four-byte lengths; empty for MP3."""
    decoder = descriptors[5 + 3 :]
    specific = decoder[5 + 13 :]
    return specific[5 : 5 + specific[4]] if specific[:1] == b"\5" else b""


def audio_codec(config: bytes) -> str:
    """CODECS string of an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); MP3 where it is empty."""
    return f"mp4a.40.{config[0] >> 3}" if config else "mp4a.40.34"


def video_codec(kind: str, config: bytes) -> str:
    """CODECS string of a configuration record (RFC 6381; ISO/IEC 14496-15 annex E; the AV1 and VP9 bindings)."""
    if kind == "avc1":
        return "avc1." + config[1:4].hex()
    if kind == "hvc1":
        space, profile = "ABC"[(config[1] >> 6) - 1] if config[1] >> 6 else "", config[1] & 31
        flags = int(f"{int.from_bytes(config[2:6]):032b}"[::-1], 2)
        constraints = "".join(f".{byte:X}" for byte in config[6:12].rstrip(b"\0"))
        return f"hvc1.{space}{profile}.{flags:X}.{'LH'[config[1] >> 5 & 1]}{config[12]}{constraints}"
    if kind == "av01":
        depth = 8 + 2 * (config[2] >> 6 & 1) + 2 * (config[2] >> 5 & 1)
        return f"av01.{config[1] >> 5}.{config[1] & 31:02d}{'MH'[config[2] >> 7]}.{depth:02d}"
    return f"vp09.{config[4]:02d}.{config[5]:02d}.{config[6] >> 4:02d}"
