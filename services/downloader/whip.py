"""Publishers by WHIP (RFC 9725): H.264 is handed on as it was coded, Opus is decoded and coded as AAC."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import uuid4

import av
from aiortc import (
    InvalidAccessError,
    InvalidStateError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
    rtcrtpreceiver,
)
from aiortc.exceptions import InternalError, OperationError
from aiortc.mediastreams import MediaStreamError
from fastapi import APIRouter, Request, Response

from services.downloader.bitstream import nal_units
from services.downloader.cut import Shears
from services.downloader.demux import Fragment, Head, Packet, Unusable
from services.downloader.push import SILENT, checked
from services.downloader.recode import Recoder
from shared.audio import TICKS

log = logging.getLogger(__name__)

CONNECT = 10.0
"""Seconds that a publisher has to send its first picture or sound."""
GATHER = 1.0
"""Seconds of the beginning from which the distance of picture and sound is learned."""
ASK = 2.0
"""Seconds between two requests for a key picture."""
WAITED = {"audio": 0.08, "video": 0.04}
"""Seconds that aiortc holds media back to put its packets in order."""
OFFER = 64 << 10
"""Bytes of the longest offer."""
HEADERS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Location"}
Rejected = (
    *(AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError),
    *(InternalError, InvalidAccessError, InvalidStateError, OperationError),
)
"""What aiortc raises for an offer that is malformed, or with which it shares no codec."""


class Picture(NamedTuple):
    """A coded picture, Annex B."""

    data: bytes
    pts: int
    """Ticks since the first."""


class Untouched:
    """Stands where aiortc has its decoder of pictures, and hands them on."""

    def decode(self, coded: Any) -> list[Picture]:
        """The coded picture itself."""
        return [Picture(coded.data, coded.timestamp)]


@cache
def hand_on() -> None:
    """Make aiortc hand H.264 on in this process; it has no setting for that."""
    names = vars(rtcrtpreceiver)
    decoder = names["get_decoder"]
    names["get_decoder"] = lambda codec: Untouched() if codec.name == "H264" else decoder(codec)


class Arrival(NamedTuple):
    """Something of a track, with the loop's time of its arrival."""

    kind: str
    item: Picture | av.AudioFrame
    at: float

    @property
    def ticks(self) -> int:
        """Its time in its track."""
        if isinstance(self.item, Picture):
            return self.item.pts
        return round((self.item.pts or 0) * TICKS / self.item.sample_rate)


def offsets(seen: list[Arrival]) -> dict[str, int]:
    """Ticks that bring each track to one clock, by the fastest arrival of each; every time is positive there."""
    start = min(arrival.at for arrival in seen) - 1.0
    kinds = {arrival.kind for arrival in seen}
    return {
        kind: round(min((a.at - start - WAITED[kind]) * TICKS - a.ticks for a in seen if a.kind == kind))
        for kind in kinds
    }


def moved(rows: list[Packet], ticks: int) -> list[Packet]:
    """The same packets `ticks` later."""
    return [row._replace(pts=row.pts + ticks, dts=row.dts + ticks) for row in rows]


class Pictures:
    """Makes packets of coded pictures, with what a decoder needs to know before each key picture."""

    def __init__(self) -> None:
        self._sets: list[bytes] = []
        self._head = Head("h264", b"")

    def row(self, picture: Picture, offset: int) -> tuple[Head, Packet] | None:
        """The picture on the clock; None while nobody knows its size."""
        units = nal_units(picture.data)
        sets = [unit for unit in units if unit[0] & 31 in (7, 8)]
        key, data = any(unit[0] & 31 == 5 for unit in units), picture.data
        if key and not sets:
            data = b"".join(b"\0\0\0\1" + unit for unit in self._sets) + data
        if sets and sets != self._sets:
            self._sets, self._head = sets, size(data)
        time = picture.pts + offset
        return (self._head, Packet(data, time, time, 0, key)) if self._head.width else None


