"""Why a source cannot be dubbed: ten classes, each a sentence with advice."""

import re
from enum import StrEnum


class Trouble(StrEnum):
    """The sentence is for the person who named the source."""

    NOT_LIVE_YET = "The stream is not live yet: start it again once it has begun."
    ENDED = "The stream has ended, and there is no recording of it at this URL."
    PRIVATE = "The stream is private or has been removed: ask its owner for access."
    LOGIN = "The site wants a login: an operator can provide the cookies of an account that may watch it."
    GEO = "The site does not show this stream in the country of this server."
    DRM = "The stream is protected (DRM) and cannot be dubbed."
    BOT = "The site takes this server for a robot: try again later, or with the cookies of an account."
    NOT_MEDIA = "There is no media at this URL."
    NO_AUDIO = "The source has no sound."
    TIMEOUT = "The source did not answer in time."
    FORM = "The site delivers the stream in a form that is not supported; HLS is."


_SIGNS = (
    (Trouble.DRM, r"\bdrm\b|widevine|fairplay|encrypted media"),
    (Trouble.BOT, r"not a bot|captcha|bot check|unusual traffic|\b429\b|too many requests|rate.?limit|cloudflare"),
    (Trouble.GEO, r"geo|your country|your location|your region|in your (current )?area"),
    (Trouble.NOT_LIVE_YET, r"will begin|not (yet )?started|upcoming|premieres in|scheduled|waiting for"),
    (Trouble.ENDED, r"has ended|is over|no longer live|not currently live|is offline|isn't live|stream ended"),
    (Trouble.LOGIN, r"log ?in|sign ?in|logged|cookies|authenticat|members.only|subscri|age.restrict|confirm your age"),
    (Trouble.PRIVATE, r"private|removed|deleted|does not exist|terminated|\b(401|403|404|410)\b|forbidden|not found"),
    (Trouble.TIMEOUT, r"timed? ?out"),
    (Trouble.FORM, r"unsupported stream type"),
    (Trouble.NO_AUDIO, r"no (audio|sound)"),
)


def classify(text: str) -> Trouble:
    """The class of what streamlink or yt-dlp said."""
    return next((kind for kind, sign in _SIGNS if re.search(sign, text, re.IGNORECASE)), Trouble.NOT_MEDIA)
