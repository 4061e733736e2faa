"""Translations in, clips out: `voice` gives them a sound, `place` gives the sound a place."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.tts import engines
from services.tts.casting import Cast, cast_voice, serving, speaker_key
from services.tts.engines import SpeechFailed, stretch
from services.tts.lane import Lane, Waiting
from services.tts.placement import Affine, Placed, Planner, Policy, commit
from services.tts.synthesis import Studio, duration, encoded, key
from shared.audio import VOICE, seconds, to_pcm
from shared.bus import Context, Limits, Service, State
from shared.context import Offer
from shared.messages import (
    Clip,
    Dropped,
    End,
    Head,
    MediaSegment,
    Message,
    Progress,
    Speech,
    Take,
    Translation,
    Wording,
)
from shared.store import Missing, Store, open_store

log = logging.getLogger(__name__)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TTS_", use_attribute_docstrings=True)

    engine: str = "espeak"
    """`espeak` (espeak-ng as a program) or `scripted` (tones, for tests)."""
    stretcher: str = "auto"
    """`rubberband` (a GPL program), `signalsmith` (MIT), or `auto`: the best that is installed."""
    store: str = "memory://"
    """Where takes and clips are kept."""
    policy: Literal["planner", "affine"] = "planner"
    """How start, rate and wording are chosen: by planning ahead, or by a rule of the lag alone."""
    voice_ratio: float = 0.0
    """For measurements: pace the voice so that speech at 1.0x lasts this many times the source in all; 0: natural."""
    slots: int = 8
    """Turns at a time, of each of the two stages."""


class VoiceState(State):
    """Who speaks with which voice; seconds of source, of natural and of paced speech so far."""

    cast: Cast = Field(default_factory=Cast)
    source: float = 0.0
    spoken: float = 0.0
    paced: float = 0.0

    def pace(self, source: float, spoken: float, ratio: float) -> float:
        """Rate that brings all speech, this phrase included, near `ratio` times the source and keeps its variation."""
        drifted = self.paced / (ratio * self.source) if self.source else 1.0
        self.source, self.spoken = self.source + max(0.1, source), self.spoken + spoken
        rate = self.spoken / (ratio * self.source) * drifted
        self.paced += spoken / rate
        return rate


class PlaceState(State):
    """The plan of a lane."""

    lane: Lane = Field(default_factory=Lane)


def create(settings: Settings | None = None) -> tuple[Service, Service]:
    """The stages `voice` and `place`."""
    settings = settings or Settings()
    store = open_store(settings.store)
    studio = Studio(lambda: engines.load(settings.engine), lambda: stretch.load(settings.stretcher))
    return _voice(settings, studio, store), _place(settings, studio, store)


def _voice(settings: Settings, studio: Studio, store: Store) -> Service:
    service = Service("voice", Limits(slots=settings.slots))

    @service.on_start
    async def load() -> None:
        engine = await asyncio.to_thread(lambda: studio.engine)
        service.offer(Offer(voices=tuple(engine.voices)))

    @service.on(Translation, state=VoiceState)
    async def speak(message: Translation, state: VoiceState, context: Context) -> AsyncIterator[Speech | Progress]:
        record, language = context.record, message.language
        if language in record.subtitled:
            yield Progress(stream=message.stream, language=language, until=message.until)
            return
        speaker = speaker_key(message.speaker, record.merged)
        voices = serving(studio.engine.voices, language)
        voice = cast_voice(state.cast, voices, speaker, message.gender, message.end, language, record.casting)
        takes = await perform(message, voice.name, state) if voice else ()
        yield Speech(
            stream=message.stream,
            until=message.until,
            language=language,
            utterance=message.utterance,
            start=message.start,
            end=message.end,
            speaker=message.speaker,
            voice=voice.name if voice else "",
            takes=takes,
        )

    async def perform(message: Translation, voice: str, state: VoiceState) -> tuple[Take, ...]:
        """The best wording and at most one shorter; none when the best cannot be spoken."""
        takes: list[Take] = []
        pace = 1.0
        for index in _worth_speaking(message.wordings):
            text = message.wordings[index].text
            try:
                pcm = await studio.take(text, voice)
            except SpeechFailed as error:
                log.warning("not spoken", extra={"utterance": message.utterance, "voice": voice, "error": str(error)})
                break
            if settings.voice_ratio:
                if not takes:
                    pace = state.pace(message.end - message.start, len(pcm) / VOICE, settings.voice_ratio)
                pcm = await studio.paced(pcm, pace)
            samples = encoded(pcm)
            if takes and duration(samples) >= takes[0].duration:
                break
            name = await store.put(key(message.stream, "take", message.start, samples), samples)
            takes.append(Take(wording=index, text=text, duration=duration(samples), audio=name))
        return tuple(takes)

    return service


def _place(settings: Settings, studio: Studio, store: Store) -> Service:
    service = Service("place", Limits(slots=settings.slots))

    @service.on_start
    async def load() -> None:
        await asyncio.to_thread(lambda: (studio.engine, studio.stretcher))

    @service.on(Speech, state=PlaceState)
    async def arrange(
        message: Speech, state: PlaceState, context: Context
    ) -> AsyncIterator[Clip | Dropped | Progress | End]:
        lane = state.lane
        lane.until = max(lane.until, message.until)
        if message.takes:
            lane.take_in(message)
        else:
            yield drop(message, message.utterance, context, lane, "failed")
        async for output in settle(message, lane, context):
            yield output

    @service.on(MediaSegment, state=PlaceState)
    async def extend(
        message: MediaSegment, state: PlaceState, context: Context
    ) -> AsyncIterator[Clip | Dropped | Progress | End]:
        state.lane.clock = state.lane.clock.grown(seconds(message.start), seconds(message.end), context.record.segment)
        async for output in settle(message, state.lane, context):
            yield output

    @service.on(Head, state=PlaceState)
    async def tick(
        message: Head, state: PlaceState, context: Context
    ) -> AsyncIterator[Clip | Dropped | Progress | End]:
        state.lane.clock = state.lane.clock.moved(message.head, ended=message.ended)
        async for output in settle(message, state.lane, context):
            yield output

    @service.on(Progress, state=PlaceState)
    async def wait(
        message: Progress, state: PlaceState, context: Context
    ) -> AsyncIterator[Clip | Dropped | Progress | End]:
        state.lane.until = max(state.lane.until, message.until)
        async for output in settle(message, state.lane, context):
            yield output

    @service.on(End, state=PlaceState)
    async def close(
        message: End, state: PlaceState, context: Context
    ) -> AsyncIterator[Clip | Dropped | Progress | End]:
        state.lane.ending = message.reason
        state.lane.until = max(state.lane.until, message.until)
        async for output in settle(message, state.lane, context):
            yield output

    async def settle(message: Message, lane: Lane, context: Context) -> AsyncIterator[Clip | Dropped | Progress | End]:
        """Send out what starts before the horizon; the rest stays a plan."""
        if lane.over:
            return
        record = context.record
        earliest, horizon = lane.span(record.delay, record.segment, live=record.live is not False)
        policy = await choose(lane)
        due = list(commit([each.phrase for each in lane.waiting], lane.track, earliest, horizon, policy, lane.until))
        for placed in due:
            waiting = lane.waiting.pop(0)
            if not placed.choice.rate or lane.beyond(placed):
                yield drop(message, waiting.utterance, context, lane, "late")
                continue
            lane.track = lane.track.after(placed)
            yield await produce(message, waiting, placed, context, lane)
        if lane.clock.floor > lane.told:
            lane.told = lane.clock.floor
            yield Progress(stream=message.stream, language=context.language, until=lane.told)
        if lane.finished:
            lane.over = True
            reason: Literal["ended", "stopped", "failed"] = lane.ending or "ended"
            yield End(stream=message.stream, language=context.language, until=max(lane.told, lane.until), reason=reason)

    async def choose(lane: Lane) -> Policy:
        if settings.policy == "affine":
            return Affine()
        planner = Planner(tail=lane.prior())
        if lesson := lane.lesson():
            await asyncio.to_thread(planner.learn, *lesson)
            lane.tail = [round(value, 4) for value in planner.tail.tolist()]
        return planner

    async def produce(
        message: Message, waiting: Waiting, placed: Placed, context: Context, lane: Lane
    ) -> Clip | Dropped:
        take, rate = waiting.takes[placed.choice.wording], placed.choice.rate
        try:
            samples = await sound(take, waiting.voice, rate)
        except (SpeechFailed, Missing) as error:
            log.warning("not placed", extra={"utterance": waiting.utterance, "error": str(error)})
            return drop(message, waiting.utterance, context, lane, "failed")
        name = key(message.stream, f"clip-{context.language}", placed.start, samples)
        return Clip(
            stream=message.stream,
            until=lane.told,
            language=context.language,
            utterance=waiting.utterance,
            start=placed.start,
            duration=duration(samples),
            rate=rate,
            wording=take.wording,
            voice=waiting.voice,
            audio=await store.put(name, samples),
        )

    async def sound(take: Take, voice: str, rate: float) -> bytes:
        """A take at its rate. A paced voice is only stretched: its engine does not know the pace."""
        if rate == 1.0:
            return await store.get(take.audio)
        if studio.engine.cheap and not settings.voice_ratio:
            with suppress(SpeechFailed):
                return encoded(await studio.again(take.text, voice, rate, round(take.duration / rate * VOICE)))
        return encoded(await studio.paced(to_pcm(await store.get(take.audio)), rate))

    def drop(
        message: Message, utterance: str, context: Context, lane: Lane, reason: Literal["late", "failed"]
    ) -> Dropped:
        return Dropped(
            stream=message.stream,
            until=lane.told,
            language=context.language,
            utterance=utterance,
            reason=reason,
        )

    return service


def _worth_speaking(wordings: tuple[Wording, ...]) -> list[int]:
    """Indices of the best wording and of the best shorter one."""
    shorter = [index for index, wording in enumerate(wordings) if index and wording.shorter]
    return [0, *shorter[:1]] if wordings else []
