"""Hours of a hostile origin in minutes: the downloader's own path on a virtual clock, without network and Redis."""

import asyncio
import selectors
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, urlsplit

import aiohttp
import psutil
from obstore.store import MemoryStore
from yarl import URL

from loadtest.broadcast import CACHE, tone
from loadtest.coding import SEGMENT
from loadtest.origin import Fault, Origin
from services.downloader import package
from services.downloader.ear import Ear, samples
from services.downloader.head import Clock
from services.downloader.playlist import Part
from services.downloader.pull import Address, Puller, Web
from services.downloader.source import Cursor, Lost, Piece
from shared.audio import BASE, EAR, TICKS, seconds
from shared.store import Store

DAY_ONE = 1_700_000_000.0
"""Epoch second at which the virtual clock starts; the loop itself starts at 0, where floats are fine enough."""
KEPT = 30
"""Segments that stay in the store."""
SETTLED = 600.0
"""Media seconds after which memory should not grow any more."""
SHARES = 12
"""Looks at the memory."""


class Selector(selectors.SelectSelector):
    """Never waits: time passes instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while all of its tasks sleep; what goes to a thread is done at once."""

    def __init__(self) -> None:
        self._passing = Selector()
        super().__init__(self._passing)

    def time(self) -> float:
        return self._passing.now

    def run_in_executor(self, executor: object, func: Callable[..., object], *args: object) -> asyncio.Future[object]:  # type: ignore[override]
        done = self.create_future()
        done.set_result(func(*args))
        return done


class Shelf(Web):
    """What the origin would answer."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._kept = {}

    async def text(self, address: Address) -> tuple[str, str]:
        self._refuse(address.url)
        master = address.url.endswith("master.m3u8")
        return self._origin.master() if master else self._origin.playlist(self._origin.head), address.url

    async def body(self, part: Part, address: Address) -> bytes:
        self._refuse(part.url)
        name = Path(urlsplit(part.url).path).stem
        body = await self._origin.segment(int(name.removeprefix("slot")))
        if body is None:
            raise refused(part.url, 404)
        return body

    def _refuse(self, url: str) -> None:
        parts = urlsplit(url)
        if status := self._origin.refusal(parts.path, parse_qs(parts.query).get("token", ["0"])[0]):
            raise refused(url, status)


def refused(url: str, status: int) -> aiohttp.ClientResponseError:
    """The error that an HTTP client raises for a status."""
    return aiohttp.ClientResponseError(aiohttp.RequestInfo(URL(url), "GET", {}, URL(url)), (), status=status)  # type: ignore[arg-type]


class Listener:
    """Takes what the puller finds as the service does, and keeps count."""

    def __init__(self) -> None:
        self._store, self._ear, self._clock = Store(MemoryStore()), Ear(), Clock()
        self._heard = samples(BASE)
        self._names: list[set[str]] = []
        self.spans: list[tuple[int, int]] = []
        self.offsets: list[float] = []
        self.dates: list[float] = []
        self.gaps = 0.0
        self.heads: list[float] = []

    async def take(self, found: Piece | Lost, now: float) -> None:
        """One find of the puller at epoch second `now`."""
        if isinstance(found, Lost):
            self.gaps += seconds(found.end - found.start)
            self._heard = samples(found.end)
            return
        heard = self._ear.hear(found.audio, self._heard, samples(found.end))
        self._heard = heard.end
        self.heads.append(self._clock.arrived(seconds(found.end), now))
        said = await package.segment(self._store, "s", found, until=0.0, date=now, arrived=now)
        package.chunks("s", heard, length=0.5, advert=found.advert, arrived=now)
        self.spans.append((found.start, found.end))
        self.dates.append(said.date)
        self.offsets.append(said.date - found.start / TICKS)
        self._names.append({track.media for track in (said.video, said.audio) if track})
        if len(self._names) > KEPT:
            await self._store.delete(self._names.pop(0))

    @property
    def behind(self) -> float:
        """Seconds between the end of the sound that was heard and that of the media."""
        return self.spans[-1][1] / TICKS - self._heard / EAR


def hours(script: Sequence[Fault], whole: float, length: float) -> tuple[Fault, ...]:
    """The script again and again, for `length` media seconds."""
    return tuple(
        Fault(fault.kind, fault.at + start, fault.duration)
        for start in range(0, int(length), int(whole))
        for fault in script
        if fault.at + start + fault.duration < length - 3 * SEGMENT
    )


def measure(
    faults: Sequence[Fault], length: float, withheld: Callable[[Origin, int, int], set[int]]
) -> dict[str, float]:
    """The figures of `length` media seconds."""
    begin = time.process_time()
    with asyncio.Runner(loop_factory=Loop) as runner:
        figures = runner.run(_listen(faults, length, withheld))
    return figures | {"cpu_ms_per_s": 1000 * (time.process_time() - begin) / length}


async def _listen(
    faults: Sequence[Fault], length: float, withheld: Callable[[Origin, int, int], set[int]]
) -> dict[str, float]:
    loop = asyncio.get_running_loop()

    def clock() -> float:
        return DAY_ONE + loop.time()

    origin = Origin(tone(), faults, length=length, cache=CACHE, clock=clock)
    origin.started_at = clock() - 3 * SEGMENT
    listener, memory, process = Listener(), dict[float, float](), psutil.Process()

    async def address() -> Address:
        return Address("http://origin.example/master.m3u8")

    async for found, _ in Puller(address, Shelf(origin), Cursor(), patience=60.0).events():
        if isinstance(found, Piece | Lost):
            await listener.take(found, clock())
            memory.setdefault(len(listener.spans) * SEGMENT // (length / SHARES), process.memory_info().rss / 1e6)
    middle = median(listener.offsets)
    first = round((listener.dates[0] - origin.started_at) / SEGMENT)
    settled = min(SETTLED / length * SHARES, SHARES / 2)
    grown = [size for share, size in memory.items() if share >= settled]
    return {
        "media_s": length,
        "faults": len(faults),
        "segments": len(listener.spans),
        "backwards": sum(after[0] < before[1] for before, after in pairwise(listener.spans)),
        "head_backwards": sum(after < before for before, after in pairwise(listener.heads)),
        "withheld_s": float(SEGMENT * len(withheld(origin, first, origin.last or first))),
        "gap_s": listener.gaps,
        "clock_error_ms": 1000 * max(abs(offset - middle) for offset in listener.offsets),
        "sound_behind_s": listener.behind,
        "memory_mb": grown[-1],
        "memory_growth_mb": grown[-1] - grown[0],
    }
