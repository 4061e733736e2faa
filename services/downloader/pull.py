"""Follows a live HLS presentation segment by segment, whatever its server does."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import aiohttp
from Crypto.Cipher import AES

from services.downloader import playlist
from services.downloader.demux import Coded, Fragment, Unusable, between, demux, fragment, joined
from services.downloader.playlist import Entry, Part, Playlist, Variant
from services.downloader.recode import Recoding
from services.downloader.reloads import Reloads
from services.downloader.source import Cursor, Found, Opened, place
from shared import guard
from shared.audio import TICKS, ticks

log = logging.getLogger(__name__)

EDGE = 3
"""Segments from the live edge at which a stream is joined."""
EXPIRED = (401, 403, 410)
ROUNDS = 3
"""Readings of the playlist in which a segment is tried; while the playlist fails too, none passes."""
FAILURES = 8
"""Failed reloads in a row after which the URL is resolved again."""
PLAYLIST = 4 << 20
"""Bytes of the longest playlist."""
EARLY = 600.0
"""Seconds before its expiry at which a URL is resolved again; half its life where that is less."""

Failure = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Address:
    """What stands behind a user's URL."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    language: str = ""
    sound: str = ""
    """A separate sound playlist, where a resolver names one."""
    expires: float | None = None
    """Epoch second at which the URL ends."""


Resolve = Callable[[], Awaitable[Address]]


def sentence(error: BaseException) -> str:
    """Why a source cannot be read, for the person who named it; never with its URL, which may carry a token."""
    match error:
        case guard.Refused() | Unusable() | playlist.Protected():
            return str(error)
        case aiohttp.ClientResponseError(status=status) if status in EXPIRED:
            return f"The source refuses access (HTTP status {status})."
        case aiohttp.ClientResponseError(status=status):
            return f"The source answers with HTTP status {status}."
        case TimeoutError():
            return "The source did not answer in time."
        case aiohttp.ClientError() | OSError():
            return "The source cannot be reached."
    return "There is no media at this URL."


def expired(error: BaseException) -> bool:
    """Whether a new URL may help."""
    return isinstance(error, aiohttp.ClientResponseError) and error.status in EXPIRED


def passing(error: BaseException) -> bool:
    """Whether trying again may help."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status >= 500
    return isinstance(error, aiohttp.ClientConnectionError | TimeoutError)


class Web:
    """Fetches what a playlist names, through the guard."""

    def __init__(self, client: aiohttp.ClientSession, policy: guard.Policy) -> None:
        self._client, self._policy = client, policy
        self._kept: dict[Part, bytes] = {}

    async def text(self, address: Address) -> tuple[str, str]:
        """A playlist and the URL it came from."""
        body, url = await guard.fetch(self._client, self._policy, address.url, address.headers, PLAYLIST)
        return body.decode(), url

    async def body(self, part: Part, address: Address) -> bytes:
        """A resource or its byte range; another host than the playlist's gets none of its secrets."""
        sent = guard.carried(address.headers, address.url, part.url)
        if part.range:
            sent["Range"] = part.range.header
        body, _ = await guard.fetch(self._client, self._policy, part.url, sent)
        if part.range and len(body) > part.range.size:
            return body[part.range.start :][: part.range.size]
        return body

    async def kept(self, part: Part, address: Address) -> bytes:
        """The same for what many segments need: init sections and keys."""
        if part not in self._kept:
            if len(self._kept) > 16:
                self._kept.clear()
            self._kept[part] = await self.body(part, address)
        return self._kept[part]

    async def segment(self, entry: Entry, address: Address, tries: int = 2) -> bytes:
        """A segment in the clear with its init section before it."""
        for left in reversed(range(tries)):
            try:
                init = await self.kept(entry.init, address) if entry.init else b""
                key = await self.kept(Part(entry.key), address) if entry.key else b""
                data = await self.body(entry.media, address)
                return init + (decrypted(data, key, entry.vector) if key else data)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                gone = isinstance(error, aiohttp.ClientResponseError) and error.status < 500
                if gone or not left:
                    raise
                await asyncio.sleep(0.25)
        raise TimeoutError


def decrypted(data: bytes, key: bytes, vector: bytes) -> bytes:
    """A whole segment under AES-128 in CBC mode with PKCS #7 padding (RFC 8216, 4.3.2.4); raises ValueError."""
    clear: bytes = AES.new(key, AES.MODE_CBC, vector).decrypt(data)
    return clear[: -clear[-1]] if clear and 0 < clear[-1] <= 16 else clear


