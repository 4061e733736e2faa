"""Sound in a codec that no player of HLS takes, as AAC-LC: 48 kHz, at most two channels."""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, cast

import av

from services.downloader.demux import TAKEN, Head, Packet, Tracks
from shared.audio import TICKS, VOICE

FRAME = 1024
NEAR = 60 * TICKS
"""Ticks within which the sound of a segment lies."""
JUMP = VOICE // 10
"""Samples by which timestamps may leave the running clock before it follows them."""


class Recoder:
    """Codes one continuous track anew."""

    def __init__(self, channels: int) -> None:
        layout = "mono" if channels == 1 else "stereo"
        self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=VOICE)
        self._fifo = av.AudioFifo()
        self._next: int | None = None
        """Time of the next sample that is coded."""
        self._first: int | None = None
        """Time of the first sample, until the encoder's priming before it has passed."""
        self._encoder = encoder = av.CodecContext.create("aac", "w")
        encoder.sample_rate, encoder.layout, encoder.format = VOICE, layout, "fltp"
        encoder.bit_rate, encoder.time_base = 64_000 * encoder.layout.nb_channels, Fraction(1, VOICE)
        encoder.options = {"aac_coder": "fast"}
        encoder.open()
        channels = encoder.layout.nb_channels
        self.head = Head("aac", bytes(encoder.extradata or b""), channels=channels, rate=VOICE)

    def recode(self, packet: "av.Packet[Any]") -> list[Packet]:
        """Packets that are ready once this one is known; a damaged one is left out."""
        found: list[Packet] = []
        with suppress(av.error.FFmpegError):
            for frame in packet.decode():
                found += self.take(cast(av.AudioFrame, frame))
        return found

    def take(self, frame: av.AudioFrame) -> list[Packet]:
        """The same for sound that has been decoded."""
        return [packet for part in self._resampler.resample(frame) for packet in self._take(part)]

    def rest(self) -> list[Packet]:
        """What is left at the end of the track."""
        found = [packet for part in self._resampler.resample(None) for packet in self._take(part)]
        if (last := self._fifo.read(0, partial=True)) is not None:
            found += self._code(last)
        return found + self._rows(self._encoder.encode(None))

    def _take(self, part: av.AudioFrame) -> list[Packet]:
        found: list[Packet] = []
        if part.pts is not None and part.time_base is not None:
            time = round(part.pts * part.time_base * VOICE)
            expected = None if self._next is None else self._next + self._fifo.samples
            if expected is None:
                self._first = time
            if expected is None or abs(time - expected) > JUMP:
                self._next = time
        part.pts = None
        self._fifo.write(part)
        while (frame := self._fifo.read(FRAME)) is not None:
            found += self._code(frame)
        return found

    def _code(self, frame: av.AudioFrame) -> list[Packet]:
        frame.pts, frame.time_base = self._next or 0, Fraction(1, VOICE)
        self._next = frame.pts + frame.samples
        return self._rows(self._encoder.encode(frame))

    def _rows(self, packets: Sequence["av.Packet[Any]"]) -> list[Packet]:
        """Without the encoder's priming, which lies before the first sample."""
        rows = []
        for packet in packets:
            if self._first is not None and (packet.pts or 0) < self._first:
                continue
            self._first = None
            time = round((packet.pts or 0) * TICKS / VOICE)
            rows.append(Packet(bytes(packet), time, time, FRAME * TICKS // VOICE, True))
        return rows


class Recoding:
    """Hands segments on with their sound in AAC; what it codes anew goes on from segment to segment."""

    def __init__(self) -> None:
        self._head: Head | None = None

    def taken(self, tracks: Tracks) -> Tracks:
        """The segment as players take it; raises ValueError for sound that nothing here decodes."""
        head = tracks.audio
        if head is None or head.codec in TAKEN:
            self._head = None
            return tracks
        if head != self._head:
            self._head, self._recoder = head, Recoder(head.channels)
            self._decoder = cast(av.AudioCodecContext, av.CodecContext.create(head.codec, "r"))
            self._decoder.extradata = head.extra or None
        rows: list[Packet] = []
        for sound in tracks.sounds:
            packet = av.Packet(sound.data)
            packet.pts, packet.dts, packet.time_base = sound.pts, sound.dts, Fraction(1, TICKS)
            with suppress(av.error.FFmpegError):
                for frame in self._decoder.decode(packet):
                    frame.time_base = Fraction(1, TICKS)
                    rows += self._recoder.take(frame)
        # The coder is a frame behind: after a jump of timestamps that frame belongs to nowhere.
        near = tuple(row for row in rows if abs(row.pts - tracks.sounds[0].pts) < NEAR)
        return Tracks(tracks.video, tracks.pictures, self._recoder.head, near)
