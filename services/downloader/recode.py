"""Sound in a codec that no player of HLS takes, as AAC-LC: 48 kHz, at most two channels."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, cast

import av

from services.downloader.demux import Head, Packet
from shared.audio import TICKS, VOICE

TAKEN = ("aac", "mp3", "mp3float")
"""Codecs that are handed on as they are."""
FRAME = 1024
JUMP = VOICE // 10
"""Samples by which timestamps may leave the running clock before it follows them."""


class Recoder:
    """Decodes and codes anew one continuous track."""

    def __init__(self, stream: av.AudioStream) -> None:
        layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
        self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=VOICE)
        self._fifo = av.AudioFifo()
        self._next: int | None = None
        """Time of the next sample that is coded."""
        self._first = 0
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
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return []
        for frame in frames:
            for part in self._resampler.resample(cast(av.AudioFrame, frame)):
                found += self._take(part)
        return found

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
            time = round((packet.pts or 0) * TICKS / VOICE)
            rows.append(Packet(bytes(packet), time, time, FRAME * TICKS // VOICE, True))
        return [row for row in rows if row.pts >= self._first * TICKS // VOICE]