class Reader:
    """Reads one track's segments in their order."""

    def __init__(self) -> None:
        self._recoding = Recoding()

    def read(self, data: bytes) -> Fragment:
        """A fetched segment in its own time; raises Unusable."""
        return fragment(self._recoding.taken(demux(data)))


class Sound:
    """A separate sound playlist, read as far as the picture needs it."""

    def __init__(self, web: Web, address: Address) -> None:
        self._web, self._address = web, address
        self._reader = Reader()
        self._last: int | None = None
        self._held: dict[int, Coded] = {}

    async def cover(self, run: int, start: int, end: int, target: float) -> Coded | None:
        """Frames that start within [start, end) of a discontinuity run (ticks); what is there in time."""
        try:
            async with asyncio.timeout(2 * target):
                while self._end(run) < end:
                    if not await self._read(run, start):
                        await asyncio.sleep(target / 4)
        except Failure as error:
            log.warning("sound playlist failed", extra={"reason": type(error).__name__})
        held = self._held.get(run)
        if held is None:
            return None
        self._held = {number: track for number, track in self._held.items() if number >= run}
        self._held[run] = between(held, end, held_end(held) + TICKS)
        taken = between(held, start, end)
        return taken if taken.samples else None

    def _end(self, run: int) -> int:
        if any(number > run for number in self._held):
            return 1 << 62
        held = self._held.get(run)
        return held_end(held) if held and held.samples else -(1 << 62)

    async def _read(self, run: int, start: int) -> bool:
        """Take the next segment; the first is searched back from the edge, so that it lies before `start`."""
        text, url = await self._web.text(self._address)
        entries = playlist.media(text, url).entries
        fresh = [e for e in entries if e.run >= run and (self._last is None or e.sequence > self._last)]
        for entry in fresh:
            self._last = entry.sequence
            try:
                found = await self._web.segment(entry, self._address)
                audio = (await asyncio.to_thread(self._reader.read, found)).audio
            except Failure:
                continue
            if audio and held_end(audio) > start - TICKS:
                held = self._held.get(entry.run)
                self._held[entry.run] = joined(held, audio) if held and held.samples else audio
        return bool(fresh)


def held_end(track: Coded) -> int:
    """Where a sound track ends, ticks."""
    return round((track.start + track.length) * TICKS / track.timescale)


def renewal(expires: float | None, now: float) -> float:
    """Epoch second at which a URL with this expiry is resolved again."""
    return math.inf if expires is None else expires - min(EARLY, max(expires - now, 0.0) / 2)


