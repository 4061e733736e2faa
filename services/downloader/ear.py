"""Coded sound in, continuous 16 kHz mono PCM on the media clock out."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

import av
import numpy as np

from services.downloader.demux import Coded
from shared.audio import EAR, TICKS, Pcm

LEAD_IN = 4
"""Coded frames of the segment before that are decoded again: the first primes the decoder, the rest the resampler."""
HELD = EAR // 100
"""Samples that wait for the next segment, whose sound the resampler needs at the edge."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A stretch of PCM; it starts where the last one ended."""

    start: int
    """Samples at 16 kHz on the media clock."""
    pcm: Pcm

    @property
    def end(self) -> int:
        return self.start + self.pcm.size


@dataclass(slots=True)
class Ear:
    """Hears segment after segment; it keeps the last coded frames, which may be lost at the cost of a soft edge."""

    lead: Coded | None = None

    def hear(self, audio: Coded | None, start: int, end: int, last: bool = False) -> Heard:
        """Sound from sample `start` (where the last stretch ended) to near the end of the segment at `end` (samples).

        Media time without sound is silence. CPU: about 1 ms a second of media.
        """
        if audio is None or not audio.samples:
            self.lead = None
            return Heard(start, np.zeros(max(end - start, 0), np.float32))
        whole = self._with_lead(audio)
        self.lead = replace(
            audio,
            start=audio.start + sum(sample.duration for sample in audio.samples[:-LEAD_IN]),
            samples=audio.samples[-LEAD_IN:],
        )
        pcm, rate, first = decode(whole)
        ear, at = resample(pcm, rate), round(first * EAR / rate)
        stop = at + ear.size - (0 if last else HELD)
        if stop <= start:
            return Heard(start, np.zeros(0, np.float32))
        out = np.zeros(stop - start, np.float32)
        begin = max(at, start)
        out[begin - start :] = ear[begin - at : stop - at]
        return Heard(start, out)

    def _with_lead(self, audio: Coded) -> Coded:
        lead = self.lead
        if lead and lead.config == audio.config and abs(lead.start + lead.length - audio.start) <= 64:
            return replace(audio, start=audio.start - lead.length, samples=lead.samples + audio.samples)
        return audio


def decode(audio: Coded) -> tuple[Pcm, int, int]:
    """Mono PCM, its rate, and the media time of its first sample in that rate; damaged frames are silence."""
    context = cast(av.AudioCodecContext, av.CodecContext.create("aac" if audio.config else "mp3float", "r"))
    if audio.config:
        context.extradata = audio.config
    pieces: list[tuple[int, Pcm]] = []
    rate, at = audio.timescale, audio.start
    for sample in audio.samples:
        packet = av.Packet(sample.data)
        packet.pts = packet.dts = at
        with suppress(av.error.FFmpegError):
            for frame in context.decode(packet):
                rate, time = frame.sample_rate, at if frame.pts is None else frame.pts
                pieces.append((time, _mono(frame)))
        at += sample.duration
    first = round(audio.start * rate / audio.timescale)
    out = np.zeros(round(audio.length * rate / audio.timescale), np.float32)
    for time, pcm in pieces:
        place = max(round(time * rate / audio.timescale) - first, 0)
        kept = pcm[: max(out.size - place, 0)]
        out[place : place + kept.size] = kept
    return out, rate, first


def _mono(frame: av.AudioFrame) -> Pcm:
    """Mean of the channels; planes are read in place, which costs half of what `to_ndarray` does."""
    planes = frame.planes
    if frame.format.name != "fltp" or len(planes) > 2:
        mono: Pcm = np.asarray(frame.to_ndarray(), np.float32).mean(axis=0)
        return mono
    channels = [np.frombuffer(memoryview(plane), np.float32, frame.samples) for plane in planes]
    return channels[0].copy() if len(channels) == 1 else np.multiply(channels[0] + channels[1], np.float32(0.5))


def resample(pcm: Pcm, rate: int) -> Pcm:
    """PCM at 16 kHz, without delay."""
    if rate == EAR or not pcm.size:
        return pcm
    resampler = av.AudioResampler(format="flt", layout="mono", rate=EAR)
    frame = av.AudioFrame.from_ndarray(pcm[None], format="flt", layout="mono")
    frame.sample_rate = rate
    parts = [part.to_ndarray()[0] for item in (frame, None) for part in resampler.resample(item)]
    out = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    size = round(pcm.size * EAR / rate)
    return np.pad(out, (0, max(size - out.size, 0)))[:size].astype(np.float32)


def samples(ticks: int) -> int:
    """Ticks as samples at 16 kHz."""
    return ticks * EAR // TICKS
