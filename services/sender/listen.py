"""The interpreter channel: dubbed sound by WebRTC as soon as it has its place, coded once for all who listen.

It follows the event stream and has no say in the pipeline. Clips are played one after the other as they come, with
silence between them; a listener who is slow loses sound, and nobody waits for anybody.
"""

import asyncio
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from functools import cache
from typing import Protocol, cast

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from shared.audio import VOICE
from shared.context import Event
from shared.messages import Clip, End
from shared.store import Missing, Store

FRAME = VOICE // 50
"""Samples of an Opus packet: 20 ms."""
BITRATE = 32_000
LONGEST = 10 * 50
"""Packets that may wait: what is older is not worth hearing any more."""
SLOW = 50
"""Packets that one listener may be behind."""
AGAIN = 5.0
"""Seconds after which interest in the language is said again."""
MALFORMED = (
    *(ValueError, KeyError, IndexError, AttributeError, AssertionError),
    *(InternalError, InvalidAccessError, InvalidStateError, OperationError),
)
"""What aiortc raises at offers that are none."""
JOINING = 30.0
"""Seconds in which a listener has to connect."""


class Outside(Protocol):
    """What is used of the bus."""

    async def events(self, stream: str, after: str = "0", wait: float = 0.0) -> list[Event]: ...

    async def want(self, stream: str, language: str) -> None: ...


class Full(Exception):
    """As many listen as may."""


class Unfit(Exception):
    """An offer that cannot be answered."""


