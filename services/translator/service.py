"""Utterances in, translations out: one for each language that somebody wants."""

from collections.abc import AsyncIterator

from pydantic_settings import BaseSettings, SettingsConfigDict

from services.translator import engines
from services.translator.context import remembered
from services.translator.engines import Failed, Source
from services.translator.interpreter import Interpreter, primary
from shared.bus import Context, EngineError, Limits, Service, State
from shared.context import Offer, Record
from shared.messages import Progress, Translation, Utterance


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRANSLATOR_", use_attribute_docstrings=True)

    engine: str = "apertium"
    """Engines by comma in the order of preference: apertium, deepl, scripted. Where one fails, the next takes over."""
    cached: int = 4096
    """Answers kept in memory."""
    slots: int = 8
    """Turns at once."""


class TranslatorState(State):
    earlier: tuple[str, ...] = ()


def create(settings: Settings | None = None) -> Service:
    """Build the service; programs are started when first needed."""
    settings = settings or Settings()
    service = Service("translator", Limits(slots=settings.slots))
    names = [name.strip() for name in settings.engine.split(",") if name.strip()]
    interpreter = Interpreter([engines.load(name) for name in names], cached=settings.cached)

    async def start() -> None:
        await interpreter.start()
        service.offer(Offer(pairs=interpreter.pairs))

    service.on_start(start)
    service.on_stop(interpreter.stop)

    @service.on(Utterance, state=TranslatorState)
    async def translate(
        message: Utterance, state: TranslatorState, context: Context
    ) -> AsyncIterator[Translation | Progress]:
        source = Source(message.text, message.spoken, state.earlier, context.record.glossary, message.gender)
        told: set[str] = set()
        for language in targets(context.record, context.wanted, message.spoken):
            try:
                wordings = await interpreter.interpret(source, language)
            except Failed as failure:
                if failure.retryable:
                    raise EngineError(str(failure), retryable=True) from failure
                continue
            if wordings:
                told.add(language)
                yield Translation(
                    stream=message.stream,
                    until=message.until,
                    language=language,
                    utterance=message.utterance,
                    start=message.start,
                    end=message.end,
                    speaker=message.speaker,
                    gender=message.gender,
                    wordings=wordings,
                )
        state.earlier = remembered(state.earlier, message.text)
        for language in context.record.languages:
            if language not in told:
                yield Progress(stream=message.stream, until=message.until, language=language)

    return service


def targets(record: Record, wanted: frozenset[str], spoken: str) -> list[str]:
    """The languages to work for: all, or of a live stream on demand those that are fetched; never the spoken one."""
    everything = record.record or not record.on_demand or record.live is False
    return [
        language
        for language in record.languages
        if primary(language) != primary(spoken) and (everything or language in wanted)
    ]
