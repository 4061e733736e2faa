from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import Any, cast

import numpy as np
import pytest

from services import MESH
from services.tts.engines import EngineMissing, Sound, SpeechFailed
from services.tts.engines.scripted import Scripted
from services.tts.levels import loudness
from services.tts.service import PlaceState, Settings, VoiceState, create
from shared.audio import EAR, VOICE, Pcm, ticks, to_pcm
from shared.bus import Context, Service, State
from shared.context import Casting, Record
from shared.context import Pcm as Chunk
from shared.messages import (
    Clip,
    Dropped,
    End,
    Head,
    MediaSegment,
    Message,
    Progress,
    Speech,
    Translation,
    Warned,
    Wording,
)
from shared.store import open_store

FULL = "Buenos días, señoras y señores, hoy hablamos de muchas cosas."
SHORT = "Buenos días, hoy hablamos de muchas cosas."
numbers: Iterator[int] = count()


class Stages:
    """Both stages of one lane, on a virtual clock."""

    def __init__(self, record: Record, **settings: Any) -> None:
        url = f"memory://{next(numbers)}"
        self.store = open_store(url)
        self.voice, self.place = create(Settings(engine="scripted", stretcher="signalsmith", store=url, **settings))
        self.context = Context("s", "es", record, cast(Any, None), "tts")
        self.casting, self.plan = VoiceState(), PlaceState()
        self.out: list[Message] = []
        self.speeches: list[Speech] = []

    async def turn(self, service: Service, state: State, message: Message) -> list[Message]:
        return [output async for output in service.handle(message, state, self.context)]

    async def say(self, message: Translation) -> Message:
        (speech,) = await self.turn(self.voice, self.casting, message)
        await self.give(speech)
        return speech

    async def give(self, *messages: Message) -> None:
        for message in messages:
            if isinstance(message, Speech):
                self.speeches.append(message)
            self.out += await self.turn(self.place, self.plan, message)
            self.plan = PlaceState.model_validate_json(self.plan.model_dump_json())

    @property
    def clips(self) -> list[Clip]:
        return [message for message in self.out if isinstance(message, Clip)]


def live(delay: float = 12.0, **more: Any) -> Record:
    return Record(stream="s", languages=("es",), delay=delay, segment=2.0, live=True, **more)


def segment(start: float, length: float = 2.0) -> MediaSegment:
    return MediaSegment(
        stream="s",
        until=start + length,
        start=ticks(start),
        duration=ticks(length),
        video=None,
        audio=None,
        date=0.0,
        captured_at=0.0,
    )


def head(at: float, ended: bool = False) -> Head:
    return Head(stream="s", until=at, head=at, ended=ended)


def translation(number: int, start: float, end: float, *texts: str, **more: Any) -> Translation:
    wordings = tuple(Wording(text=text, shorter=index > 0) for index, text in enumerate(texts or (FULL, SHORT)))
    values: dict[str, Any] = {"speaker": 0, "gender": "f", "until": end} | more
    return Translation(
        stream="s", language="es", utterance=str(number), start=start, end=end, wordings=wordings, **values
    )


async def broadcast(stages: Stages, phrases: Sequence[Translation], seconds: float, wait: float = 3.0) -> None:
    """Segments and heads as they come; each translation `wait` seconds behind its end; then the end."""
    waiting = list(phrases)
    for k in range(int(seconds / 2)):
        at = 10.0 + 2 * k
        while waiting and waiting[0].end + wait <= at + 2:
            await stages.say(waiting.pop(0))
        await stages.give(segment(at), head(at + 2))
    end = 10.0 + 2 * int(seconds / 2)
    for phrase in waiting:
        await stages.say(phrase)
    for k in range(1, int(stages.context.record.delay) + 2):
        await stages.give(head(end + k))
    await stages.give(head(end + stages.context.record.delay, ended=True), End(stream="s", until=end, language="es"))


PHRASES = [translation(k, 11.0 + 4.2 * k, 14.8 + 4.2 * k) for k in range(6)]


def test_the_stages_agree_with_the_mesh() -> None:
    voice, place = create(Settings(engine="scripted"))
    assert voice.stage(MESH).name == "voice"
    assert place.stage(MESH).name == "place"