def code(samples: bytes) -> list[bytes]:
    """48 kHz mono s16 as Opus packets of 20 ms, the last one filled up with silence."""
    coder = av.CodecContext.create("libopus", "w")
    assert isinstance(coder, av.AudioCodecContext)
    coder.sample_rate, coder.layout, coder.format = VOICE, "mono", av.AudioFormat("s16")
    coder.bit_rate, coder.time_base = BITRATE, Fraction(1, VOICE)
    coder.options = {"application": "voip", "frame_duration": "20"}
    pcm = np.frombuffer(samples, "<i2")
    pcm = np.pad(pcm, (0, -len(pcm) % FRAME))
    frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = VOICE, 0, Fraction(1, VOICE)
    return [bytes(packet) for packet in (*coder.encode(frame), *coder.encode(None))][: len(pcm) // FRAME]


@cache
def silence() -> bytes:
    """A packet in which nobody speaks."""
    return code(bytes(20 * 2 * FRAME))[-1]


class Ear(MediaStreamTrack):
    """One listener's track."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._packets: deque[bytes] = deque(maxlen=SLOW)
        self._told, self._played = asyncio.Event(), 0

    def say(self, packet: bytes) -> None:
        """Hand over the next packet; the oldest one goes where too many wait."""
        self._packets.append(packet)
        self._told.set()

    async def recv(self) -> "av.Packet[av.AudioStream]":
        """The next packet, coded already."""
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._told.clear()
            await self._told.wait()
        packet = cast("av.Packet[av.AudioStream]", av.Packet(self._packets.popleft()))
        packet.pts, packet.time_base = self._played * FRAME, Fraction(1, VOICE)
        self._played += 1
        return packet

    def stop(self) -> None:
        super().stop()
        self._told.set()


class Channel:
    """One rendition: what its clips sound like, for as long as somebody listens."""

    def __init__(self, stream: str, language: str, bus: Outside, store: Store, coder: ThreadPoolExecutor) -> None:
        self.stream, self.language = stream, language
        self._bus, self._store, self._coder = bus, store, coder
        self.ears: set[Ear] = set()
        self.coded = 0
        """Packets of speech so far."""
        self._packets: deque[bytes] = deque(maxlen=LONGEST)
        self.over = asyncio.Event()
        """The stream has ended."""
        self._tasks = [asyncio.create_task(work) for work in (self._follow(), self._play(), self._want())]

    def close(self) -> None:
        """Do no more."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self) -> None:
        after = f"{round(1000 * time.time())}-0"
        while not self.over.is_set():
            for event in await self._bus.events(self.stream, after, 1.0):
                after = event.id
                if isinstance(event.message, Clip) and event.message.language == self.language:
                    await self._speak(event.message)
                elif isinstance(event.message, End) and event.stage == "sender":
                    self.over.set()

    async def _speak(self, clip: Clip) -> None:
        try:
            samples = await self._store.get(clip.audio)
        except Missing:
            return
        packets = await asyncio.get_running_loop().run_in_executor(self._coder, code, samples)
        self.coded += len(packets)
        self._packets.extend(packets)

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            packet = self._packets.popleft() if self._packets else silence()
            for ear in self.ears:
                ear.say(packet)
            # After a standstill it goes on from now: nobody wants the missed packets at once.
            due = max(due + FRAME / VOICE, loop.time() - FRAME / VOICE)
            await asyncio.sleep(due - loop.time())

    async def _want(self) -> None:
        while True:
            await self._bus.want(self.stream, self.language)
            await asyncio.sleep(AGAIN)


class Listeners:
    """Everybody who listens to this process, at most `most` of them."""

    def __init__(self, bus: Callable[[], Outside], store: Store, most: int) -> None:
        self._bus, self._store, self._most = bus, store, most
        # It logs every listener's addresses.
        logging.getLogger("aioice").setLevel(logging.WARNING)
        self._coder = ThreadPoolExecutor(1, "opus", _last_in_priority)
        self.channels: dict[tuple[str, str], Channel] = {}
        self._joined: dict[str, tuple[RTCPeerConnection, Ear, Channel]] = {}
        self._watching: set[asyncio.Task[None]] = set()

    async def join(self, stream: str, language: str, offer: str) -> tuple[str, str]:
        """A new listener's name and the answer to its offer, both SDP; raises Full, or Unfit."""
        if len(self._joined) >= self._most:
            raise Full
        # No STUN: whoever is behind a NAT of its own gets through to us, and no third party is told.
        peer, ear, name = RTCPeerConnection(RTCConfiguration(iceServers=[])), Ear(), secrets.token_urlsafe(16)
        channel = self._channel(stream, language)
        self._joined[name] = peer, ear, channel
        try:
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            if not any(each.kind == "audio" for each in peer.getTransceivers()):
                raise ValueError("no sound is asked for")
            peer.addTrack(ear)
            await peer.setLocalDescription(await peer.createAnswer())
        except MALFORMED as error:
            await self.leave(name)
            raise Unfit("The offer cannot be answered.") from error
        except BaseException:
            await self.leave(name)
            raise
        channel.ears.add(ear)
        watching = asyncio.create_task(self._watch(name))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return name, str(peer.localDescription.sdp)

    async def leave(self, name: str) -> bool:
        """Let a listener go; False where there is none of this name."""
        found = self._joined.pop(name, None)
        if found is None:
            return False
        peer, ear, channel = found
        channel.ears.discard(ear)
        ear.stop()
        if not any(each is channel for _, _, each in self._joined.values()):
            channel.close()
            self.channels.pop((channel.stream, channel.language), None)
        await peer.close()
        return True

    async def close(self) -> None:
        """Let everybody go."""
        for name in list(self._joined):
            await self.leave(name)
        for watching in list(self._watching):
            watching.cancel()
        self._coder.shutdown(wait=False, cancel_futures=True)

    def _channel(self, stream: str, language: str) -> Channel:
        channel = self.channels.get((stream, language))
        if channel is None:
            channel = Channel(stream, language, self._bus(), self._store, self._coder)
            self.channels[stream, language] = channel
        return channel

    async def _watch(self, name: str) -> None:
        """Let a listener go that does not come, has gone, or has heard everything."""
        peer, _, channel = self._joined[name]
        state, changed = {"now": peer.connectionState}, asyncio.Event()

        def look() -> None:
            state["now"] = peer.connectionState
            changed.set()

        peer.on("connectionstatechange", look)
        over = asyncio.create_task(channel.over.wait())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(JOINING):
                    while state["now"] in ("new", "connecting"):
                        changed.clear()
                        await changed.wait()
            while state["now"] == "connected" and not over.done():
                changed.clear()
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait((waiting, over), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            over.cancel()
        await self.leave(name)


def _last_in_priority() -> None:
    """The thread that calls this steps back behind everything else on the machine, where the system knows how."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
