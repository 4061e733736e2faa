"""What viewers got, compared with the events of the mesh: every cue and every clip once, in order, in its place."""

from collections.abc import Sequence

from loadtest.audit import Verdict
from loadtest.presentation import Presentation
from services.sender.timeline import DRIFT
from shared.context import Event
from shared.messages import Clip, Translation

SILENCE, FRAME = -50.0, 0.02
"""A frame of so many seconds is silent below this level, dB of full scale."""
EDGE = 0.03
"""Seconds of doubt at the ends of a clip: frames, and what AAC smears."""


def compare(published: Presentation, events: Sequence[Event], language: str, verdict: Verdict) -> tuple[int, int]:
    """Faults go into the verdict. Returns how many cues and clips the seal left out since they came too late for it."""
    timed = published.timed(f"{language}-clean")
    span = timed[0].start + 1, timed[-1].start + timed[-1].duration - 1
    messages = [event.message for event in events]
    told = [each for each in messages if isinstance(each, Translation) and each.language == language]
    clips = [each for each in messages if isinstance(each, Clip) and each.language == language]
    return cues(published, told, language, span, verdict), sounds(published, clips, language, span, verdict)


def cues(
    published: Presentation, told: Sequence[Translation], language: str, span: tuple[float, float], verdict: Verdict
) -> int:
    """Utterances within the span that no cue shows."""
    inside = [each for each in told if span[0] <= each.start and each.end <= span[1]]
    texts = [each.wordings[0].text.split() for each in inside]
    wanted = [word for text in texts for word in text]
    known = set(wanted)
    shown = [word for cue in published.cues(f"captions-{language}") for word in cue.text.split() if word in known]
    seen = set(shown)
    verdict.compare(f"cues in {language}", [word for word in wanted if word in seen], shown)
    return sum(not seen & set(text) for text in texts)


def sounds(
    published: Presentation, clips: Sequence[Clip], language: str, span: tuple[float, float], verdict: Verdict
) -> int:
    """Clips within the span that are not heard at their time: they came late, and were moved or left out.

    In all no more speech may be heard than the clips have, and none but near a clip.
    """
    sound = published.sound(f"{language}-clean")
    frames = [span[0] + place * FRAME for place in range(int((span[1] - span[0]) / FRAME))]
    loud = [start for start in frames if sound.level(start, start + FRAME) > SILENCE]
    spans = [(max(span[0], clip.start), min(span[1], clip.start + clip.duration)) for clip in clips]
    strange = [at for at in loud if not any(begin - EDGE <= at <= end + DRIFT for begin, end in spans)]
    more = len(loud) * FRAME - sum(max(0.0, end - begin) + EDGE for begin, end in spans)
    if strange or more > 0.5:
        verdict.doubled += 1
        far = len(strange) * FRAME
        verdict.faults.append(
            f"{language}: {more:.1f} s more speech than the clips have, {far:.1f} s far from any clip"
        )
    return sum(sound.level(begin + EDGE, end - EDGE) < SILENCE for begin, end in spans if end - begin > 4 * EDGE)
