"""The placement policies to beat: two that stretch to the slot, and the affine rule tuned on other seeds."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from services.tts.placement import (
    DROP,
    GAP,
    PAUSE,
    PRICES,
    Affine,
    Array,
    Choice,
    Phrase,
    Placed,
    Policy,
    Track,
)

KNOWN = 24


def stretch(limit: float) -> Policy:
    """Speak as soon as possible, as fast as it takes to end with the source, at most `limit`."""

    def policy(known: Sequence[Phrase], lag: float, track: Track, next_start: float) -> Choice:
        phrase = known[0]
        slot = max(1e-3, phrase.end - phrase.start - lag)
        return DROP if lag > PRICES.cap else Choice(min(limit, max(1.0, phrase.speech[0] / slot)))

    return policy


def look_ahead(phrases: Sequence[Phrase], policy: Policy, seconds: float) -> list[Placed]:
    """Pure study of the horizon: everything that ends within `seconds` after a start is known at that start."""
    track, clips, last = Track(), [], 0
    for i, phrase in enumerate(phrases):
        start = max(phrase.start, track.free)
        last = max(last, i + 1)
        while last < len(phrases) and last - i < KNOWN and phrases[last].end <= start + seconds:
            last += 1
        known = phrases[i:last]
        choice = policy(known, start - phrase.start, track, known[-1].end + PAUSE)
        clips.append(Placed(phrase, start, choice))
        track = track.after(clips[-1])
    return clips


def tune(hours: Sequence[Sequence[Phrase]], wordings: bool) -> Affine:
    """Grid search on held-out hours: what a careful engineer would do for each scenario."""
    never = (1e9,)
    grid = product(
        (1.0, 1.05, 1.1, 1.15, 1.2, 1.25),
        (0.0, 0.03, 0.06, 0.1, 0.15),
        (1.25, 1.3),
        (0.4, 0.8, 1.2, 1.8, 2.5) if wordings else never,
        (1.5, 3.0, 1e9) if wordings else never,
    )
    rules = [Affine(*values) for values in grid]
    return rules[int(np.argmin(sum(costs(phrases, rules) for phrases in hours)))]


def costs(phrases: Sequence[Phrase], rules: Sequence[Affine]) -> Array:
    """J of every rule on an hour without look-ahead; what `cost` and `look_ahead` say of each, all rules at once."""
    columns = ("base", "gain", "limit", "end_late", "start_late")
    base, gain, limit, end_late, start_late = (
        np.array([getattr(rule, name) for rule in rules], float) for name in columns
    )
    free, before, total = np.zeros(len(rules)), np.ones(len(rules)), np.zeros(len(rules))
    heard = np.full(len(rules), -1e9)
    for phrase in phrases:
        lag = np.maximum(0.0, free - phrase.start)
        spoken = lag <= PRICES.cap
        rate = np.clip(base + gain * lag, 1.0, limit)
        overrun = lag + phrase.speech[0] / rate - (phrase.end - phrase.start)
        short = ((overrun > end_late) | (lag > start_late)) & (len(phrase.speech) > 1)
        speech = np.where(short, phrase.speech[min(1, len(phrase.speech) - 1)], phrase.speech[0])
        price = PRICES.of_drift(lag) + speech / 4 * PRICES.of_rate(rate) + PRICES.shorter * short
        linked = phrase.start - heard < PRICES.linked
        price = price + np.where(linked, PRICES.of_change(rate - before), 0.0)
        total += np.where(spoken, price, PRICES.drop)
        free = np.where(spoken, phrase.start + lag + speech / rate + GAP, free)
        before, heard = np.where(spoken, rate, before), np.where(spoken, phrase.end, heard)
    return np.asarray(total / len(phrases))
