"""From chunks to words: the way of the sound, without the bus."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pydantic import BaseModel, PrivateAttr

from services.asr.engines import Script
from services.asr.engines import Word as Recognised
from services.asr.language import Belief
from services.asr.recognition import Pauses
from shared.audio import Pcm
from shared.messages import AudioChunk, End, Gap, Progress, Word, Words

Listen = Callable[[float, float], Awaitable[Pcm]]
"""Sound of a stream between two media times, mono 16 kHz."""
Said = Words | Progress
WAIT = 0.3
"""Seconds of silence behind words that are told at once: somebody waits to see whether more comes."""
SURE = 0.9
"""Seconds of silence behind words after which nobody waits any more."""
OPENED = 0.05
"""Seconds by which the start of a phrase tells more than was told while somebody waits."""
STRIDE = 1.0
"""Seconds between two words of progress."""
JITTER = 0.002
"""Seconds by which chunks that follow each other may seem not to."""


class EarState(BaseModel):
    """Where a stream's ear stands; the sound itself is in the ring."""

    origin: float | None = None
    """Media time of window 0; None: the next chunk sets it."""
    end: float = 0.0
    """Media time up to which everything was taken."""
    carry: str = ""
    pauses: Pauses = Pauses()
    told: float = 0.0
    """The last `until` that was sent."""
    said: float = 0.0
    """End of the last word that was sent."""
    before: tuple[Recognised, ...] = ()
    """The last hypothesis of the open phrase, media times; where words are committed before it closes."""
    recent: tuple[Recognised, ...] = ()
    """The last committed words of the open phrase."""
    prompt: str = ""
    """The end of what was said in earlier phrases."""
    belief: Belief = Belief()
    """Which language is spoken, where nobody has declared it."""
    fed: float = 0.0
    """Media time up to which a streaming engine has heard the open phrase."""
    begun: float = 0.0
    """Media time before which it says no later word starts."""
    _warm: object | None = PrivateAttr(None)
    """What a streaming engine keeps of the open phrase; without it, it hears again what it needs."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stream to listen to."""

    stream: str
    spoken: str
    """BCP 47, or `auto`."""
    listen: Listen
    candidates: tuple[str, ...] = ()
    """Languages among which `auto` is decided; none: all that the engine knows."""
    terms: tuple[str, ...] = ()
    """Words that may well be said."""
    backlog: float = 0.0
    """Seconds of sound that wait."""


class Committed(NamedTuple):
    """Words that will not change, with media times, and the time before which no later one starts."""

    words: list[Recognised]
    until: float
    spoken: str = ""
    """Their language, where it was not declared."""


class Ear(Protocol):
    """Turns sound up to a media time into committed words."""

    @property
    def spoken(self) -> tuple[str, ...]:
        """Languages that are understood; empty: all."""
        ...

    def load(self) -> None:
        """Load models and start programs; blocks."""
        ...

    def close(self) -> None:
        """Free them."""
        ...

    async def take(self, start: float, end: float, state: EarState, source: Source) -> list[Committed]:
        """Hear on; the sound of [start, end) is new."""
        ...

    async def flush(self, state: EarState, source: Source) -> list[Committed]:
        """Commit what is open, and forget."""
        ...

    def settled(self, state: EarState) -> float:
        """Media time before which no later word starts."""
        ...


class ScriptEar:
    """Knows what is said from a table."""

    spoken: tuple[str, ...] = ()

    def __init__(self, script: Script) -> None:
        self._script = script

    def load(self) -> None:
        """A table needs nothing."""

    def close(self) -> None:
        """A table holds nothing."""

    async def take(self, start: float, end: float, state: EarState, source: Source) -> list[Committed]:
        """Say the words that are over."""
        words = self._script.words(start, end)
        return [Committed(words, self._script.begun(end))] if words else []

    async def flush(self, state: EarState, source: Source) -> list[Committed]:
        """Nothing is open: a word that was cut is lost."""
        return []

    def settled(self, state: EarState) -> float:
        """Start of the word that is being said."""
        return self._script.begun(state.end)


class Hearing:
    """What the stage says to each message, whichever the ear."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear

    async def hear(self, chunk: AudioChunk, state: EarState, source: Source) -> AsyncIterator[Said]:
        """Take a chunk: one that was taken before says nothing, one that does not follow closes what is open."""
        if chunk.end <= state.end:
            return
        deaf = chunk.advert or not self.understands(source.spoken)
        if deaf or chunk.start > state.end + JITTER:
            async for message in self._restart(state, source, chunk.start):
                yield message
        start, state.end = max(chunk.start, state.end), chunk.end
        if not deaf:
            if state.origin is None:
                state.origin = start
            for heard in await self._ear.take(start, chunk.end, state, source):
                if heard.words:
                    yield self._words(heard, state, source)
        for progress in self._progress(chunk.until if deaf else self._ear.settled(state), state, source):
            yield progress

    async def gap(self, gap: Gap, state: EarState, source: Source) -> AsyncIterator[Said | Gap]:
        """Close what is open; nothing is heard before the end of the gap."""
        async for message in self._restart(state, source, gap.end):
            yield message
        state.end = state.told = max(state.end, gap.end)
        yield gap.model_copy(update={"until": state.told})

    async def progress(self, progress: Progress, state: EarState, source: Source) -> AsyncIterator[Progress]:
        """Believe the source where nothing has been heard that could still become a word."""
        until = progress.until if state.origin is None else self._ear.settled(state)
        for told in self._progress(until, state, source):
            yield told

    async def end(self, end: End, state: EarState, source: Source) -> AsyncIterator[Said | End]:
        """Close what is open: there is no more."""
        async for message in self._restart(state, source, end.until):
            yield message
        yield end.model_copy(update={"until": max(end.until, state.told)})

    def understands(self, spoken: str) -> bool:
        """Whether the engine knows this language: any other would come out as babble."""
        return not self._ear.spoken or spoken.partition("-")[0] in self._ear.spoken

    async def _restart(self, state: EarState, source: Source, at: float) -> AsyncIterator[Words]:
        for heard in await self._ear.flush(state, source):
            if heard.words:
                yield self._words(heard._replace(until=max(heard.until, at)), state, source)
        state.origin = None
        state.end = max(state.end, at)

    def _words(self, heard: Committed, state: EarState, source: Source) -> Words:
        state.told, state.said = max(state.told, heard.until), heard.words[-1].end
        said = tuple(
            Word(text=word.text, start=word.start, end=word.end, confidence=word.confidence) for word in heard.words
        )
        return Words(stream=source.stream, until=state.told, words=said, spoken=heard.spoken or source.spoken)

    def _progress(self, until: float, state: EarState, source: Source) -> Iterator[Progress]:
        # A sentence ends by a silence of more than one WAIT, or shows that it does not when the next phrase opens.
        soon = OPENED if state.pauses.opened is not None else WAIT
        if until - state.told >= (soon if state.told - state.said < SURE else STRIDE):
            state.told = until
            yield Progress(stream=source.stream, until=until)
