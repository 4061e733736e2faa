"""When the delay of a running stream may change: in a pause of speech, so that no phrase is cut or comes late."""

from collections.abc import Iterable, Sequence

from shared.context import Event, Record
from shared.messages import Clip, Dropped, Head, MediaSegment, Sealed, Translation, Utterance

PAUSE = 0.8
"""Seconds of silence that make a pause."""
PATIENCE = 30.0
"""Seconds for which a pause is waited for; then any gap between two phrases will do, and as long again later none."""
TICKS = 90_000

Span = tuple[float, float]
"""Start and end on the media clock, seconds."""


def suits(record: Record, wanted: float, events: Iterable[Event], waited: float) -> bool:
    """Returns whether the delay of a stream may become `wanted` seconds now.

    `events` are those of the last minute, in order; `waited` is for how many seconds it waits already. Published is
    everything up to the seal. A longer delay lets the seal stand still for a while, so nobody must speak there; a
    shorter one makes it jump, so that nothing of what it jumps over may still be on its way.
    """
    told = list(events)
    head, seal = _head(told), _seal(told)
    if record.live is not True or seal is None or waited > 2 * PATIENCE:
        return True
    half = PAUSE / 2 if waited <= PATIENCE else 0.0
    jump = max(seal, head - wanted)
    return not _speaks(told, seal, half) and (jump == seal or not _pending(told, record, jump))


def _head(events: Iterable[Event]) -> float:
    heads = [event.message for event in events]
    return max((message.head for message in heads if isinstance(message, Head)), default=0.0) or max(
        (message.end / TICKS for message in heads if isinstance(message, MediaSegment)), default=0.0
    )


def _seal(events: Iterable[Event]) -> float | None:
    sealed = [event.message for event in events if isinstance(event.message, Sealed)]
    return max(((one.start + one.duration) / TICKS for one in sealed), default=None)


def _speaks(events: Sequence[Event], at: float, half: float) -> bool:
    spans = [span for event in events if (span := _span(event)) is not None]
    return any(start < at + half and end > at - half for start, end in spans)


def _span(event: Event) -> Span | None:
    match event.message:
        case Clip(start=start, duration=duration):
            return start, start + duration
        case Utterance(start=start, end=end):
            return start, end
    return None


def _pending(events: Sequence[Event], record: Record, before: float) -> bool:
    """Whether something that starts before this media time is translated and has no place yet, or is not heard yet."""
    placed = {
        (message.language, message.utterance)
        for event in events
        if isinstance(message := event.message, Clip | Dropped)
    }
    voiced = set(record.languages) - set(record.subtitled)
    waiting = [
        message
        for event in events
        if isinstance(message := event.message, Translation) and message.language in voiced and message.start < before
    ]
    heard = max((event.message.until for event in events if event.stage == "speaker"), default=0.0)
    return heard < before or any((message.language, message.utterance) not in placed for message in waiting)
