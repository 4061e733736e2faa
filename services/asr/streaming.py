"""The ear of an engine that hears a stream as it goes on: its caches are in RAM, and are built again from the sound."""

import asyncio
from dataclasses import dataclass

from services.asr.ears import RECENT, GatedEar
from services.asr.engines import Heard, Hypothesis, SpeechDetector, StreamEngine, StreamRecogniser
from services.asr.engines import Word as Recognised
from services.asr.guards import suspicions, voiced
from services.asr.hearing import Committed, EarState, Source
from services.asr.recognition import STEP, CloseAtPause, Phrase, after, without_seam
from shared.audio import Pcm

REACH = 10.0
"""Seconds before the last settled word from which on a lost cache is built again."""


@dataclass(slots=True)
class Warm:
    """A recogniser of one phrase, the media time of its first sample, and how far it has heard."""

    recogniser: StreamRecogniser
    phrase: float
    origin: float
    fed: float


class StreamEar(GatedEar):
    """Feeds each phrase while it is spoken, and lets pass what the guards trust."""

    def __init__(self, engine: StreamEngine, detector: SpeechDetector, policy: CloseAtPause) -> None:
        super().__init__(engine, detector, policy)
        self._engine = engine

    def settled(self, state: EarState) -> float:
        """What the engine says of the open phrase; else as for any phrase."""
        return max(super().settled(state), state.begun)

    async def _hear(self, speech: list[float], state: EarState, source: Source) -> list[Committed]:
        assert state.origin is not None
        heard = await super()._hear(speech, state, source)
        pauses = state.pauses
        if pauses.opened is not None and (open_phrase := Phrase(pauses.opened, pauses.marks)).spoken:
            heard.append(await self._feed(open_phrase, state, source))
        return heard

    async def _close(self, phrases: list[Phrase], state: EarState, source: Source) -> list[Committed]:
        assert state.origin is not None
        heard = []
        for number, phrase in enumerate(phrases):
            words = []
            if phrase.spoken:
                words += (await self._feed(phrase, state, source)).words
                words += await self._flush(phrase, state, source)
            later = phrases[number + 1].start if number + 1 < len(phrases) else self._policy.settled(state.pauses)
            state.recent, state.fed, state._warm = (), 0.0, None
            state.begun = max(state.begun, state.origin + later * STEP)
            heard.append(Committed(words, state.begun, source.spoken))
        return heard

    async def _feed(self, phrase: Phrase, state: EarState, source: Source) -> Committed:
        """Hear the phrase up to its last window."""
        assert state.origin is not None
        warm = await self._recogniser(phrase, state, source)
        first, last = round((warm.fed - state.origin) / STEP), phrase.end
        pcm = await self._sound(state.origin + first * STEP, last - first, source)
        told = await self._run(warm, pcm)
        warm.fed = state.fed = state.origin + last * STEP
        words = self._trusted(told, warm, phrase, state)
        state.begun = max(state.begun, min(warm.origin + told.until, state.fed))
        return Committed(words, self.settled(state), source.spoken)

    async def _flush(self, phrase: Phrase, state: EarState, source: Source) -> list[Recognised]:
        warm = await self._recogniser(phrase, state, source)
        told = await asyncio.get_running_loop().run_in_executor(self._threads, warm.recogniser.flush)
        return self._trusted(told, warm, phrase, state)

    async def _recogniser(self, phrase: Phrase, state: EarState, source: Source) -> Warm:
        """The one that has heard this phrase; a new one begins with it, or a while before what is settled."""
        assert state.origin is not None
        start = state.origin + phrase.start * STEP
        fed, warm = max(start, state.fed), state._warm
        if isinstance(warm, Warm) and warm.phrase == start and warm.fed == fed:
            return warm
        back = max(0, int((state.begun - REACH - start) / STEP))
        recogniser = await asyncio.get_running_loop().run_in_executor(self._threads, self._engine.open)
        state._warm = warm = Warm(recogniser, start, start + back * STEP, start + back * STEP)
        return warm

    async def _run(self, warm: Warm, pcm: Pcm) -> Heard:
        return await asyncio.get_running_loop().run_in_executor(self._threads, warm.recogniser.feed, pcm)

    def _trusted(self, told: Heard, warm: Warm, phrase: Phrase, state: EarState) -> list[Recognised]:
        """What is new of it, voiced and not suspicious, with media times."""
        assert state.origin is not None
        shift, start = warm.origin, state.origin + phrase.start * STEP
        end = start + len(phrase.marks) * STEP
        said = [
            word._replace(start=min(end, shift + word.start), end=min(end, shift + word.end)) for word in told.words
        ]
        heard = voiced([word._replace(start=word.start - start, end=word.end - start) for word in said], phrase.marks)
        kept = {(word.text, word.start) for word in heard}
        said = [word for word in said if (word.text, word.start - start) in kept]
        committed = state.recent[-1].end if state.recent else 0.0
        new = without_seam(after(said, committed), state.recent)
        if any(suspicions(Hypothesis([*state.recent, *new]))):
            return []
        new = [word._replace(start=max(word.start, state.begun), end=max(word.end, state.begun)) for word in new]
        state.recent = (*state.recent, *new)[-RECENT:]
        return new
