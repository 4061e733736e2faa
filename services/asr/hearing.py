"""From chunks to words: the way of the sound, without the bus."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from pydantic import BaseModel

from services.asr.engines import Script, SpeechDetector, WindowRecogniser
from services.asr.engines import Word as Recognised
from services.asr.guards import trusted
from services.asr.recognition import STEP, CloseAtPause, CommitPolicy, Pauses, Phrase, after, agreement, without_seam
from shared.audio import EAR, Pcm
from shared.messages import AudioChunk, End, Gap, Progress, Word, Words

Listen = Callable[[float, float], Awaitable[Pcm]]
"""Sound of a stream between two media times, mono 16 kHz."""
Said = Words | Progress
WINDOW = round(STEP * EAR)
WAIT = 0.3
"""Seconds of silence behind words that are told at once: somebody waits to see whether more comes."""
STRIDE = 1.0
"""Seconds between two words of progress."""
HOP = round(1.0 / STEP)
"""Windows of an open phrase from one decode to the next."""
SLACK = 0.1
"""Seconds by which a hypothesis may move a word that another one has."""
RECENT = 60
"""Committed words that a seam is looked for in."""
PROMPT = 200
"""Characters."""
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
    waited: bool = False
    """Words were the last thing that was sent."""
    before: tuple[Recognised, ...] = ()
    """The last hypothesis of the open phrase, media times; where words are committed before it closes."""
    recent: tuple[Recognised, ...] = ()
    """The last committed words of the open phrase."""
    prompt: str = ""
    """The end of what was said in earlier phrases."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stream to listen to."""

    stream: str
    spoken: str
    listen: Listen


class Committed(NamedTuple):
    """Words that will not change, with media times, and the time before which no later one starts."""

    words: list[Recognised]
    until: float


class Ear(Protocol):
    """Turns sound up to a media time into committed words."""

    spoken: tuple[str, ...]

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


class PhraseEar:
    """Closes phrases at pauses, decodes each as a whole off the event loop, and lets pass what the guards trust."""

    def __init__(self, engine: WindowRecogniser, detector: SpeechDetector, policy: CloseAtPause) -> None:
        self.spoken = engine.spoken
        self._engine, self._detector, self._policy = engine, detector, policy
        self._threads = ThreadPoolExecutor(engine.parallel, thread_name_prefix="asr")

    def load(self) -> None:
        """Load both models."""
        self._detector.load()
        self._engine.load()

    def close(self) -> None:
        """Let go of the engine; what waits for it is cancelled."""
        self._engine.close()
        self._threads.shutdown(cancel_futures=True)

    async def take(self, start: float, end: float, state: EarState, source: Source) -> list[Committed]:
        """Hear whole windows; what is left over is read again from the ring with the next chunk."""
        assert state.origin is not None
        begin = state.origin + state.pauses.seen * STEP
        count = int((end - begin) / STEP + 1e-6)
        if count <= 0:
            return []
        pcm = await self._sound(begin, count, source)
        speech, state.carry = await asyncio.to_thread(self._detector.speech, pcm, state.carry)
        return await self._hear(speech, state, source)

    async def flush(self, state: EarState, source: Source) -> list[Committed]:
        """Decode the open phrase as if a pause stood behind it."""
        if state.origin is None:
            return []
        heard = await self._decode(self._policy.flush(state.pauses), state, source)
        state.carry, state.pauses = "", Pauses()
        return heard

    def settled(self, state: EarState) -> float:
        """Start of the open phrase, or of the one that could still open."""
        return state.end if state.origin is None else state.origin + self._policy.settled(state.pauses) * STEP

    async def _hear(self, speech: list[float], state: EarState, source: Source) -> list[Committed]:
        return await self._decode(self._policy.push(state.pauses, speech), state, source)

    async def _decode(self, phrases: list[Phrase], state: EarState, source: Source) -> list[Committed]:
        assert state.origin is not None
        heard = []
        for number, phrase in enumerate(phrases):
            start = state.origin + phrase.start * STEP
            words = await self._words(phrase, start, source) if phrase.spoken else []
            later = phrases[number + 1].start if number + 1 < len(phrases) else self._policy.settled(state.pauses)
            heard.append(Committed(words, state.origin + later * STEP))
        return heard

    async def _words(self, phrase: Phrase, start: float, source: Source, prompt: str = "") -> list[Recognised]:
        pcm = await self._sound(start, len(phrase.marks), source)
        loop = asyncio.get_running_loop()
        hypothesis = await loop.run_in_executor(
            self._threads, lambda: self._engine.transcribe(pcm, language=source.spoken, prompt=prompt)
        )
        end = start + len(phrase.marks) * STEP
        return [
            word._replace(start=start + word.start, end=min(end, start + word.end))
            for word in trusted(hypothesis, phrase)
        ]

    async def _sound(self, start: float, windows: int, source: Source) -> Pcm:
        pcm = await source.listen(start, start + windows * STEP)
        # Media times are floats: the ring may round to a sample more or less.
        return (
            np.concatenate([pcm, np.zeros(1, np.float32)])[: windows * WINDOW] if len(pcm) != windows * WINDOW else pcm
        )