def size(picture: bytes) -> Head:
    """The size of a key picture, which is decoded for it."""
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    with suppress(av.error.FFmpegError):
        context.decode(av.Packet(picture))
        context.decode(None)
    return Head("h264", b"", context.width, context.height)


class Session:
    """One publisher's connection."""

    def __init__(self, pictured: bool) -> None:
        self.name = uuid4().hex
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.closed = asyncio.Event()
        self._pictured = pictured
        self._arrivals: asyncio.Queue[Arrival | None] = asyncio.Queue()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.peer.on("track", self._on_track)
        self.peer.on("connectionstatechange", self._on_state)

    async def answer(self, offer: str) -> str:
        """Our side of the connection; raises one of `Rejected`."""
        await self.peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return str(self.peer.localDescription.sdp)

    async def fragments(self) -> AsyncIterator[Fragment]:
        """Segments up to the end of the connection; raises Unusable where there is no sound."""
        seen: list[Arrival] = []
        kinds = {"audio", "video"} if self._pictured else {"audio"}
        while {a.kind for a in seen} != kinds or seen[-1].at - seen[0].at < GATHER:
            arrival = await self._next(CONNECT)
            if arrival is None:
                return
            seen.append(arrival)
        clock, pictures = offsets(seen), Pictures()
        frame = next(a.item for a in seen if isinstance(a.item, av.AudioFrame))
        recoder = Recoder(frame.layout.nb_channels)
        shears = Shears(recoder.head, self._pictured)
        while (arrival := seen.pop(0) if seen else await self._next(SILENT)) is not None:
            if isinstance(arrival.item, Picture):
                if row := pictures.row(arrival.item, clock["video"]):
                    shears.picture(*row)
            else:
                shears.sound(moved(recoder.take(arrival.item), clock["audio"]))
            while (found := shears.next()) is not None:
                yield found
        shears.sound(moved(recoder.rest(), clock["audio"]))
        if (found := shears.rest()) is not None:
            yield found

    async def close(self) -> None:
        """End the connection."""
        self.closed.set()
        self._arrivals.put_nowait(None)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.peer.close()

    async def _next(self, wait: float) -> Arrival | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                return await self._arrivals.get()
        return None

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind not in self._tasks:
            self._tasks[track.kind] = asyncio.create_task(self._pump(track))
            if track.kind == "video":
                self._tasks["key"] = asyncio.create_task(self._ask())

    async def _on_state(self) -> None:
        if self.peer.connectionState in ("failed", "closed"):
            self._arrivals.put_nowait(None)

    async def _pump(self, track: MediaStreamTrack) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(MediaStreamError):
            while True:
                item = cast(Picture | av.AudioFrame, await track.recv())
                self._arrivals.put_nowait(Arrival(track.kind, item, clock()))
        self._arrivals.put_nowait(None)

    async def _ask(self) -> None:
        """Ask for key pictures, at which segments can begin."""
        while True:
            await asyncio.sleep(ASK)
            for receiver in self.peer.getReceivers():
                for source in receiver.getSynchronizationSources() if receiver.track.kind == "video" else ():
                    with suppress(ConnectionError):
                        await receiver._send_rtcp_pli(source.source)