async def test_a_broadcast_is_placed_in_order_without_overlap_and_reported_once() -> None:
    stages = Stages(live())
    await broadcast(stages, PHRASES, 38)
    assert [clip.utterance for clip in stages.clips] == [phrase.utterance for phrase in PHRASES]
    for clip, phrase in zip(stages.clips, PHRASES, strict=True):
        assert phrase.start <= clip.start <= phrase.start + 3
        assert clip.rate <= 1.3
        assert len(await stages.store.get(clip.audio)) == round(clip.duration * VOICE) * 2
    assert all(a.start + a.duration <= b.start for a, b in pairwise(stages.clips))
    assert [type(message) for message in stages.out].count(End) == 1
    assert isinstance(stages.out[-1], End)


async def test_a_clip_lasts_its_take_over_its_rate() -> None:
    stages = Stages(live(8.0), voice_ratio=1.4)
    await broadcast(stages, PHRASES[:5], 34)
    assert max(clip.rate for clip in stages.clips) > 1.0
    takes = {speech.utterance: {take.wording: take for take in speech.takes} for speech in stages.speeches}
    for clip in stages.clips:
        assert clip.duration == pytest.approx(takes[clip.utterance][clip.wording].duration / clip.rate, abs=1e-4)


async def test_nothing_starts_before_the_progress_that_was_reported() -> None:
    stages = Stages(live(8.0))
    await broadcast(stages, PHRASES, 38)
    floor = 0.0
    for message in stages.out:
        if isinstance(message, Progress):
            assert message.until > floor
            assert message.language == "es"
            floor = message.until
        if isinstance(message, Clip):
            assert message.start >= floor
        assert message.until <= floor or isinstance(message, End | Clip)


async def test_a_turn_that_is_repeated_makes_the_same_choice() -> None:
    stages = Stages(live())
    await broadcast(stages, PHRASES, 26)
    before = stages.plan.model_copy(deep=True)
    late = translation(99, 30.0, 34.0)
    (speech,) = await stages.turn(stages.voice, stages.casting, late)
    first = await stages.turn(stages.place, stages.plan, speech)
    assert first == await stages.turn(stages.place, before, speech)


async def test_a_phrase_that_comes_far_too_late_is_dropped_as_late() -> None:
    stages = Stages(live())
    for k in range(30):
        await stages.give(segment(10.0 + 2 * k), head(12.0 + 2 * k))
    await stages.say(translation(0, 20.0, 24.0))
    assert [message.reason for message in stages.out if isinstance(message, Dropped)] == ["late"]


@pytest.mark.parametrize("texts", [("...",), ("  ", "corto")])
async def test_what_cannot_be_spoken_is_dropped_as_failed(texts: tuple[str, ...]) -> None:
    stages = Stages(live())
    speech = await stages.say(translation(0, 20.0, 24.0, *texts))
    assert isinstance(speech, Speech)
    assert speech.takes == ()
    assert [message.reason for message in stages.out if isinstance(message, Dropped)] == ["failed"]


async def test_an_engine_that_fails_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    speak, asked = Scripted.speak, list[str]()

    async def moody(self: Scripted, text: str, voice: str, *, rate: float = 1.0) -> Sound:
        asked.append(text)
        if len(asked) == 1:
            raise SpeechFailed("not today")
        return await speak(self, text, voice, rate=rate)

    monkeypatch.setattr(Scripted, "speak", moody)
    speech = await Stages(live()).say(translation(0, 20.0, 24.0, FULL))
    assert isinstance(speech, Speech)
    assert len(speech.takes) == 1
    assert asked == [FULL, FULL]


async def test_takes_are_the_best_wording_and_one_shorter_at_minus_20_lufs() -> None:
    stages = Stages(live())
    speech = await stages.say(translation(0, 20.0, 24.0, FULL, SHORT, "Buenos días."))
    assert isinstance(speech, Speech)
    assert [take.wording for take in speech.takes] == [0, 1]
    assert speech.until == 24.0
    for take in speech.takes:
        pcm = to_pcm(await stages.store.get(take.audio))
        assert take.audio.startswith(f"s/take-{ticks(20.0)}-")
        assert len(pcm) == round(take.duration * VOICE)
        assert loudness(pcm) == pytest.approx(-20, abs=0.3)


async def test_a_language_with_subtitles_only_gets_progress_alone() -> None:
    stages = Stages(live(subtitled=("es",)))
    said = await stages.say(translation(0, 20.0, 24.0))
    assert said == Progress(stream="s", until=24.0, language="es")


async def test_a_voice_that_the_operator_chose_is_used() -> None:
    stages = Stages(live(casting={"0": Casting(voices={"es": "es-m2"})}))
    speech = await stages.say(translation(0, 20.0, 24.0))
    assert isinstance(speech, Speech)
    assert speech.voice == "es-m2"


