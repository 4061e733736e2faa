"""English with less said: fillers, vocatives and asides go, never a negation, a number or a name."""

import re

ALWAYS = ("um", "uh", "uhm", "erm", "er", "basically", "actually", "literally", "frankly", "honestly", "very", "really")
"""Words that go wherever they stand."""
SET_OFF = (
    *(
        "well",
        "now",
        "so",
        "okay",
        "ok",
        "right",
        "anyway",
        "look",
        "listen",
        "you know",
        "i mean",
        "you see",
        "of course",
    ),
    *(
        "in fact",
        "as you know",
        "as i said",
        "i think",
        "i guess",
        "in a sense",
        "if you like",
        "let's say",
        "by the way",
    ),
    *("sir", "madam", "folks", "my friend", "my friends", "my dear", "dear", "everyone", "everybody", "gentlemen"),
    *("ladies and gentlemen", "ladies", "guys", "boys and girls"),
)
"""Fillers and vocatives that go only between commas, or between a comma and an end of the sentence."""

_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nor|neither|nothing|nobody|nowhere|without|hardly|cannot|\w+n['’]t)\b", re.I
)
_ASIDE = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]]")
_SET_OFF = "|".join(re.escape(phrase) for phrase in sorted(SET_OFF, key=len, reverse=True))
_FIRST = re.compile(rf"^(?:{_SET_OFF}), *", re.I)
_INNER = re.compile(rf", *(?:{_SET_OFF})(?=,)", re.I)
_LAST = re.compile(rf", *(?:{_SET_OFF})(?=[.!?]*$)", re.I)
_ALWAYS = re.compile(rf"(?:^|(?<=\s))(?:{'|'.join(ALWAYS)}),? +", re.I)


def shortened(text: str) -> str:
    """The sentence without what can be left out; the same sentence where nothing can."""
    short = _ASIDE.sub(lambda aside: aside[0] if _matters(aside[1]) else "", text.strip())
    for pattern in (_FIRST, _FIRST, _INNER, _LAST):
        short = pattern.sub("", short)
    # "not very good" is not "not good", and "not really" is not "not".
    clauses = re.split(r"(?<=[,;.!?]) +", short)
    short = " ".join(clause if _NEGATION.search(clause) else _ALWAYS.sub("", clause) for clause in clauses)
    short = re.sub(r"\s+", " ", short).strip()
    if not re.search(r"\w", short):
        return text
    return short[:1].upper() + short[1:] if text.strip()[:1].isupper() else short


def _matters(aside: str) -> bool:
    return bool(_NEGATION.search(aside) or re.search(r"\d|[^\W\d_a-z]", aside))