class Puller:
    """Follows one presentation from a cursor on; `resolve` is asked again when its URL has expired or keeps failing."""

    def __init__(
        self,
        resolve: Resolve,
        web: Web,
        cursor: Cursor,
        *,
        height: int = 720,
        patience: float = 60.0,
        start: float = 12.0,
    ) -> None:
        self._resolve, self._web, self._cursor = resolve, web, cursor
        self._height = height
        self._patience = patience
        self._start = start
        self._opened = self._delivered = False
        self._reader = Reader()
        self._sound: Sound | None = None
        self._failed = 0
        """Rounds in which the next segment could not be fetched."""
        self._outdated = False
        """A segment was refused: its URL comes from a playlist that has expired since it was read."""

    async def events(self) -> AsyncIterator[tuple[Found, Cursor]]:
        """Opened, then pieces and losses in order; it ends with the playlist, or after `patience` without a segment."""
        address: Address | None = None
        clock = asyncio.get_running_loop().time
        fresh, pause, failures, renew = clock(), 0.25, 0, math.inf
        reloads = Reloads(self._cursor.next_due())
        while True:
            asked = time.time()
            try:
                if address is None:
                    address = await self._follow(await self._resolve())
                    renew = renewal(address.expires, time.time())
                elif time.time() > renew:
                    address = await self._renewed(address)
                    renew = renewal(address.expires, time.time())
                found = playlist.media(*await self._web.text(address))
                pause, failures = 0.25, 0
            except Failure as error:
                failures += 1
                self._judge(error, clock() - fresh)
                if clock() - fresh > self._patience:
                    return
                if expired(error) or failures >= FAILURES:
                    address, failures = None, 0
                log.warning("playlist failed", extra={"reason": sentence(error)})
                await asyncio.sleep(pause)
                pause = min(pause * 2, 4.0)
                continue
            if not self._opened:
                self._opened = True
                yield (
                    Opened(not found.complete, found.target, address.title, address.language),
                    self._cursor.model_copy(deep=True),
                )
            postponed, taken = False, list[float]()
            for entry in self._fresh(found):
                events = await self._take(entry, address, found.target)
                postponed = events is None
                if events is None:
                    break
                taken.append(entry.duration)
                for event in events:
                    fresh = clock()
                    yield event, self._cursor.model_copy(deep=True)
            if self._outdated:
                address, self._outdated = None, False
                continue
            if found.complete and not postponed:
                self._require(self._cursor.reason or sentence(ValueError()))
                return
            begun = self._delivered or self._cursor.timeline.offset is not None
            if clock() - fresh > (self._patience if begun else self._start):
                self._require(self._cursor.reason or sentence(TimeoutError()))
                return
            again = reloads.next(asked, taken, found.target)
            self._cursor.due = reloads.due
            await asyncio.sleep(max(0.1, again - time.time()))

    async def _renewed(self, address: Address) -> Address:
        """The same stream under a new URL; the old one, which still lives, where that fails."""
        try:
            return await self._follow(await self._resolve())
        except Failure as error:
            log.warning("resolving again failed", extra={"reason": sentence(error)})
            return address

    def _judge(self, error: Exception, waited: float) -> None:
        """Give up on a source that has not started, where waiting does not help or has been long enough."""
        refused = isinstance(error, aiohttp.ClientConnectorError) and waited > 3
        if not passing(error) or refused or waited > self._start:
            self._require(sentence(error))

    def _require(self, reason: str) -> None:
        """Fail for this reason unless the source has delivered something, here or before."""
        if not self._delivered and self._cursor.timeline.offset is None:
            raise Unusable(reason)

    async def _follow(self, address: Address) -> Address:
        """The media playlist to follow, where `address` is a multivariant playlist."""
        chosen = playlist.variant(*await self._web.text(address), self._height) or Variant(address.url, address.sound)
        self._sound = Sound(self._web, replace(address, url=chosen.sound)) if chosen.sound else None
        return replace(address, url=chosen.url, language=address.language or chosen.language)

    def _fresh(self, found: Playlist) -> list[Entry]:
        """Entries not taken yet; what fell out of the window meanwhile is lost."""
        entries, last = list(found.entries), self._cursor.sequence
        if not entries:
            return []
        if last is None:
            return entries if found.complete else entries[-EDGE:]
        if entries[-1].sequence < last - len(entries):
            # The numbering starts anew (another edge server, a new URL): go on by date, else at the live edge.
            date = self._cursor.date
            self._cursor.sequence = None
            return [e for e in entries if date and e.date and e.date > date + 0.1] or entries[-1:]
        if found.first > last + 1:
            missing = found.first - last - 1
            length = self._cursor.until(entries[0].date, missing * found.target)
            self._cursor.lose(ticks(length), f"{missing} segments left the source's window.")
            self._cursor.sequence = last = found.first - 1
            self._cursor.date, self._cursor.length = entries[0].date, 0.0
        return [entry for entry in entries if entry.sequence > last]

    async def _take(self, entry: Entry, address: Address, target: float) -> list[Found] | None:
        """Fetch and place one segment; None where it is tried again once the playlist has been read again."""
        cursor = self._cursor
        before = cursor.sequence, cursor.date, cursor.length
        cursor.sequence, cursor.date, cursor.length = entry.sequence, entry.date, entry.duration
        try:
            if entry.missing:
                raise Unusable("The source itself has a gap.")
            data = await self._web.segment(entry, address)
            found = await asyncio.to_thread(self._reader.read, data)
            if self._sound:
                end = found.start + found.duration
                found = replace(found, audio=await self._sound.cover(entry.run, found.start, end, target))
        except Failure as error:
            if isinstance(error, Unusable | guard.Refused) and not entry.missing:
                self._require(sentence(error))
            self._outdated = expired(error) and not self._failed
            self._failed = self._failed + 1 if passing(error) or self._outdated else ROUNDS
            if self._failed < ROUNDS:
                cursor.sequence, cursor.date, cursor.length = before
                return None
            self._failed = 0
            cursor.lose(ticks(entry.duration), sentence(error))
            log.warning("segment lost", extra={"reason": sentence(error)})
            return []
        self._failed = 0
        self._heard(found)
        return [*place(found, cursor, tagged=entry.tagged, advert=entry.advert, date=entry.date)]

    def _heard(self, found: Fragment) -> None:
        if not found.audio:
            self._require("The source has no sound.")
        self._delivered = True