async def test_the_voice_is_paced_to_a_ratio_in_all() -> None:
    stages = Stages(live(), voice_ratio=1.2)
    for k in range(12):
        await stages.say(translation(k, 10.0 + 4 * k, 13.0 + 4 * k, "uno dos tres " * (2 + k % 4)))
    lengths = [speech.takes[0].duration for speech in stages.speeches]
    assert sum(lengths) / (12 * 3.0) == pytest.approx(1.2, abs=0.12)
    assert np.std(lengths) > 0.3


def test_a_paced_voice_keeps_its_ratio_where_its_own_changes() -> None:
    state, paced = VoiceState(), 0.0
    for k in range(60):
        spoken = 3.0 * (1.0 if k < 20 else 0.8) * (1.2 if k % 2 else 0.8)
        rate = state.pace(3.0, spoken, 1.2)
        paced += spoken / rate
        assert 0.5 <= rate <= 2.0
    assert paced / 180 == pytest.approx(1.2, abs=0.02)


async def test_a_long_silence_in_a_file_makes_no_phrase_late() -> None:
    stages = Stages(Record(stream="s", languages=("es",), delay=2.0, segment=2.0, live=False))
    for k in range(25):
        await stages.give(segment(10.0 + 2 * k), head(12.0 + 2 * k))
    await stages.say(translation(0, 12.0, 16.0))
    await stages.give(Progress(stream="s", until=58.0, language="es"))
    assert [clip.start for clip in stages.clips] == [12.0]
    assert stages.out[-1] == Progress(stream="s", until=46.0, language="es")


async def test_a_file_is_placed_behind_the_voice_and_never_late() -> None:
    stages = Stages(Record(stream="s", languages=("es",), delay=2.0, segment=2.0, live=False))
    for k in range(25):
        await stages.give(segment(10.0 + 2 * k), head(12.0 + 2 * k))
    assert stages.out == []
    for phrase in PHRASES:
        await stages.say(phrase)
    assert max(message.until for message in stages.out if isinstance(message, Progress)) <= PHRASES[-1].end - 12
    await stages.give(head(60.0, ended=True), End(stream="s", until=60.0, language="es"))
    assert [clip.utterance for clip in stages.clips] == [phrase.utterance for phrase in PHRASES]
    assert max(clip.start - phrase.start for clip, phrase in zip(stages.clips, PHRASES, strict=True)) < 1.0
    assert isinstance(stages.out[-1], End)


@pytest.mark.parametrize("source_first", [True, False])
async def test_the_end_waits_for_voice_and_source(source_first: bool) -> None:
    stages = Stages(live())
    await stages.give(segment(10.0), head(12.0))
    await stages.say(translation(0, 10.5, 11.8, "Hola."))
    both = [head(24.0, ended=True), End(stream="s", until=12.0, language="es")]
    first, second = both if source_first else reversed(both)
    await stages.give(first)
    assert not any(isinstance(message, End) for message in stages.out)
    await stages.give(second)
    assert [type(message) for message in stages.out].count(End) == 1
    assert len(stages.clips) == 1


async def test_a_stream_that_failed_ends_without_its_source() -> None:
    stages = Stages(live())
    await stages.give(segment(10.0), head(12.0), End(stream="s", until=12.0, language="es", reason="failed"))
    assert stages.out[-1] == End(stream="s", until=12.0, language="es", reason="failed")


