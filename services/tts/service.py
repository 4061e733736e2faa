"""Translations in, clips out: `voice` gives them a sound, `place` gives the sound a place."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.tts import engines
from services.tts.casting import Cast, cast_voice, serving, speaker_key
from services.tts.engines import EngineMissing, Imitator, SpeechFailed, stretch
from services.tts.imitation import LONGEST, Sample
from services.tts.lane import Lane, Waiting
from services.tts.placement import Affine, Placed, Planner, Policy, commit
from services.tts.synthesis import Studio, duration, encoded, key
from services.tts.trouble import Breaker, Loss, Losses, Need
from shared.audio import EAR, VOICE, Pcm, seconds, to_pcm
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
    Warned,
    Wording,
)
from shared.store import Missing, Store, open_store

log = logging.getLogger(__name__)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TTS_", use_attribute_docstrings=True)

    engine: str = "espeak"
    """`espeak` (espeak-ng as a program), `vits`, `xtts`, or `scripted` (tones, for tests)."""
    model: Path = Path()
    """Folder of the model of vits or xtts, with `voices.json` (docs/engines.md)."""
    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:1`."""
    threads: int = 0
    """Threads of a model on a CPU; 0: as many as its library likes."""
    reserve: float = 2.0
    """Gigabytes of GPU memory that must stay free beside a model."""
    imitate: bool = False
    """Speak with the voices of those who are heard, which xtts can. **Only with their consent.**"""
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


REPAID = 12.0
"""Seconds of source in which a paced voice makes up for what it was too short or too long so far."""


class VoiceState(State):
    """Who speaks with which voice; seconds of source, of natural and of paced speech so far."""

    cast: Cast = Field(default_factory=Cast)
    source: float = 0.0
    spoken: float = 0.0
    paced: float = 0.0
    breaker: Breaker = Field(default_factory=Breaker)
    samples: dict[str, Sample] = Field(default_factory=dict)
    """By speaker; only where voices are imitated."""

    def pace(self, source: float, spoken: float, ratio: float) -> float:
        """Rate that brings all speech near `ratio` times the source and keeps its variation; at most half or double."""
        owed, length = ratio * self.source - self.paced, max(0.1, source)
        self.source, self.spoken = self.source + length, self.spoken + spoken
        wanted = spoken * ratio * self.source / self.spoken + owed * length / REPAID
        wanted = min(max(wanted, spoken / 2), 2 * spoken)
        self.paced += wanted
        return spoken / wanted


class PlaceState(State):
    """The plan of a lane."""

    lane: Lane = Field(default_factory=Lane)
    need: Need = Field(default_factory=Need)
    losses: Losses = Field(default_factory=Losses)


Placing = Clip | Dropped | Progress | End | Warned


def create(settings: Settings | None = None) -> tuple[Service, Service]:
    """The stages `voice` and `place`."""
    settings = settings or Settings()
    store = open_store(settings.store)
    options = engines.Options(settings.model, settings.device, settings.threads, settings.reserve, settings.imitate)
    studio = Studio(lambda: engines.load(settings.engine, options), lambda: stretch.load(settings.stretcher))
    return _voice(settings, studio, store), _place(settings, studio, store)


def _voice(settings: Settings, studio: Studio, store: Store) -> Service:
    service = Service("voice", Limits(slots=settings.slots))

    @service.on_start
    async def load() -> None:
        engine = await asyncio.to_thread(lambda: studio.engine)
        if settings.imitate and not isinstance(engine, Imitator):
            raise EngineMissing(f"the engine {settings.engine!r} cannot imitate a voice: TTS_IMITATE is for xtts")
        service.offer(Offer(voices=tuple(engine.voices)))

    @service.on(Translation, state=VoiceState)
    async def speak(
        message: Translation, state: VoiceState, context: Context
    ) -> AsyncIterator[Speech | Progress | Warned]:
        record, language = context.record, message.language
        if language in record.subtitled:
            yield Progress(stream=message.stream, language=language, until=message.until)
            return
        speaker = speaker_key(message.speaker, record.merged)
        voices = serving(studio.engine.voices, language)
        voice = cast_voice(state.cast, voices, speaker, message.gender, message.end, language, record.casting)
        name, takes, warning = voice.name if voice else "", tuple[Take, ...](), ""
        if voice and state.breaker.allows(message.start):
            heard = await listen(message, speaker, state, context) if settings.imitate else None
            takes, reason = await perform(message, name, heard, state)
            if heard is not None:
                name = f"{language}/speaker-{speaker}"
            if state.breaker.add(message.start, failed=not takes):
                warning = f"the voice engine gives nothing in {language} ({reason}): original sound and subtitles"
        yield Speech(
            stream=message.stream,
            until=message.until,
            language=language,
            utterance=message.utterance,
            start=message.start,
            end=message.end,
            speaker=message.speaker,
            voice=name,
            takes=takes,
        )
        if warning:
            yield Warned(stream=message.stream, until=message.until, warning=warning)

    async def listen(message: Translation, speaker: str, state: VoiceState, context: Context) -> Pcm | None:
        """What was heard of this speaker so far, this utterance included; None while that is too little."""
        sample = state.samples.get(speaker, Sample())
        known = await store.get(sample.sound) if sample.sound else b""
        if speaker and not sample.complete:
            known += (await context.listen(message.start, message.end)).samples
            known = known[: round(LONGEST * EAR) * 2]
            # Without a time in its name, an object stays as long as its stream.
            name = f"{message.stream}/sample-x{sha256(known).hexdigest()[:12]}"
            sample = Sample(sound=await store.put(name, known), seconds=len(known) / 2 / EAR)
            state.samples[speaker] = sample
        return to_pcm(known) if sample.enough else None

    async def perform(
        message: Translation, voice: str, heard: Pcm | None, state: VoiceState
    ) -> tuple[tuple[Take, ...], str]:
        """The best wording and at most one shorter; none, and why, when the best cannot be spoken."""
        takes: list[Take] = []
        pace, reason = 1.0, ""
        for index in _worth_speaking(message.wordings):
            text = message.wordings[index].text
            try:
                pcm = await studio.take(text, voice, heard)
            except SpeechFailed as error:
                reason = str(error)
                log.warning("not spoken", extra={"utterance": message.utterance, "voice": voice, "error": reason})
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
        return tuple(takes), reason

    return service


