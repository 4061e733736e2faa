"""Utterances in, translations out: one for each language that somebody wants."""

from asyncio import gather
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.translator import engines
from services.translator.bills import Paid
from services.translator.context import remembered
from services.translator.engines import Failed, Options, Source, Translator
from services.translator.interpreter import Interpretation, Interpreter, primary
from shared.bus import Context, EngineError, Limits, Service, State
from shared.context import Offer, Record
from shared.messages import Progress, Translation, Utterance, Warned
from shared.store import open_store


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRANSLATOR_", use_attribute_docstrings=True)

    engine: str = "apertium"
    """Engines by comma in the order of preference, among apertium, ctranslate2, transformers, deepl and scripted. Where
    one fails, the next takes over."""
    model: Path = Path()
    """Folder of a model for ctranslate2 or transformers, or of several such folders. A folder's name ends in its
    languages (`opus-mt-en-es`); that of NLLB may be any."""
    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:1`."""
    threads: int = 0
    """Threads of one model on a CPU; 0: as many as its library likes. Cores divided by replicas is a good value."""
    reserve: float = 2.0
    """Gigabytes of GPU memory that must stay free beside a model."""
    formality: Literal["default", "more", "less", "prefer_more", "prefer_less"] = "default"
    """How DeepL addresses people."""
    cached: int = 4096
    """Answers kept in memory."""
    store: str = "memory://"
    """Object store for answers that were paid for (DeepL), where every replica finds them; they go with the stream."""
    slots: int = 8
    """Turns at once."""


REPEATED = 300.0
"""Media seconds after which a warning that still holds is given again."""


class TranslatorState(State):
    earlier: tuple[str, ...] = ()
    warned: dict[str, float] = Field(default_factory=dict)
    """Warnings given, and the media time of each."""

    def news(self, notes: Iterable[str], at: float) -> list[str]:
        """The notes that were not given of late, which are then remembered."""
        self.warned = {note: then for note, then in self.warned.items() if at - then < REPEATED}
        fresh = [note for note in dict.fromkeys(notes) if note not in self.warned]
        self.warned |= dict.fromkeys(fresh, at)
        return fresh


def create(settings: Settings | None = None) -> Service:
    """Build the service; programs are started when first needed."""
    settings = settings or Settings()
    service = Service("translator", Limits(slots=settings.slots))
    names = [name.strip() for name in settings.engine.split(",") if name.strip()]
    options = Options(settings.model, settings.device, settings.threads, settings.reserve, settings.formality)
    store = open_store(settings.store)

    def engine(name: str) -> Translator:
        found = engines.load(name, options)
        return Paid(found, store, settings.formality) if name in engines.BILLED else found

    interpreter = Interpreter([engine(name) for name in names], cached=settings.cached)

    async def start() -> None:
        await interpreter.start()
        service.offer(Offer(pairs=interpreter.pairs))

    service.on_start(start)
    service.on_stop(interpreter.stop)

    async def answer(source: Source, language: str) -> Interpretation | Failed:
        try:
            return await interpreter.interpret(source, language)
        except Failed as failure:
            return failure

    @service.on(Utterance, state=TranslatorState)
    async def translate(
        message: Utterance, state: TranslatorState, context: Context
    ) -> AsyncIterator[Translation | Progress | Warned]:
        source = Source(
            message.text,
            message.spoken,
            state.earlier,
            context.record.glossary,
            message.gender,
            message.stream,
            message.start,
        )
        languages = targets(context.record, context.wanted, message.spoken)
        answers = dict(zip(languages, await gather(*(answer(source, each) for each in languages)), strict=True))
        failures = {language: found for language, found in answers.items() if isinstance(found, Failed)}
        # A language that fails for a moment is waited for where nobody else waits.
        if len(failures) == len(answers) and any(failure.retryable for failure in failures.values()):
            raise EngineError("; ".join(map(str, failures.values())), retryable=True)
        told: set[str] = set()
        notes = [f"no translation to {language}: {failure}" for language, failure in failures.items()]
        for language, found in answers.items():
            if isinstance(found, Failed):
                continue
            notes += found.notes
            if found.wordings:
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
                    wordings=found.wordings,
                )
        state.earlier = remembered(state.earlier, message.text)
        for language in context.record.languages:
            if language not in told:
                yield Progress(stream=message.stream, until=message.until, language=language)
        for note in state.news(notes, message.start):
            yield Warned(stream=message.stream, until=message.until, warning=note)

    return service


def targets(record: Record, wanted: frozenset[str], spoken: str) -> list[str]:
    """The languages to work for: all, or of a live stream on demand those that are fetched; never the spoken one."""
    everything = record.record or not record.on_demand or record.live is False
    return [
        language
        for language in record.languages
        if primary(language) != primary(spoken) and (everything or language in wanted)
    ]