async def test_the_state_of_a_lane_stays_small() -> None:
    stages = Stages(live())
    for k in range(320):
        phrase = translation(k, 10.0 + 4 * k, 13.5 + 4 * k)
        if k == 0:
            template = await stages.say(phrase)
        else:
            assert isinstance(template, Speech)
            moved = {"utterance": str(k), "start": phrase.start, "end": phrase.end, "until": phrase.end}
            stages.plan.lane.take_in(template.model_copy(update=moved))
            stages.plan.lane.waiting = stages.plan.lane.waiting[-8:]
    assert len(stages.plan.model_dump_json()) < 8_000


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An engine that gives nothing; what it was asked."""
    asked: list[str] = []

    async def speak(self: Scripted, text: str, voice: str, *, rate: float = 1.0) -> Sound:
        asked.append(text)
        raise SpeechFailed("out of order")

    monkeypatch.setattr(Scripted, "speak", speak)
    return asked


async def test_an_engine_that_gives_nothing_is_told_left_alone_and_asked_again_later(mute: list[str]) -> None:
    stages = Stages(live())
    told = list[Message]()
    for k in range(8):
        phrase = translation(k, 10.0 + 3 * k, 12.0 + 3 * k, FULL)
        told += await stages.turn(stages.voice, stages.casting, phrase)
    assert [message.takes for message in told if isinstance(message, Speech)] == [()] * 8
    assert len(mute) == 8
    [warning] = [message.warning for message in told if isinstance(message, Warned)]
    assert warning == "the voice engine gives nothing in es (out of order): original sound and subtitles"
    await stages.turn(stages.voice, stages.casting, translation(9, 60.0, 62.0, FULL))
    assert len(mute) == 10


async def test_a_lane_without_voices_is_told_once(mute: list[str]) -> None:
    stages = Stages(live())
    for k in range(7):
        (speech, *_) = await stages.turn(stages.voice, stages.casting, translation(k, 10.0 + 3 * k, 12.0 + 3 * k, FULL))
        await stages.give(speech)
    [warning] = [message.warning for message in stages.out if isinstance(message, Warned)]
    assert warning.startswith("es: 5 of the last 5 phrases have no voice: original sound and subtitles")


async def test_a_lane_that_loses_too_much_has_original_sound_until_phrases_can_be_spoken_again() -> None:
    stages = Stages(live())
    texts = [FULL, "...", FULL, "...", "...", FULL, FULL, FULL, FULL, FULL]
    phrases = [translation(k, 11.0 + 5 * k, 14.0 + 5 * k, text) for k, text in enumerate(texts)]
    await broadcast(stages, phrases, 70)
    assert [clip.utterance for clip in stages.clips] == ["0", "2", "8", "9"]
    dropped = {message.utterance: message.reason for message in stages.out if isinstance(message, Dropped)}
    assert dropped == dict.fromkeys("134567", "failed")
    told = [message.warning for message in stages.out if isinstance(message, Warned)]
    assert told == [
        "es: 3 of the last 5 phrases have no voice: original sound and subtitles until 3 in a row can be spoken",
        "es: phrases can be spoken again: the voice is back",
    ]


async def test_a_delay_that_the_phrases_do_not_keep_is_told() -> None:
    stages = Stages(live(8.0, longest=6.0))
    phrases = [translation(k, 11.0 + 4 * k, 14.0 + 4 * k, "Hola.") for k in range(30)]
    await broadcast(stages, phrases, 160, wait=9.0)
    [warning] = [
        message.warning for message in stages.out if isinstance(message, Warned) and "delay" in message.warning
    ]
    assert warning.startswith("es: a delay of 8 s is too short")


class Parrot(Scripted):
    """Imitates: its tone is as long as what it has heard."""

    heard: list[int]

    async def imitate(self, text: str, voice: str, heard: Pcm, *, rate: float = 1.0) -> Sound:
        self.heard = [*getattr(self, "heard", []), len(heard)]
        return await self.speak(text, voice)


async def test_a_voice_is_imitated_from_what_was_heard_of_its_speaker_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parrot = Parrot()
    monkeypatch.setattr("services.tts.engines.load", lambda name, options: parrot)
    stages = Stages(live(), imitate=True)

    async def listen(start: float, end: float) -> Chunk:
        return Chunk(start=start, samples=bytes(2 * round((end - start) * EAR)))

    monkeypatch.setattr(stages.context, "listen", listen)
    voices = []
    for number, (speaker, start, end) in enumerate(
        [(0, 10.0, 11.0), (0, 12.0, 14.0), (1, 15.0, 18.0), (0, 20.0, 32.0), (0, 40.0, 44.0), (None, 50.0, 55.0)]
    ):
        speech = await stages.say(translation(number, start, end, FULL, speaker=speaker))
        assert isinstance(speech, Speech)
        assert speech.takes
        voices.append(speech.voice)
    assert [round(samples / EAR) for samples in parrot.heard] == [3, 3, 12, 12]
    assert voices == ["es-f1", "es/speaker-0", "es/speaker-1", "es/speaker-0", "es/speaker-0", "es-f3"]
    assert len(stages.casting.model_dump_json()) < 2_000


async def test_an_engine_that_cannot_imitate_is_refused_at_the_start() -> None:
    stages = Stages(live(), imitate=True)
    with pytest.raises(EngineMissing, match="cannot imitate"):
        await stages.voice.starting[0]()
