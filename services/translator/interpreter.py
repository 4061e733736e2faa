"""One sentence into one language: the engines in order, the glossary around them, answers kept by content."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from services.translator.cache import Cache
from services.translator.context import disobeyed, masked, repaired, unmasked, wanted
from services.translator.engines import Failed, Pair, Source, Translator, Unavailable
from shared.messages import Wording

logger = logging.getLogger(__name__)


class Interpretation(NamedTuple):
    """Wordings, best first, and what an operator should know of how they came about."""

    wordings: tuple[Wording, ...]
    notes: tuple[str, ...] = ()


class Interpreter:
    """Engines in the order of preference: where one fails, the next that has the pair takes over."""

    def __init__(
        self, engines: Sequence[Translator], *, cached: int = 4096, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.engines = engines
        self._cache: Cache[Interpretation] = Cache(cached)
        self._clock = clock
        self._resting: dict[str, tuple[float, Failed]] = {}

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What at least one engine translates."""
        return tuple(dict.fromkeys(pair for engine in self.engines for pair in engine.pairs))

    async def start(self) -> None:
        """Start the engines; Unavailable where none can run."""
        ready, missing = [], []
        for engine in self.engines:
            try:
                await engine.start()
                ready.append(engine)
            except Unavailable as error:
                missing.append(str(error))
                logger.warning("a translation engine cannot run: %s", error)
        if not ready:
            raise Unavailable("; ".join(missing))
        self.engines = ready

    async def stop(self) -> None:
        """Stop the engines."""
        for engine in self.engines:
            await engine.stop()

    async def interpret(self, source: Source, language: str) -> Interpretation:
        """Wordings in a language; Failed where no engine translates, retryable if one of them may later."""
        terms = wanted(source.glossary, source.text, language) or wanted(
            source.glossary, source.text, primary(language)
        )
        key = (replace(source, glossary=(), stream="", start=0.0), tuple(terms.items()), language)
        if kept := self._cache.get(key):
            return kept
        failures: list[Failed] = []
        serving = [(engine, _served(engine, source.spoken, language)) for engine in self.engines]
        able = [(engine, target) for engine, target in serving if target is not None]
        for engine, target in able:
            try:
                self._heed(engine, alone=len(able) == 1)
                answer = await self._asked(engine, source, target, terms)
            except Failed as failure:
                failures.append(failure)
                continue
            if failures:
                reasons = "; ".join(map(str, failures))
                answer = answer._replace(notes=(*answer.notes, f"{reasons}: {engine.name} translates instead"))
            self._cache.put(key, answer)
            return answer
        if not failures:
            raise Failed(f"no engine translates {source.spoken} to {language}", retryable=False)
        raise Failed("; ".join(map(str, failures)), retryable=any(failure.retryable for failure in failures))

    def _heed(self, engine: Translator, *, alone: bool) -> None:
        """Raise again what an engine failed with while it rests: a stream does not wait for it each time.

        Where no other engine could take over and it may recover at any moment, it is asked all the same.
        """
        until, failure = self._resting.get(engine.name, (0.0, None))
        if failure and self._clock() < until and not (alone and failure.retryable):
            raise failure

    async def _asked(self, engine: Translator, source: Source, target: str, terms: dict[str, str]) -> Interpretation:
        try:
            return await _translated(engine, source, target, terms)
        except Failed as failed:
            logger.warning("a translation engine failed", extra={"engine": engine.name, "reason": str(failed)})
            if failed.rest:
                self._resting[engine.name] = (self._clock() + failed.rest, failed)
            raise


async def _translated(engine: Translator, source: Source, target: str, terms: dict[str, str]) -> Interpretation:
    """Translate so that the terms are obeyed.

    First by the engine's own glossary, or else with made-up names in the place of terms; what an engine loses all the
    same is put back where it can be found, and reported where it cannot.
    """
    plain = replace(source, glossary=())
    best: list[Wording] = []
    if terms and engine.glossaries:
        [best] = await engine.translate([source], target)
        if best and not disobeyed(best[0].text, terms):
            return Interpretation(_obedient(best, terms))
    text, names = masked(source.text, terms)
    [wordings] = await engine.translate([replace(plain, text=text)], target)
    shown = [(wording, unmasked(wording.text, names)) for wording in wordings]
    if shown and shown[0][1]:
        return Interpretation(tuple(wording.model_copy(update={"text": text}) for wording, text in shown if text))
    if terms and not best:
        [best] = await engine.translate([plain], target)
    mended = _obedient([each.model_copy(update={"text": repaired(each.text, terms)}) for each in best], terms)
    if not mended:
        raise Failed(f"{engine.name} translates to nothing", retryable=False)
    lost = disobeyed(mended[0].text, terms)
    return Interpretation(mended, (f"the glossary is not obeyed in {target}: {', '.join(lost)}",) if lost else ())


def _obedient(wordings: Sequence[Wording], terms: dict[str, str]) -> tuple[Wording, ...]:
    """The best wording, and of the others those that obey the terms."""
    said = [wording for wording in wordings if wording.text]
    return tuple(wording for place, wording in enumerate(said) if not place or not disobeyed(wording.text, terms))


def _served(engine: Translator, spoken: str, language: str) -> str | None:
    """The engine's own name of a language: the exact one, or that of the language without its region."""
    for source in dict.fromkeys((spoken, primary(spoken))):
        for target in dict.fromkeys((language, primary(language))):
            if (source, target) in engine.pairs:
                return target
    return None


def primary(language: str) -> str:
    """The primary subtag (RFC 5646): en of en-GB."""
    return language.partition("-")[0].lower()
