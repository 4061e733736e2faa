"""What the running engines serve together: languages understood, pairs translated, voices."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.context import Offer, Voice

AUTO = "auto"
"""Stands for the language that an engine finds out itself."""
TAG = re.compile(r"(?P<language>[a-z]{2,3})(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|\d{3}))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Served:
    """The union of all offers."""

    spoken: frozenset[str]
    """Languages that are understood; empty: all that are translated."""
    detects: bool
    """Whether an engine finds out by itself what is spoken."""
    pairs: frozenset[tuple[str, str]]
    voices: tuple[Voice, ...]

    def targets(self, source: str) -> frozenset[str]:
        """Returns the languages that `source`, a tag or "auto", can be translated to."""
        return frozenset(target for spoken, target in self.pairs if source in (AUTO, spoken))

    def sources(self) -> frozenset[str]:
        """Returns the languages that are both understood and translated."""
        translated = frozenset(spoken for spoken, _ in self.pairs)
        return translated & self.spoken if self.spoken else translated

    def spoken_pairs(self) -> list[tuple[str, str]]:
        """Returns the pairs that lead from a language that is understood, sorted."""
        sources = self.sources()
        return sorted(pair for pair in self.pairs if pair[0] in sources)

    def voices_of(self, language: str) -> tuple[Voice, ...]:
        """Returns the voices of a language, each name once, sorted by name."""
        named = {voice.name: voice for voice in self.voices if lookup(language, {voice.language})}
        return tuple(named[name] for name in sorted(named))

    def subtitled(self, languages: Iterable[str]) -> tuple[str, ...]:
        """Returns those languages that no voice speaks: they get subtitles only."""
        return tuple(language for language in languages if not self.voices_of(language))


def served(offers: Mapping[str, Sequence[Offer]]) -> Served:
    """Returns the union of what all replicas offer, by stage; asr says with no language that it hears every one."""
    ears = offers.get("asr", ())
    detects = any(not ear.spoken for ear in ears)
    replicas = [offer for stage in offers.values() for offer in stage]
    return Served(
        spoken=frozenset() if detects else frozenset(language for ear in ears for language in ear.spoken),
        detects=detects,
        pairs=frozenset(pair for offer in replicas for pair in offer.pairs),
        voices=tuple(voice for offer in replicas for voice in offer.voices),
    )


def tag(text: str) -> str:
    """Returns a language tag in its canonical case (RFC 5646, section 2.1.1): language, script and region.

    Raises ValueError when the text is no such tag.
    """
    match = TAG.fullmatch(text.strip().replace("_", "-"))
    if not match:
        raise ValueError(f'"{text}" is no language tag; write one such as "es", "pt-BR" or "zh-Hant"')
    language, script, region = match.group("language", "script", "region")
    return "-".join(filter(None, (language.lower(), script and script.title(), region and region.upper())))


def lookup(language: str, among: Iterable[str]) -> str | None:
    """Returns the best match of a tag by lookup (RFC 4647, section 3.4): "es-MX" finds "es-MX", else "es"."""
    known = frozenset(among)
    while language and language not in known:
        language = language.rpartition("-")[0]
    return language or None
