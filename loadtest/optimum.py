"""What perfect knowledge of the hour would give: the yardstick for regret, and two exact solvers of the convex part.

`clairvoyant` is the planner's own recursion over the whole hour, on a finer grid: rates, wordings, drops, smoothing.
`linear_program` (HiGHS) and `slope_trick` solve the convex part (piecewise linear prices, no drop, no smoothing) and
must agree.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from services.tts.placement import GAP, PRICES, Array, Phrase, Placed, Planner, Prices, Track

Kinks = list[tuple[float, float]]
"""A convex piecewise linear function that is flat left of the first kink: (position, increase of slope)."""

LAGS = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
SPEEDS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.6)
LAG_SLOPES = [float(PRICES.of_drift(b) - PRICES.of_drift(a)) / (b - a) for a, b in pairwise(LAGS)]
LAG_KINKS: Kinks = [
    (at, slope - before) for at, slope, before in zip(LAGS, LAG_SLOPES, [0.0, *LAG_SLOPES], strict=False)
]
BANDS = [
    (1 / a - 1 / b, float(PRICES.of_rate(b) - PRICES.of_rate(a)) / 4 / (1 / a - 1 / b)) for a, b in pairwise(SPEEDS)
]
"""Each band of rates: seconds saved per second of speech, price of one saved second."""


def clairvoyant(phrases: Sequence[Phrase], prices: Prices = PRICES, step: float = 0.1) -> list[Placed]:
    """The best placement of an hour that is known in advance."""
    planner = Planner(prices, step=step, reluctance=0.0)
    values: list[Array] = [np.zeros((len(planner.rates), len(planner.lags)))]
    onsets = [b.start - a.start for a, b in pairwise(phrases)] + [1e3]
    for i in range(len(phrases) - 1, 0, -1):
        values.append(planner.step_back(values[-1], phrases[i], onsets[i], phrases[i - 1].end))
    track, clips = Track(), []
    for phrase, onset, value in zip(phrases, onsets, reversed(values), strict=True):
        start = max(phrase.start, track.free)
        clips.append(Placed(phrase, start, planner.best(phrase, start - phrase.start, track, value, onset)))
        track = track.after(clips[-1])
    return clips


def convex_cost(clips: Sequence[Placed]) -> float:
    """Total price of a placement without drops under the prices of the convex part."""
    drift = np.interp([clip.drift for clip in clips], LAGS, PRICES.of_drift(np.array(LAGS)))
    slowness = 1 / np.array(SPEEDS[::-1])
    rate = np.interp([1 / clip.choice.rate for clip in clips], slowness, PRICES.of_rate(np.array(SPEEDS[::-1])))
    return float(drift.sum() + np.dot(rate, [clip.phrase.speech[0] / 4 for clip in clips]))


def linear_program(phrases: Sequence[Phrase]) -> float:
    """Total price of the convex part, by HiGHS."""
    n, bands, steps = len(phrases), len(BANDS), len(LAG_SLOPES)
    start = np.array([phrase.start for phrase in phrases])
    speech = np.array([phrase.speech[0] for phrase in phrases])
    saved = [(0.0, share * length) for length in speech for share, _ in BANDS]
    lags = [(0.0, width) for _ in phrases for width in [*np.diff(LAGS)[:-1], None]]
    prices = np.concatenate([np.zeros(n), np.tile([price for _, price in BANDS], n), np.tile(LAG_SLOPES, n)])
    eye = sparse.eye_array(n, format="csr")
    idle = sparse.csr_array((n - 1, n * steps))
    chain = sparse.hstack([eye[:-1] - eye[1:], -sparse.kron(eye[:-1], np.ones((1, bands))), idle])
    late = sparse.hstack([eye, sparse.csr_array((n, n * bands)), -sparse.kron(eye, np.ones((1, steps)))])
    result = linprog(
        prices,
        A_ub=sparse.vstack([chain, late]).tocsr(),
        b_ub=np.concatenate([-speech[:-1] - GAP, start]),
        bounds=[(s, None) for s in start] + saved + lags,
        method="highs",
    )
    return float(result.fun)


def slope_trick(phrases: Sequence[Phrase]) -> float:
    """The same in O(n^2): backwards, add the lag price and merge two convex functions by slope; then spend forward."""
    onsets = [b.start - a.start for a, b in pairwise(phrases)] + [1e6]
    values: list[Kinks] = [[]]
    for phrase, onset in zip(reversed(phrases[1:]), reversed(onsets[1:]), strict=True):
        values.append(_back(values[-1], phrase.speech[0], onset))
    total, lag = 0.0, 0.0
    for phrase, onset, value in zip(phrases, onsets, reversed(values), strict=True):
        total += sum(rise * max(0.0, lag - at) for at, rise in LAG_KINKS)
        lag, paid = _spend(value, phrase.speech[0], lag + phrase.speech[0] + GAP - onset)
        total += paid
    return total


def _back(value: Kinks, speech: float, onset: float) -> Kinks:
    bands, slope, before = list(BANDS), 0.0, 0.0
    merged: Kinks = []
    at = value[0][0] - (speech + GAP - onset) if value else 0.0
    for k, (where, rise) in enumerate(value):
        slope += rise
        while bands and bands[0][1] < slope:
            share, price = bands.pop(0)
            merged.append((at, price - before))
            at, before = at + share * speech, price
        merged.append((at, slope - before))
        at, before = at + (value[k + 1][0] - where if k + 1 < len(value) else 0.0), slope
    kinks = sorted(merged + LAG_KINKS)
    return [(0.0, sum(rise for at, rise in kinks if at <= 0.0))] + [(at, rise) for at, rise in kinks if at > 0.0]


def _spend(value: Kinks, speech: float, lag: float) -> tuple[float, float]:
    """Buy speed while a second saved is worth more than it costs: (lag left to the next phrase, price paid)."""
    at, slopes, paid = [a for a, _ in value], np.cumsum([r for _, r in value]).tolist(), 0.0
    for share, price in BANDS:
        left = share * speech
        while left > 1e-12:
            k = bisect_right(at, lag - 1e-12) - 1
            if k < 0 or slopes[k] <= price:
                return max(0.0, lag), paid
            step = min(left, lag - at[k])
            lag, left, paid = lag - step, left - step, paid + step * price
    return max(0.0, lag), paid
