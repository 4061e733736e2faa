"""One sentence into one language: the engines in order, the glossary around them, answers kept by content."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from services.translator.cache import Cache
from services.translator.context import disobeyed, masked, unmasked, wanted
from services.translator.engines import Failed, Pair, Source, Translator, Unavailable
from shared.messages import Wording

logger = logging.getLogger(__name__)


class Interpreter:
    """Engines in the order of preference: where one fails, the next that has the pair takes over."""

    def __init__(self, engines: Sequence[Translator], *, cached: int = 4096) -> None:
        self.engines = engines
        self._cache: Cache[tuple[Wording, ...]] = Cache(cached)

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
                logger.warning("a translation engine cannot run", extra={"reason": str(error)})
        if not ready:
            raise Unavailable("; ".join(missing))
        self.engines = ready

    async def stop(self) -> None:
        """Stop the engines."""
        for engine in self.engines:
            await engine.stop()

    async def interpret(self, source: Source, language: str) -> tuple[Wording, ...]:
        """Wordings in a language, best first; Failed where no engine translates, retryable if one of them may later."""
        terms = wanted(source.glossary, source.text, language) or wanted(
            source.glossary, source.text, primary(language)
        )
        plain = replace(source, glossary=())
        key = (plain, tuple(terms.items()), language)
        if kept := self._cache.get(key):
            return kept
        reasons: list[Failed] = []
        for engine in self.engines:
            target = _served(engine, source.spoken, language)
            if target is None:
                continue
            try:
                wordings = await _translated(engine, plain, target, terms)
            except Failed as failure:
                logger.warning("a translation engine failed", extra={"reason": str(failure)})
                reasons.append(failure)
                continue
            self._cache.put(key, wordings)
            return wordings
        if not reasons:
            raise Failed(f"no engine translates {source.spoken} to {language}", retryable=False)
        raise Failed("; ".join(map(str, reasons)), retryable=any(failure.retryable for failure in reasons))


async def _translated(engine: Translator, source: Source, target: str, terms: dict[str, str]) -> tuple[Wording, ...]:
    """Translate with made-up names for terms; where the engine loses one, translate plainly and report."""
    text, names = masked(source.text, terms)
    [wordings] = await engine.translate([replace(source, text=text)], target)
    shown = [(wording, unmasked(wording.text, names)) for wording in wordings]
    if shown and shown[0][1]:
        return tuple(wording.model_copy(update={"text": text}) for wording, text in shown if text)
    if terms:
        [wordings] = await engine.translate([source], target)
        if any(disobeyed(wording.text, terms) for wording in wordings[:1]):
            logger.warning("the glossary was not obeyed", extra={"terms": len(terms), "target": target})
    return tuple(wording for wording in wordings if wording.text)


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