class Doors:
    """Which streams wait for a publisher in this process, and who may publish them."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys
        self._waiting: dict[str, asyncio.Future[Session]] = {}
        self._sessions: dict[str, Session] = {}

    @classmethod
    def parse(cls, keys: str) -> "Doors":
        """Doors for `NAME=KEY` pairs with commas between them; raises ValueError."""
        pairs = [entry.strip().partition("=") for entry in keys.split(",") if entry.strip()]
        if any(not (name and key) for name, _, key in pairs):
            raise ValueError("the keys of publishers are NAME=KEY pairs")
        return cls({name: key for name, _, key in pairs})

    def door(self, name: str, patience: float) -> "Door":
        """The door of one stream; raises Unusable."""
        if checked(name) not in self._keys:
            raise Unusable("Publishing this stream by WHIP is not switched on here.")
        return Door(self, name, patience)

    def opens(self, name: str, key: str) -> bool:
        """Whether a key is the stream's."""
        return hmac.compare_digest(self._keys.get(name, "").encode(), key.encode()) and bool(key)

    async def admit(self, name: str, wait: float) -> Session | None:
        """The next publisher of a stream, None where none comes in time."""
        self._waiting[name] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(wait):
                return await self._waiting[name]
        except TimeoutError:
            return None
        finally:
            del self._waiting[name]

    async def offered(self, name: str, offer: str) -> tuple[int, Session | None, str]:
        """What HTTP answers to an offer: status, session, our description."""
        if (held := self._sessions.get(name)) and not held.closed.is_set():
            return 409, None, "Somebody publishes this stream already."
        if name not in self._waiting or self._waiting[name].done():
            return 404, None, "This stream does not wait for a publisher here."
        hand_on()
        session = Session("m=video" in offer)
        self._sessions[name] = session
        try:
            prefer(session.peer, "m=video" in offer)
            said = await session.answer(offer)
            if (waiting := self._waiting.get(name)) and not waiting.done():
                waiting.set_result(session)
                return 201, session, said
        except Rejected as error:
            log.info("offer rejected", extra={"reason": type(error).__name__})
        await session.close()
        return 422, None, "The offer cannot be answered: H.264 and Opus are taken."

    async def left(self, name: str, session: str) -> bool:
        """End a publisher's session by its request; whether there was one."""
        held = self._sessions.get(name)
        if held is None or held.name != session or held.closed.is_set():
            return False
        await held.close()
        return True


class Door:
    """Where the publishers of one stream come in."""

    def __init__(self, doors: Doors, name: str, patience: float) -> None:
        self._doors, self._name = doors, name
        self.patience = patience

    async def admit(self, wait: float) -> Session | None:
        """The next publisher, None where none comes within `wait` seconds."""
        return await self._doors.admit(self._name, wait)


def prefer(peer: RTCPeerConnection, pictured: bool) -> None:
    """Take Opus, and H.264 alone: nothing else is handed on without being coded anew."""
    for kind, codec in (("audio", "audio/opus"), ("video", "video/H264"))[: 1 + pictured]:
        known = RTCRtpReceiver.getCapabilities(kind)
        wanted = [entry for entry in known.codecs if entry.mimeType in (codec, f"{kind}/rtx")] if known else []
        peer.addTransceiver(kind, direction="recvonly").setCodecPreferences(wanted)


def router(doors: Doors) -> APIRouter:
    """The endpoint: POST /whip/NAME with the stream's key as bearer token, DELETE for what it answers as Location."""
    routes = APIRouter()

    def key(request: Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def told(status: int, text: str = "") -> Response:
        asked = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return Response(text, status, {**HEADERS, **asked}, media_type="text/plain")

    @routes.options("/whip/{name}", include_in_schema=False)
    async def ask(name: str) -> Response:
        methods = {"Access-Control-Allow-Methods": "POST, DELETE, OPTIONS"}
        fields = {"Access-Control-Allow-Headers": "Authorization, Content-Type", "Accept-Post": "application/sdp"}
        return Response(None, 204, {**HEADERS, **methods, **fields})

    @routes.post("/whip/{name}", include_in_schema=False)
    async def publish(name: str, request: Request) -> Response:
        if not doors.opens(name, key(request)):
            return told(401, "The key is not that of the stream.")
        if request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/sdp":
            return told(415, "An offer is application/sdp.")
        body = bytearray()
        async for block in request.stream():
            body += block
            if len(body) > OFFER:
                return told(413, "The offer is too long.")
        status, session, said = await doors.offered(name, body.decode(errors="replace"))
        if session is None:
            return told(status, said)
        headers = {**HEADERS, "Location": f"/whip/{name}/{session.name}"}
        return Response(said, status, headers, media_type="application/sdp")

    @routes.delete("/whip/{name}/{session}", include_in_schema=False)
    async def leave(name: str, session: str, request: Request) -> Response:
        if not doors.opens(name, key(request)):
            return told(401, "The key is not that of the stream.")
        return told(200 if await doors.left(name, session) else 404)

    return routes
