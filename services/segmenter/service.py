"""Words in, utterances out."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from services.segmenter import engines
from services.segmenter.segmentation import Open, Segmenter, rule
from shared.bus import Context, Limits, Service, State
from shared.messages import End, Gap, Progress, Utterance, Word, Words

STRIDE = 1.0
"""Seconds between two words of progress."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SEGMENTER_", use_attribute_docstrings=True)

    engine: str = "embedded"
    """embedded: a small model of English words and pauses; punctuation: a token classifier of transformers."""
    model: Path = Path()
    """Folder of the model, for punctuation."""
    device: str = "cpu"
    """cpu or cuda, for punctuation."""
    reserve: float = 2.0
    """Gigabytes of GPU memory that must stay free beside the weights; a model that does not fit is refused."""
    pause: float = 0.6
    """Seconds of silence that end a sentence; half as long again where the longest sentence has 12 s or more."""
    slots: int = 8
    """Streams whose turns run at once in this replica."""


class SegmenterState(State, Open):
    """The open sentence and where the stage stands."""

    heard: float = 0.0
    """Media time before which no later word starts."""
    told: float = 0.0
    """The last `until` that was sent."""
    count: int = 0
    """Utterances so far."""

    @property
    def until(self) -> float:
        """Media time before which no later utterance starts."""
        return self.words[0].start if self.words else self.heard


def create(settings: Settings | None = None) -> Service:
    """The segmenter stage."""
    settings = settings or Settings()
    service = Service("segmenter", Limits(slots=settings.slots))
    engine = engines.load(settings.engine, engines.Options(settings.model, settings.device, settings.reserve))
    segmenter = Segmenter(engine)
    pause = settings.pause

    def utterances(sentences: Iterable[tuple[Word, ...]], state: SegmenterState, stream: str) -> Iterator[Utterance]:
        for words in sentences:
            state.count += 1
            state.told = max(state.told, state.until)
            yield Utterance(
                stream=stream,
                until=state.told,
                utterance=str(state.count),
                start=words[0].start,
                end=words[-1].end,
                text=engine.restore([word.text for word in words]),
                words=words,
                spoken=state.spoken,
            )

    def cut(message: Words, state: SegmenterState, longest: float) -> list[Utterance]:
        law, found = rule(longest, pause), list[Utterance]()
        for word in message.words:
            state.heard = max(state.heard, word.start)
            found += utterances(segmenter.push(state, [word], message.spoken, law), state, message.stream)
        state.heard = max(state.heard, message.until)
        return [*found, *utterances(segmenter.silence(state, state.heard, law), state, message.stream)]

    def progress(state: SegmenterState, stream: str, stride: float = STRIDE) -> Iterator[Progress]:
        if state.until - state.told >= stride:
            state.told = state.until
            yield Progress(stream=stream, until=state.told)

    @service.on(Words, state=SegmenterState)
    async def segment(message: Words, state: SegmenterState, context: Context) -> AsyncIterator[Utterance | Progress]:
        # Off the loop: an engine may take its time with each word.
        for utterance in await asyncio.to_thread(cut, message, state, context.record.longest):
            yield utterance
        for moved in progress(state, message.stream):
            yield moved

    @service.on(Progress, state=SegmenterState)
    async def wait(message: Progress, state: SegmenterState, context: Context) -> AsyncIterator[Utterance | Progress]:
        state.heard = max(state.heard, message.until)
        wait_or_cut = rule(context.record.longest, pause)
        silent = utterances(segmenter.silence(state, state.heard, wait_or_cut), state, message.stream)
        for utterance in await asyncio.to_thread(list, silent):
            yield utterance
        for moved in progress(state, message.stream):
            yield moved

    @service.on(Gap, state=SegmenterState)
    async def skip(message: Gap, state: SegmenterState) -> AsyncIterator[Utterance | Progress]:
        for utterance in await asyncio.to_thread(list, utterances(segmenter.flush(state), state, message.stream)):
            yield utterance
        state.heard = max(state.heard, message.until)
        for moved in progress(state, message.stream, stride=1e-3):
            yield moved

    @service.on(End, state=SegmenterState)
    async def finish(message: End, state: SegmenterState) -> AsyncIterator[Utterance | Progress | End]:
        for utterance in await asyncio.to_thread(list, utterances(segmenter.flush(state), state, message.stream)):
            yield utterance
        yield message.model_copy(update={"until": max(message.until, state.told)})

    @service.on_start
    async def start() -> None:
        await asyncio.to_thread(engine.load)

    return service
