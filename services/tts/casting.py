"""Which voice speaks for which speaker in one language."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from shared.context import Casting, Voice
from shared.messages import Gender


class Cast(BaseModel):
    """Who has which voice so far, in one lane."""

    roles: dict[str, str] = {}
    """`<speaker>/<gender>` to voice, so that a speaker whose gender was doubted gets the old voice back."""
    heard: dict[str, float] = {}
    """Voice to the media time at which it was last needed."""


def speaker_key(speaker: int | None, merged: Mapping[str, str]) -> str:
    """The speaker that a speaker is, after the merges of an operator; "" for nobody known."""
    key = "" if speaker is None else str(speaker)
    for _ in merged:
        key = merged.get(key, key)
    return key


def serving(voices: Sequence[Voice], language: str) -> list[Voice]:
    """The voices of a language: its own, or those of its primary subtag (RFC 4647 lookup)."""
    exact = [voice for voice in voices if voice.language.lower() == language.lower()]
    primary = language.split("-")[0].lower()
    return exact or [voice for voice in voices if voice.language.lower() == primary]


def cast_voice(
    cast: Cast,
    voices: Sequence[Voice],
    key: str,
    gender: Gender | None,
    at: float,
    language: str,
    casting: Mapping[str, Casting],
) -> Voice | None:
    """The voice of a speaker, noted in `cast`: the operator's, else the speaker's own, else a free one.

    `voices` are those of the language; None when there are none. Once all voices of a gender are taken, the one
    that was needed longest ago is shared.
    """
    if not voices:
        return None
    by_name = {voice.name: voice for voice in voices}
    decided = casting.get(key, Casting())
    gender = decided.gender or gender
    name = decided.voices.get(language, "")
    if name not in by_name:
        name = _known(cast, key, gender)
    if name not in by_name:
        reserved = {other.voices.get(language, "") for other in casting.values()}
        name = _free(cast, voices, gender, reserved)
    cast.roles[f"{key}/{gender or ''}"] = name
    cast.heard[name] = max(at, cast.heard.get(name, 0.0))
    return by_name[name]


def _known(cast: Cast, key: str, gender: Gender | None) -> str:
    roles = [f"{key}/{gender}"] if gender else [f"{key}/", f"{key}/f", f"{key}/m"]
    return next((cast.roles[role] for role in roles if role in cast.roles), "")


def _free(cast: Cast, voices: Sequence[Voice], gender: Gender | None, reserved: set[str]) -> str:
    fitting = [voice for voice in voices if gender in (None, voice.gender)] or list(voices)
    names = [voice.name for voice in fitting if voice.name not in reserved] or [voice.name for voice in fitting]
    taken = set(cast.roles.values())
    unused = [name for name in names if name not in taken]
    return unused[0] if unused else min(names, key=lambda name: cast.heard.get(name, 0.0))
