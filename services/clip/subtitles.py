"""Subtitles of a clip: on the picture as ASS, and as SubRip and WebVTT beside it."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import pysubs2

from services.clip.placement import common, place
from services.clip.story import Box, Sentence, Story

TURNING = 1.2
"""Seconds in which an original turns into its translation."""
STEPS = 12
LINGER = 3.0
"""Seconds that a caption stays when it has been said and has turned."""
WIDE = 0.34
"""Share of the picture's width that a caption beside a face may take; without a face, twice that."""
COLOURS = ("7CC0FF", "FFB085", "D9B0FF", "8FDC9F", "FF9FC6", "74DCD2", "ECC870", "B3B6FF")
"""Of the speakers, RGB, as in the player."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence with its place on the picture."""

    sentence: Sentence
    translation: str
    """Empty where there is none."""
    until: float
    box: Box


def burnt(story: Story, language: str, width: int, height: int, start: float) -> pysubs2.SSAFile:
    """Subtitles for a picture of this size whose clock starts at media time `start`.

    Words appear as they are spoken (karaoke timing); then the translation overwrites them from the left.
    """
    size = _size(width, height)
    subtitles = pysubs2.SSAFile()
    subtitles.info |= {"PlayResX": str(width), "PlayResY": str(height), "ScaledBorderAndShadow": "yes"}
    subtitles.info |= {"WrapStyle": "2", "ScriptType": "v4.00+"}
    for speaker, colour in enumerate(COLOURS):
        subtitles.styles[f"Speaker{speaker}"] = _style(colour, size)
    subtitles.styles["Default"] = _style("FFFFFF", size)
    for caption in captions(story, language, width, height):
        subtitles.events += _events(caption, width, height, start)
    return subtitles


def captions(story: Story, language: str, width: int, height: int) -> list[Caption]:
    """Every sentence with its place; at most two at a time, and never two in one place."""
    told = story.told()
    found: list[Caption] = []
    for index, (name, sentence) in enumerate(told):
        translation = "" if language == sentence.spoken else sentence.translations.get(language, "")
        until = max(sentence.end, sentence.start + 1) + (TURNING if translation else 0) + LINGER
        if index + 2 < len(told):
            until = max(min(until, told[index + 2][1].start), sentence.end)
        faces = story.faces(sentence.start, sentence.end)
        who = story.speaks.get(name)
        face = faces.pop(who, None) if who is not None else None
        taken = [caption.box for caption in found[-3:] if caption.until > sentence.start]
        wide, high = extent(sentence.text, translation, face is not None, width, height)
        left, top = place(face, [*faces.values(), *taken], wide, high)
        if any(common(Box(left, top, wide, high), box) > 0 for box in taken):
            found[-1] = _cut(found[-1], sentence.start)
        found.append(Caption(sentence, translation, until, Box(left, top, wide, high)))
    return found


def extent(text: str, translation: str, beside: bool, width: int, height: int) -> tuple[float, float]:
    """Shares of the picture that the longer of both texts needs."""
    size = _size(width, height)
    lines = max((wrapped(each, _columns(beside, width, size)) for each in (text, translation)), key=len)
    both = [*lines, *wrapped(text, _columns(beside, width, size)), *wrapped(translation, _columns(beside, width, size))]
    # The margin is for fonts that are wider than the one the estimate knows.
    wide = max((columns(line) for line in both), default=1) * size * 0.56 + size
    return min(0.96, wide / width), min(0.9, (len(lines) * 1.3 + 0.4) * size / height)


def sidecar(story: Story, language: str, start: float) -> pysubs2.SSAFile:
    """Plain subtitles in one language on a clock that starts at media time `start`."""
    subtitles = pysubs2.SSAFile()
    for _, sentence in story.told():
        text = sentence.text if language == sentence.spoken else sentence.translations.get(language, "")
        if text:
            begin, end = (round(1000 * max(0.0, time - start)) for time in (sentence.start, sentence.end))
            event = pysubs2.SSAEvent(start=begin, end=max(end, begin + 500))
            event.plaintext = "\n".join(wrapped(text, 42))
            subtitles.events.append(event)
    return subtitles


def wrapped(text: str, most: int) -> list[str]:
    """Lines of at most `most` columns; between words, or between characters where a script has no spaces."""
    lines = [""]
    for piece in _pieces(text):
        if lines[-1] and columns((lines[-1] + piece).rstrip()) > most:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip() for line in lines if line.strip()]


