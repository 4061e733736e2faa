"""Sound in, words out."""

import asyncio
from collections.abc import AsyncIterator

from pydantic_settings import BaseSettings, SettingsConfigDict

from services.asr import engines
from services.asr.ears import PhraseEar, SlidingEar
from services.asr.engines import EngineOptions
from services.asr.hearing import Ear, EarState, Hearing, ScriptEar, Source
from services.asr.recognition import CloseAtPause, CommitPolicy, agreement, look_ahead
from services.asr.streaming import StreamEar
from shared.audio import Pcm, to_pcm
from shared.bus import Context, Limits, Service, State
from shared.context import Offer
from shared.messages import AudioChunk, End, Gap, Progress, Words

LATE = 10.0
"""Seconds of sound waiting from which on a live stream skips."""
CAUGHT_UP = 2.0
WINDOW = 15.0
"""Seconds after which the slightest pause closes a phrase whose words leave before it closes."""
POLICIES: dict[str, CommitPolicy] = {
    "agreement": agreement,
    "context": lambda before, words, head, committed: look_ahead(words, head, committed),
}


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ASR_", use_attribute_docstrings=True)

    engine: str = "pocketsphinx"
    """pocketsphinx (English, CPU), faster_whisper, nemo (FastConformer), or scripted, which hears nothing."""
    workers: int = 1
    """Phrases that are decoded at once in this replica: processes of 142 MB with pocketsphinx, threads elsewhere."""
    model: str = ""
    """Folder of the model, for engines that need one."""
    device: str = "cpu"
    """cpu or cuda."""
    reserve: float = 2.0
    """Gigabytes of GPU memory that must stay free beside the weights; a model that does not fit is refused."""
    spoken: str = ""
    """For nemo: the languages that its model understands, by comma; none: en."""
    look_ahead: float = 0.56
    """For nemo: seconds of sound behind a word that its model may wait for."""
    pause: float = 0.3
    """Seconds of silence that close a phrase."""
    longest: float = 4.0
    """Seconds after which a phrase closes at the slightest pause; half as much again closes it anywhere."""
    commit: str = ""
    """pause: words leave when their phrase closes; agreement: when two decodes, a second apart, agree on them;
    context: with a second of sound behind them. None: pause with pocketsphinx, else agreement. nemo needs none."""
    script: str = ""
    """For scripted: a JSON file, or JSON, with what is said; none: a few sentences over and over."""
    slots: int = 8
    """Streams whose turns run at once in this replica."""


class AsrState(EarState, State):
    """Where a stream's ear stands."""

    behind: bool = False
    """Sound is being skipped to catch up."""


def create(settings: Settings | None = None) -> Service:
    """The asr stage; engines load when it starts."""
    settings = settings or Settings()
    service = Service("asr", Limits(slots=settings.slots))
    ear = listener(settings)
    hearing = Hearing(ear)

    @service.on(AudioChunk, state=AsrState)
    async def hear(chunk: AudioChunk, state: AsrState, context: Context) -> AsyncIterator[Words | Progress | Gap]:
        if behind(state, context):
            lost = Gap(stream=chunk.stream, until=chunk.end, start=chunk.start, end=chunk.end, reason="behind")
            async for message in hearing.gap(lost, state, source(context)):
                yield message
            return
        async for message in hearing.hear(chunk, state, source(context)):
            yield message

    @service.on(Gap, state=AsrState)
    async def skip(gap: Gap, state: AsrState, context: Context) -> AsyncIterator[Words | Progress | Gap]:
        async for message in hearing.gap(gap, state, source(context)):
            yield message

    @service.on(Progress, state=AsrState)
    async def follow(progress: Progress, state: AsrState, context: Context) -> AsyncIterator[Progress]:
        async for message in hearing.progress(progress, state, source(context)):
            yield message

    @service.on(End, state=AsrState)
    async def finish(end: End, state: AsrState, context: Context) -> AsyncIterator[Words | Progress | End]:
        async for message in hearing.end(end, state, source(context)):
            yield message

    @service.on_start
    async def start() -> None:
        await asyncio.to_thread(ear.load)
        service.offer(Offer(spoken=ear.spoken))

    @service.on_stop
    async def stop() -> None:
        await asyncio.to_thread(ear.close)

    return service


def listener(settings: Settings) -> Ear:
    """The ear that the settings ask for."""
    options = EngineOptions(
        settings.model,
        settings.device,
        settings.workers,
        settings.script,
        settings.reserve,
        tuple(language.strip() for language in settings.spoken.split(",") if language.strip()),
        settings.look_ahead,
    )
    if settings.engine == "scripted":
        return ScriptEar(engines.script(options))
    detector, patient = engines.detector(), CloseAtPause(settings.pause, max(WINDOW, settings.longest))
    if settings.engine in engines.STREAMING:
        return StreamEar(engines.stream(settings.engine, options), detector, patient)
    engine = engines.load(settings.engine, options)
    commit = settings.commit or ("pause" if settings.engine == "pocketsphinx" else "agreement")
    if commit == "pause":
        return PhraseEar(engine, detector, CloseAtPause(settings.pause, settings.longest))
    return SlidingEar(engine, detector, patient, POLICIES[commit])


def behind(state: AsrState, context: Context) -> bool:
    """Whether a live stream's sound is skipped: it would be dubbed too late for anybody. It begins at a pause."""
    most = min(LATE, context.record.delay)
    starts = context.backlog > most and state.pauses.opened is None
    state.behind = bool(context.record.live) and (starts or (state.behind and context.backlog > CAUGHT_UP))
    return state.behind


def source(context: Context) -> Source:
    """What the ear may know of a turn's stream."""

    async def listen(start: float, end: float) -> Pcm:
        return to_pcm((await context.listen(start, end)).samples)

    record = context.record
    terms = tuple(term.term for term in record.glossary)
    return Source(context.stream, record.source_language, listen, record.candidates, terms, context.backlog)
