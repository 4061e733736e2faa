"""The few bits of H.264 and AAC syntax that stand between a transport stream and CMAF."""

import struct

RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""Samples a second by sampling frequency index (ISO/IEC 14496-3, table 1.18)."""


def nal_units(data: bytes) -> list[bytes]:
    """NAL units of an Annex B access unit (start codes 00 00 01)."""
    return [unit for piece in data.split(b"\0\0\1")[1:] if (unit := piece.rstrip(b"\0"))]


def avcc(units: list[bytes]) -> bytes:
    """avcC record from the parameter sets (NAL types 7 and 8) of a key picture; raises ValueError without them."""
    sps = next((unit for unit in units if unit[0] & 31 == 7), b"")
    pps = next((unit for unit in units if unit[0] & 31 == 8), b"")
    if len(sps) < 4 or not pps:
        raise ValueError("the picture has no parameter sets")
    head = bytes([1, *sps[1:4], 0xFF, 0xE1])
    return head + struct.pack(">H", len(sps)) + sps + b"\1" + struct.pack(">H", len(pps)) + pps


def length_prefixed(units: list[bytes]) -> bytes:
    """The access unit as MP4 wants it, without the parameter sets and delimiters (types 7, 8, 9) that avcC carries."""
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units if unit[0] & 31 not in (7, 8, 9))


def adts_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Raw AAC frames and AudioSpecificConfig of ADTS data; a transport packet may hold several frames."""
    frames: list[bytes] = []
    config, at = b"", 0
    while at + 7 <= len(data) and data[at] == 0xFF and data[at + 1] & 0xF0 == 0xF0:
        header = 7 if data[at + 1] & 1 else 9
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if size < header:
            break
        kind, rate = (data[at + 2] >> 6) + 1, data[at + 2] >> 2 & 15
        channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
        config = struct.pack(">H", kind << 11 | rate << 7 | channels << 3)
        frames.append(data[at + header : at + size])
        at += size
    return frames, config


def sampling_rate(config: bytes) -> int:
    """Core samples a second of an AudioSpecificConfig; raises ValueError for an explicit frequency."""
    index = int.from_bytes(config[:2]) >> 7 & 15
    if index >= len(RATES):
        raise ValueError("the sampling rate is not known")
    return RATES[index]