def columns(text: str) -> int:
    """How wide a text is: two columns for an East Asian character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for word in text.split():
        wide = any(unicodedata.east_asian_width(each) in "WF" for each in word)
        pieces += [f"{word} "] if not wide else [*word[:-1], f"{word[-1]} "]
    return pieces


def _cut(caption: Caption, until: float) -> Caption:
    return Caption(
        caption.sentence, caption.translation, max(min(caption.until, until), caption.sentence.end), caption.box
    )


def _events(caption: Caption, width: int, height: int, start: float) -> list[pysubs2.SSAEvent]:
    sentence, box = caption.sentence, caption.box
    size = _size(width, height)
    most = _columns(box.width <= WIDE + 0.02, width, size)
    at = f"\\an7\\pos({round(box.left * width + size / 2)},{round(box.top * height + size * 0.2)})"
    style = "Default" if sentence.speaker is None else f"Speaker{sentence.speaker % len(COLOURS)}"

    def event(begin: float, end: float, text: str, more: str = "") -> pysubs2.SSAEvent:
        first, last = (round(1000 * max(0.0, time - start)) for time in (begin, end))
        return pysubs2.SSAEvent(start=first, end=last, text=f"{{{at}{more}}}{text}", style=style)

    said_until = max(sentence.end, sentence.start + 0.2) if caption.translation else caption.until
    found = [event(sentence.start, said_until, _karaoke(sentence, most), "\\2a&HFF&")]
    if not caption.translation:
        return found
    for step in range(1, STEPS):
        begin = said_until + TURNING * (step - 1) / STEPS
        share = step / STEPS
        mixed = caption.translation[: round(len(caption.translation) * share)]
        mixed += sentence.text[round(len(sentence.text) * share) :]
        if begin < caption.until:
            end = min(said_until + TURNING * step / STEPS, caption.until)
            found.append(event(begin, end, _lines(wrapped(mixed, most))))
    turned = said_until + TURNING * (STEPS - 1) / STEPS
    if turned < caption.until:
        found.append(event(turned, caption.until, _lines(wrapped(caption.translation, most))))
    return found


def _karaoke(sentence: Sentence, most: int) -> str:
    """The original, each word hidden until it is spoken."""
    tokens = sentence.text.split()
    starts = [word.start for word in sentence.words]
    if len(starts) != len(tokens):
        step = (sentence.end - sentence.start) / max(1, len(tokens))
        starts = [sentence.start + step * index for index in range(len(tokens))]
    ends = [*starts[1:], sentence.end]
    lengths = {
        index: max(0, round(100 * (end - begin))) for index, (begin, end) in enumerate(zip(starts, ends, strict=True))
    }
    lead = max(0, round(100 * (starts[0] - sentence.start))) if starts else 0
    text, number = f"{{\\ko{lead}}}" if lead else "", 0
    for row, line in enumerate(wrapped(sentence.text, most)):
        text += "\\N" if row else ""
        for token in line.split():
            text += f"{{\\ko{lengths.get(number, 0)}}}{_plain(token)} "
            number += 1
    return text.rstrip()


def _lines(lines: Sequence[str]) -> str:
    return "\\N".join(_plain(line) for line in lines)


def _plain(text: str) -> str:
    """Text that libass reads as text: braces would be commands."""
    return text.replace("\\", "\\\u2060").replace("{", "(").replace("}", ")")


def _style(colour: str, size: int) -> pysubs2.SSAStyle:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (0, 2, 4))
    return pysubs2.SSAStyle(
        fontname="Noto Sans",
        fontsize=size,
        primarycolor=pysubs2.Color(red, green, blue),
        secondarycolor=pysubs2.Color(red, green, blue, 255),
        outlinecolor=pysubs2.Color(10, 12, 14),
        backcolor=pysubs2.Color(10, 12, 14, 90),
        bold=True,
        outline=max(1.0, size / 14),
        # A shadow would give away words that are not spoken yet.
        shadow=0,
        # Let libass find out which way a line runs.
        encoding=-1,
    )


def _size(width: int, height: int) -> int:
    """Pixels of the letters."""
    return max(12, round(min(width, height) * 0.05))


def _columns(beside: bool, width: int, size: int) -> int:
    return max(8, int(width * (WIDE if beside else 2 * WIDE) / (size * 0.56)) - 2)
