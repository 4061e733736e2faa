"""Ears: from sound to committed words, with voice activity before the engine and the guards behind it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from services.asr.engines import Hypothesis, SpeechDetector, WindowRecogniser
from services.asr.engines import Word as Recognised
from services.asr.guards import trusted
from services.asr.hearing import Committed, EarState, Source
from services.asr.language import AUTO
from services.asr.recognition import STEP, CloseAtPause, CommitPolicy, Pauses, Phrase, after, agreement, without_seam
from shared.audio import EAR, Pcm

WINDOW = round(STEP * EAR)
HOP = round(1.0 / STEP)
"""Windows of an open phrase from one decode to the next."""
HURRY = 3.0
"""Seconds of sound waiting from which on an open phrase is decoded less often."""
WIDER = 3
"""Times as much sound between two decodes, then."""
SLACK = 0.1
"""Seconds by which a hypothesis may move a word that another one has."""
RECENT = 60
"""Committed words that a seam is looked for in."""
PROMPT = 200
"""Characters."""
EARLY = 0.2
"""Seconds by which a word may start before its speech is noticed."""


class Engine(Protocol):
    """What an ear needs of any engine."""

    spoken: tuple[str, ...]
    parallel: int

    def load(self) -> None:
        """Load the model; blocks."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


class GatedEar:
    """Listens for speech first: what lies between two pauses is a phrase, and only phrases reach the engine."""

    def __init__(self, engine: Engine, detector: SpeechDetector, policy: CloseAtPause) -> None:
        self._gated, self._detector, self._policy = engine, detector, policy
        # A gatherer: what the lanes of all streams ask stands in one queue before one engine.
        self._threads = ThreadPoolExecutor(engine.parallel, thread_name_prefix="asr")

    @property
    def spoken(self) -> tuple[str, ...]:
        """Languages that the engine understands; empty: all."""
        return self._gated.spoken

    def load(self) -> None:
        """Load both models."""
        self._detector.load()
        self._gated.load()

    def close(self) -> None:
        """Let go of the engine; what waits for it is cancelled."""
        self._gated.close()
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
        heard = await self._close(self._policy.flush(state.pauses), state, source)
        state.carry, state.pauses = "", Pauses()
        return heard

    def settled(self, state: EarState) -> float:
        """Start of the open phrase, or of the one that could still open."""
        return state.end if state.origin is None else state.origin + self._policy.settled(state.pauses) * STEP

    async def _hear(self, speech: list[float], state: EarState, source: Source) -> list[Committed]:
        """What the next windows settle."""
        return await self._close(self._policy.push(state.pauses, speech), state, source)

    async def _close(self, phrases: list[Phrase], state: EarState, source: Source) -> list[Committed]:
        """What the end of phrases settles."""
        raise NotImplementedError

    async def _sound(self, start: float, windows: int, source: Source) -> Pcm:
        pcm = await source.listen(start, start + windows * STEP)
        # Media times are floats: the ring may round to a sample more or less.
        return (
            np.concatenate([pcm, np.zeros(1, np.float32)])[: windows * WINDOW] if len(pcm) != windows * WINDOW else pcm
        )


class PhraseEar(GatedEar):
    """Decodes each phrase as a whole, off the event loop, and lets pass what the guards trust."""

    def __init__(self, engine: WindowRecogniser, detector: SpeechDetector, policy: CloseAtPause) -> None:
        super().__init__(engine, detector, policy)
        self._engine = engine

    def settled(self, state: EarState) -> float:
        """A phrase opens with the sound before its first speech, in which no word starts."""
        silent = len(state.pauses.marks) - len(state.pauses.marks.lstrip("0"))
        return super().settled(state) + max(0.0, silent * STEP - EARLY)

    async def _close(self, phrases: list[Phrase], state: EarState, source: Source) -> list[Committed]:
        assert state.origin is not None
        heard = []
        for number, phrase in enumerate(phrases):
            start = state.origin + phrase.start * STEP
            words = await self._words(phrase, start, state, source) if phrase.spoken else []
            later = phrases[number + 1].start if number + 1 < len(phrases) else self._policy.settled(state.pauses)
            heard.append(Committed(words, state.origin + later * STEP, _spoken(state, source)))
        return heard

    async def _words(self, phrase: Phrase, start: float, state: EarState, source: Source) -> list[Recognised]:
        pcm = await self._sound(start, len(phrase.marks), source)
        if source.spoken == AUTO and not (state.before or state.recent):
            await self._recognise(pcm, state, source)
        spoken, prompt = _spoken(state, source), state.prompt

        def transcribe() -> Hypothesis:
            return self._engine.transcribe(pcm, language=spoken or None, prompt=prompt, terms=source.terms)

        hypothesis = await asyncio.get_running_loop().run_in_executor(self._threads, transcribe)
        end = start + len(phrase.marks) * STEP
        return [
            word._replace(start=start + word.start, end=min(end, start + word.end))
            for word in trusted(hypothesis, phrase)
        ]

    async def _recognise(self, pcm: Pcm, state: EarState, source: Source) -> None:
        """Which language the phrase makes it; what was said in another one prompts nothing."""
        loop = asyncio.get_running_loop()
        chances = await loop.run_in_executor(self._threads, self._engine.languages, pcm)
        before = state.belief.language
        state.belief = state.belief.after(chances, len(pcm) / EAR, source.candidates)
        if state.belief.language != before:
            state.prompt = ""


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
            hop = HOP if source.backlog < HURRY else WIDER * HOP
            if pauses.opened is not None and len(pauses.marks) % hop == 0:
                heard.append(await self._guess(Phrase(pauses.opened, pauses.marks), state, source))
        return heard

    async def _close(self, phrases: list[Phrase], state: EarState, source: Source) -> list[Committed]:
        assert state.origin is not None
        heard = []
        for phrase in phrases:
            settled = self.settled(state)
            words = await self._hypothesis(phrase, state, source)
            new = without_seam(after(words, _end(state)), state.recent)
            said = [*state.recent, *new]
            state.prompt = f"{state.prompt} {' '.join(word.text for word in said)}".strip()[-PROMPT:]
            state.before, state.recent = (), ()
            heard.append(Committed(_from(new, settled), self.settled(state), _spoken(state, source)))
        return heard

    async def _guess(self, phrase: Phrase, state: EarState, source: Source) -> Committed:
        assert state.origin is not None
        settled = self.settled(state)
        words = await self._hypothesis(phrase, state, source) if phrase.spoken else []
        new = self._commit(state.before, words, state.origin + phrase.end * STEP, _end(state))
        new = _from(without_seam(new, state.recent), settled)
        state.before, state.recent = tuple(words), (*state.recent, *new)[-RECENT:]
        return Committed(new, self.settled(state), _spoken(state, source))

    async def _hypothesis(self, phrase: Phrase, state: EarState, source: Source) -> list[Recognised]:
        assert state.origin is not None
        if not phrase.spoken:
            return []
        return await self._words(phrase, state.origin + phrase.start * STEP, state, source)


def _spoken(state: EarState, source: Source) -> str:
    """The language that is declared, else the one that is believed; "" while there is no belief."""
    return state.belief.language if source.spoken == AUTO else source.spoken


def _end(state: EarState) -> float:
    return state.recent[-1].end if state.recent else 0.0


def _from(words: list[Recognised], settled: float) -> list[Recognised]:
    """Words that start no earlier than was promised."""
    return [word._replace(start=max(word.start, settled), end=max(word.end, settled)) for word in words]
