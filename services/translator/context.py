"""What surrounds a sentence: those before it, and the glossary, applied before translation and checked after."""

import re
from collections.abc import Sequence

from shared.context import Term

EARLIER = 3
"""Sentences that an engine is told of."""


def remembered(earlier: Sequence[str], text: str) -> tuple[str, ...]:
    """The last three sentences, this one included."""
    return (*earlier, text)[-EARLIER:]


def wanted(glossary: Sequence[Term], text: str, language: str) -> dict[str, str]:
    """Terms that occur in a text, longest first, and what each must be in a language."""
    found: dict[str, str] = {}
    for term in sorted(glossary, key=lambda term: -len(term.term)):
        translation = term.term if term.keep else term.translations.get(language)
        if translation and term.term.strip() and _pattern(term.term).search(text):
            found[term.term] = translation
    return found


def masked(text: str, terms: dict[str, str]) -> tuple[str, dict[str, str]]:
    """A text with made-up names in the place of terms, and the translation that each name stands for."""
    names: dict[str, str] = {}
    for number, (term, translation) in enumerate(terms.items()):
        name = _name(number, text)
        changed = _pattern(term).sub(name, text)
        if changed != text:
            text, names[name] = changed, translation
    return text, names


def unmasked(text: str, names: dict[str, str]) -> str | None:
    """The text with its translations in place; None where the engine has lost one of the names."""
    for name, translation in names.items():
        pattern = re.compile(rf"{name}", re.IGNORECASE)
        if not pattern.search(text):
            return None
        text = pattern.sub(lambda _, translation=translation: translation, text)  # type: ignore[misc]
    return text


def disobeyed(text: str, terms: dict[str, str]) -> list[str]:
    """Terms whose translation is not in a text."""
    return [term for term, translation in terms.items() if translation.casefold() not in text.casefold()]


def repaired(text: str, terms: dict[str, str]) -> str:
    """The text with the translation of each disobeyed term where the engine left the term itself."""
    for term in disobeyed(text, terms):
        text = _pattern(term).sub(lambda _, term=term: terms[term], text)  # type: ignore[misc]
    return text


def _pattern(term: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(term)}(?!\w)", re.IGNORECASE)


def _name(number: int, text: str) -> str:
    """A capitalised word that is in no dictionary nor in the text, and that no engine declines."""
    consonants = "bcdfghjklmnpqrstvwz"
    name = f"Zqx{consonants[number // len(consonants) % len(consonants)]}{consonants[number % len(consonants)]}"
    return name if name.casefold() not in text.casefold() else _name(number + 97, text)