def _place(settings: Settings, studio: Studio, store: Store) -> Service:
    service = Service("place", Limits(slots=settings.slots))

    @service.on_start
    async def load() -> None:
        await asyncio.to_thread(lambda: (studio.engine, studio.stretcher))

    @service.on(Speech, state=PlaceState)
    async def arrange(message: Speech, state: PlaceState, context: Context) -> AsyncIterator[Placing]:
        lane, record = state.lane, context.record
        lane.until = max(lane.until, message.until)
        if message.takes:
            lane.take_in(message)
        else:
            yield drop(message, message.utterance, context, lane, "failed")
            if warning := state.losses.add(message.start, "failed"):
                yield warned(message, context, warning)
        if record.live is not False and lane.clock.floor:
            state.need.add(record.delay + lane.clock.floor - message.start)
            if warning := state.need.warning(record.delay, record.longest):
                yield warned(message, context, warning)
        async for output in settle(message, state, context):
            yield output

    @service.on(MediaSegment, state=PlaceState)
    async def extend(message: MediaSegment, state: PlaceState, context: Context) -> AsyncIterator[Placing]:
        state.lane.clock = state.lane.clock.grown(seconds(message.start), seconds(message.end), context.record.segment)
        async for output in settle(message, state, context):
            yield output

    @service.on(Head, state=PlaceState)
    async def tick(message: Head, state: PlaceState, context: Context) -> AsyncIterator[Placing]:
        state.lane.clock = state.lane.clock.moved(message.head, ended=message.ended)
        async for output in settle(message, state, context):
            yield output

    @service.on(Progress, state=PlaceState)
    async def wait(message: Progress, state: PlaceState, context: Context) -> AsyncIterator[Placing]:
        state.lane.until = max(state.lane.until, message.until)
        async for output in settle(message, state, context):
            yield output

    @service.on(End, state=PlaceState)
    async def close(message: End, state: PlaceState, context: Context) -> AsyncIterator[Placing]:
        state.lane.ending = message.reason
        state.lane.until = max(state.lane.until, message.until)
        async for output in settle(message, state, context):
            yield output

    async def settle(message: Message, state: PlaceState, context: Context) -> AsyncIterator[Placing]:
        """Send out what starts before the horizon; the rest stays a plan."""
        lane = state.lane
        if lane.over:
            return
        record = context.record
        earliest, horizon = lane.span(record.delay, record.segment, live=record.live is not False)
        policy = await choose(lane)
        due = list(commit([each.phrase for each in lane.waiting], lane.track, earliest, horizon, policy, lane.until))
        for placed in due:
            waiting = lane.waiting.pop(0)
            lost: Loss | None = "late" if not placed.choice.rate or lane.beyond(placed) else None
            if lost or state.losses.silent:
                output: Clip | Dropped = drop(message, waiting.utterance, context, lane, lost or state.losses.reason)
            else:
                lane.track = lane.track.after(placed)
                output = await produce(message, waiting, placed, context, lane)
                lost = output.reason if isinstance(output, Dropped) else None
            yield output
            if warning := state.losses.add(waiting.start, lost):
                yield warned(message, context, warning)
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

    def warned(message: Message, context: Context, warning: str) -> Warned:
        return Warned(stream=message.stream, until=message.until, warning=f"{context.language}: {warning}")

    def drop(message: Message, utterance: str, context: Context, lane: Lane, reason: Loss) -> Dropped:
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
