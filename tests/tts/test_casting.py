from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from services.tts.casting import Cast, cast_voice, serving, speaker_key
from services.tts.engines.scripted import Scripted
from shared.context import Casting
from shared.messages import Gender

NOBODY: Mapping[str, Casting] = {}
VOICES = serving(Scripted().voices, "es")


def named(cast: Cast, key: str, gender: Gender | None, at: float = 0.0, casting: Mapping[str, Casting] = NOBODY) -> str:
    voice = cast_voice(cast, VOICES, key, gender, at, "es", casting)
    assert voice
    return voice.name


def test_a_woman_gets_a_womans_voice_and_keeps_it() -> None:
    cast = Cast()
    first = named(cast, "1", "f")
    assert next(voice for voice in VOICES if voice.name == first).gender == "f"
    assert named(cast, "1", "f", 9.0) == first
    assert named(cast, "1", None, 10.0) == first


def test_speakers_have_different_voices_while_there_are_enough() -> None:
    cast = Cast()
    assert len({named(cast, str(speaker), "m") for speaker in range(3)}) == 3


def test_when_voices_are_short_the_one_that_was_silent_longest_is_shared() -> None:
    cast = Cast()
    names = [named(cast, str(speaker), "m", 10.0 + speaker) for speaker in range(3)]
    named(cast, "0", "m", 50.0)
    assert named(cast, "3", "m", 60.0) == names[1]


def test_a_doubted_gender_brings_the_old_voice_back() -> None:
    cast = Cast()
    first = named(cast, "1", "f")
    assert named(cast, "1", "m") != first
    assert named(cast, "1", "f") == first


def test_the_operator_decides_voice_and_gender_from_the_next_utterance_on() -> None:
    cast = Cast()
    assert named(cast, "1", "f") == "es-f1"
    recast = {"1": Casting(voices={"es": "es-m3"})}
    assert named(cast, "1", "f", casting=recast) == "es-m3"
    assert named(cast, "2", "f", casting={"2": Casting(gender="m")}).startswith("es-m")


def test_a_voice_that_the_operator_gave_away_is_not_given_to_others() -> None:
    assert named(Cast(), "2", "f", casting={"1": Casting(voices={"es": "es-f1"})}) == "es-f2"


def test_merged_speakers_are_one_even_in_a_circle() -> None:
    assert speaker_key(3, {"3": "2", "2": "0"}) == "0"
    assert speaker_key(3, {"3": "2", "2": "3"}) in ("2", "3")
    assert speaker_key(None, {"3": "2"}) == ""


def test_a_regional_language_is_served_by_its_primary_one_and_others_by_nobody() -> None:
    assert {voice.language for voice in serving(Scripted().voices, "es-MX")} == {"es"}
    assert serving(Scripted().voices, "qq") == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["f", "m"])), max_size=40))
def test_a_speaker_of_one_gender_never_changes_voice(rows: list[tuple[int, Gender]]) -> None:
    cast, seen = Cast(), dict[tuple[int, str], str]()
    for at, (speaker, gender) in enumerate(rows):
        name = named(cast, str(speaker), gender, float(at))
        assert seen.setdefault((speaker, gender), name) == name