class SlidingEar(PhraseEar):
    """Decodes an open phrase again with every second of it, and commits what the policy takes for settled."""

    def __init__(
        self, engine: WindowRecogniser, detector: SpeechDetector, policy: CloseAtPause, commit: CommitPolicy = agreement
    ) -> None:
        super().__init__(engine, detector, policy)
        self._commit = commit

    async def flush(self, state: EarState, source: Source) -> list[Committed]:
        """Decode what is open; what comes next is another context."""
        heard = await super().flush(state, source)
        state.prompt = ""
        return heard

    def settled(self, state: EarState) -> float:
        """End of the last committed word, less what a later hypothesis may move; else as without hypotheses."""
        begun = super().settled(state)
        return max(begun, state.recent[-1].end - SLACK) if state.recent else begun

    async def _hear(self, speech: list[float], state: EarState, source: Source) -> list[Committed]:
        heard = []
        for chance in speech:
            heard += await super()._hear([chance], state, source)
            pauses = state.pauses
            # By the length of the phrase, so that the outcome does not depend on how sound is cut.
            if pauses.opened is not None and len(pauses.marks) % HOP == 0:
                heard.append(await self._guess(Phrase(pauses.opened, pauses.marks), state, source))
        return heard

    async def _decode(self, phrases: list[Phrase], state: EarState, source: Source) -> list[Committed]:
        assert state.origin is not None
        heard = []
        for phrase in phrases:
            settled = self.settled(state)
            words = await self._hypothesis(phrase, state, source)
            new = without_seam(after(words, _end(state)), state.recent)
            said = [*state.recent, *new]
            state.prompt = f"{state.prompt} {' '.join(word.text for word in said)}".strip()[-PROMPT:]
            state.before, state.recent = (), ()
            heard.append(Committed(_from(new, settled), self.settled(state)))
        return heard

    async def _guess(self, phrase: Phrase, state: EarState, source: Source) -> Committed:
        assert state.origin is not None
        settled = self.settled(state)
        words = await self._hypothesis(phrase, state, source) if phrase.spoken else []
        new = self._commit(state.before, words, state.origin + phrase.end * STEP, _end(state))
        new = _from(without_seam(new, state.recent), settled)
        state.before, state.recent = tuple(words), (*state.recent, *new)[-RECENT:]
        return Committed(new, self.settled(state))

    async def _hypothesis(self, phrase: Phrase, state: EarState, source: Source) -> list[Recognised]:
        assert state.origin is not None
        if not phrase.spoken:
            return []
        return await self._words(phrase, state.origin + phrase.start * STEP, source, state.prompt)


def _end(state: EarState) -> float:
    return state.recent[-1].end if state.recent else 0.0


def _from(words: list[Recognised], settled: float) -> list[Recognised]:
    """Words that start no earlier than was promised."""
    return [word._replace(start=max(word.start, settled), end=max(word.end, settled)) for word in words]


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
            for words, until in await self._ear.take(start, chunk.end, state, source):
                if words:
                    yield self._words(words, until, state, source)
        for progress in self._progress(chunk.until if deaf else self._ear.settled(state), state, source):
            yield progress

    async def gap(self, gap: Gap, state: EarState, source: Source) -> AsyncIterator[Said | Gap]:
        """Close what is open; nothing is heard before the end of the gap."""
        async for message in self._restart(state, source, gap.end):
            yield message
        state.end = state.told = max(state.end, gap.end)
        state.waited = False
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
        for words, until in await self._ear.flush(state, source):
            if words:
                yield self._words(words, max(until, at), state, source)
        state.origin = None
        state.end = max(state.end, at)

    def _words(self, words: list[Recognised], until: float, state: EarState, source: Source) -> Words:
        state.told, state.waited = max(state.told, until), True
        said = tuple(Word(text=word.text, start=word.start, end=word.end, confidence=word.confidence) for word in words)
        return Words(stream=source.stream, until=state.told, words=said, spoken=source.spoken)

    def _progress(self, until: float, state: EarState, source: Source) -> Iterator[Progress]:
        if until - state.told >= (WAIT if state.waited else STRIDE):
            state.told, state.waited = until, False
            yield Progress(stream=source.stream, until=until)
