"""Where each phrase starts, how fast it is spoken and which wording it gets, on a track that is sealed as it plays.

A receding-horizon dynamic programme over the *lag*: how far the free end of the track is behind the phrase's own start.
What lies beyond the known phrases is a terminal value of the lag, learned by value iteration from past phrases.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATES = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3)
GAP = 0.12
"""Seconds between two clips."""
PAUSE = 0.45
"""Expected pause before a phrase that is not known yet, seconds."""
BEYOND = 8.0
"""Price of each second of lag beyond the grid."""
RELUCTANCE = 4.0
"""What dropping a phrase must save where the phrases have shorter wordings: the price of a lag is only an estimate."""
KNOWN = 24
"""The plan looks at no more phrases than these: the next hour does not change the next choice."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is to be said, with its span in the source, seconds."""

    start: float
    end: float
    speech: tuple[float, ...]
    """Seconds at 1.0x: the full wording first, then the shorter ones."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Rate 0 drops the phrase."""

    rate: float
    wording: int = 0


DROP = Choice(rate=0.0)


@dataclass(frozen=True, slots=True)
class Placed:
    """A phrase with its start and choice."""

    phrase: Phrase
    start: float
    choice: Choice

    @property
    def length(self) -> float:
        """Seconds as played; 0 when dropped."""
        return self.phrase.speech[self.choice.wording] / self.choice.rate if self.choice.rate else 0.0

    @property
    def drift(self) -> float:
        """Seconds behind the source."""
        return self.start - self.phrase.start


@dataclass(frozen=True, slots=True)
class Track:
    """All that the scheduler remembers of the past of one lane."""

    free: float = 0.0
    rate: float = 1.0
    heard: float = -1e9
    """Source end of the last spoken phrase."""

    def after(self, placed: Placed) -> "Track":
        """The track once a phrase is on it."""
        if not placed.choice.rate:
            return self
        return replace(self, free=placed.start + placed.length + GAP, rate=placed.choice.rate, heard=placed.phrase.end)


@dataclass(frozen=True, slots=True)
class Prices:
    """One unit is 'just clearly noticeable': 3 s of drift, or four seconds of speech at 1.3x."""

    drift: float = 3.0
    rate: float = 0.3
    ceiling: float = 1.3
    excess: float = 10.0
    smooth: float = 0.25
    smooth_step: float = 0.1
    linked: float = 1.5
    """Rates of two phrases are compared when the pause between them is shorter than this."""
    shorter: float = 1.5
    drop: float = 30.0
    cap: float = 10.0
    """Drift beyond which a phrase is not worth speaking."""

    def of_drift(self, lag: Array | float) -> Array:
        """Price of starting late."""
        return np.square(np.asarray(lag, float) / self.drift)

    def of_rate(self, rate: Array | float) -> Array:
        """Price of four seconds at a rate."""
        over = np.asarray(rate, float) - 1.0
        return np.square(over / self.rate) + self.excess * np.maximum(0.0, np.asarray(rate) - self.ceiling) / self.rate

    def of_change(self, step: Array | float) -> Array:
        """Price of a change of rate between neighbours."""
        return self.smooth * np.square(np.asarray(step, float) / self.smooth_step)

    def links(self, heard: float, start: float) -> bool:
        """Whether a listener compares a phrase with the one before."""
        return start - heard < self.linked


PRICES = Prices()

Policy = Callable[[Sequence[Phrase], float, Track, float], Choice]
"""(known phrases, lag of the first, track, expected start of the next unknown one) -> what to do with the first."""


class Planner:
    """Exact on its grid for every action it knows: rate, wording, drop. `tail` prices the lag left to the unknown."""

    def __init__(
        self,
        prices: Prices = PRICES,
        tail: Sequence[float] = (),
        *,
        rates: Sequence[float] = RATES,
        step: float = 0.25,
        reach: float = 12.0,
        reluctance: float = RELUCTANCE,
    ) -> None:
        self.prices, self.step, self.reluctance = prices, step, reluctance
        self.rates: Array = np.asarray(rates, float)
        self.lags: Array = np.arange(0.0, reach + step / 2, step)
        self.tail: Array = np.asarray(tail, float) if len(tail) == len(self.lags) else np.zeros_like(self.lags)
        self._rate_price = prices.of_rate(self.rates)
        self._change_price = prices.of_change(self.rates[:, None] - self.rates[None, :])
        self._rows = np.arange(len(self.rates))[None, :, None]

    def __call__(self, known: Sequence[Phrase], lag: float, track: Track, next_start: float) -> Choice:
        """What to do with the first of the known phrases."""
        value = self._value_after_first(known, next_start)
        return self.best(known[0], lag, track, value, _onset(known, 0, next_start))

    def step_back(self, value: Array, phrase: Phrase, onset: float, heard: float) -> Array:
        """Cost-to-go by [rate of the phrase before, lag] when `phrase` is due; `heard` is the source end before it."""
        drift = np.where(self.lags > self.prices.cap, np.inf, self.prices.of_drift(self.lags))
        spoken = self._spoken(value, phrase, self.lags, onset).min(axis=0) + drift
        if self.prices.links(heard, phrase.start):
            spoken = (spoken[None] + self._change_price[:, :, None]).min(axis=1)
        else:
            spoken = np.repeat(spoken.min(axis=0)[None], len(self.rates), axis=0)
        dropped = self.prices.drop + self._look_up(value, np.maximum(0.0, self.lags - onset)[None, None])[0]
        return np.asarray(np.minimum(spoken, dropped))

    def best(self, phrase: Phrase, lag: float, track: Track, value: Array, onset: float) -> Choice:
        """The cheapest action for a phrase that is due, `lag` seconds late."""
        costs = self._spoken(value, phrase, np.array([lag]), onset)[:, :, 0] + self.prices.of_drift(lag)
        if self.prices.links(track.heard, phrase.start):
            costs = costs + self.prices.of_change(self.rates - track.rate)
        wording, rate = np.unravel_index(int(np.argmin(costs)), costs.shape)
        nearest = int(np.argmin(np.abs(self.rates - track.rate)))
        dropped = self.prices.drop + self._look_up(value, np.full((1, 1, 1), max(0.0, lag - onset)))[0, nearest, 0]
        reluctance = self.reluctance if len(phrase.speech) > 1 else 0.0
        if lag > self.prices.cap or dropped + reluctance < costs[wording, rate]:
            return DROP
        return Choice(float(self.rates[rate]), int(wording))

    def learn(self, onsets: Sequence[float], speech: Sequence[Sequence[float]], sweeps: int = 40) -> None:
        """Average-cost value iteration over past phrases: `tail` becomes the price of a lag given the usual future.

        `onsets`: seconds from each phrase to the next; `speech`: its wordings at 1.0x, equally many for each.
        """
        onset, spoken = np.asarray(onsets, float)[:, None], np.asarray(speech, float)
        extra = self.prices.shorter * (np.arange(spoken.shape[1]) > 0)
        fixed = spoken[:, :, None] / 4 * self._rate_price + extra[:, None]
        taken = spoken[:, :, None] / self.rates + GAP - onset[:, :, None]
        late = self.lags > self.prices.cap
        tail = np.zeros_like(self.lags)
        for _ in range(sweeps):
            best = self.prices.drop + self._line(tail, np.maximum(0.0, self.lags - onset))
            for wording in range(spoken.shape[1]):
                for rate in range(len(self.rates)):
                    lag = np.maximum(0.0, self.lags + taken[:, wording, rate, None])
                    cost = fixed[:, wording, rate, None] + self._line(tail, lag)
                    best = np.minimum(best, np.where(late, np.inf, cost))
            tail = best.mean(axis=0) + np.where(late, 0.0, self.prices.of_drift(self.lags))
            tail = tail - tail[0]
        self.tail = tail

    def _value_after_first(self, known: Sequence[Phrase], next_start: float) -> Array:
        value = np.repeat(self.tail[None], len(self.rates), axis=0)
        for i in range(len(known) - 1, 0, -1):
            value = self.step_back(value, known[i], _onset(known, i, next_start), known[i - 1].end)
        return value

    def _spoken(self, value: Array, phrase: Phrase, lags: Array, onset: float) -> Array:
        speech = np.asarray(phrase.speech, float)[:, None]
        lag = np.maximum(0.0, lags + (speech / self.rates + GAP - onset)[:, :, None])
        price = speech / 4 * self._rate_price + self.prices.shorter * (np.arange(len(speech)) > 0)[:, None]
        return np.asarray(self._look_up(value, lag) + price[:, :, None])

    def _look_up(self, value: Array, lag: Array) -> Array:
        """value[rate](lag), linear on the grid; `lag` is [anything, rate, lag]."""
        at = np.minimum(lag / self.step, len(self.lags) - 1.0)
        low = np.minimum(at.astype(np.intp), len(self.lags) - 2)
        share = at - low
        inside = value[self._rows, low] * (1 - share) + value[self._rows, low + 1] * share
        return np.asarray(inside + BEYOND * np.maximum(0.0, lag - self.lags[-1]))

    def _line(self, values: Array, lag: Array) -> Array:
        return np.asarray(np.interp(lag, self.lags, values) + BEYOND * np.maximum(0.0, lag - self.lags[-1]))


@dataclass(frozen=True, slots=True)
class Affine:
    """rate = base + gain * lag; the shorter wording when the phrase would end too late, or the lag is already too long.

    The defaults are near those tuned on synthetic hours whose speech is 1.2 times as long as the source.
    """

    base: float = 1.1
    gain: float = 0.06
    limit: float = 1.3
    end_late: float = 1.8
    start_late: float = 3.0

    def __call__(self, known: Sequence[Phrase], lag: float, track: Track, next_start: float) -> Choice:
        """What to do with the first of the known phrases; the others are not looked at."""
        phrase = known[0]
        if lag > PRICES.cap:
            return DROP
        rate = min(self.limit, max(1.0, self.base + self.gain * lag))
        overrun = lag + phrase.speech[0] / rate - (phrase.end - phrase.start)
        short = len(phrase.speech) > 1 and (overrun > self.end_late or lag > self.start_late)
        return Choice(rate, int(short))


def commit(
    waiting: Sequence[Phrase], track: Track, floor: float, horizon: float, policy: Policy, until: float = 0.0
) -> Iterator[Placed]:
    """Place the phrases, in order, that start before `horizon`, none before `floor`; the rest stays a plan.

    Nothing unknown starts before `until`. One choice is made a phrase, over all that are waiting then.
    """
    for i, phrase in enumerate(waiting):
        start = max(phrase.start, track.free, floor)
        if start >= horizon:
            return
        known = waiting[i : i + KNOWN]
        choice = policy(known, start - phrase.start, track, expected_start(known, until))
        placed = Placed(phrase, start, choice)
        track = track.after(placed)
        yield placed


def expected_start(known: Sequence[Phrase], until: float) -> float:
    """Nothing unknown starts before `until`; without news it starts one usual pause after the last known phrase."""
    return max(known[-1].end + PAUSE, until)


def cost(placed: Sequence[Placed], prices: Prices = PRICES) -> float:
    """Annoyance J per phrase: drift, rate, changes of rate, shorter wordings and drops."""
    total, rate, heard = 0.0, 1.0, -1e9
    for clip in placed:
        if not clip.choice.rate:
            total += prices.drop
            continue
        speech = clip.phrase.speech[clip.choice.wording]
        total += float(prices.of_drift(clip.drift)) + speech / 4 * float(prices.of_rate(clip.choice.rate))
        total += prices.shorter * (clip.choice.wording > 0)
        if prices.links(heard, clip.phrase.start):
            total += float(prices.of_change(clip.choice.rate - rate))
        rate, heard = clip.choice.rate, clip.phrase.end
    return total / len(placed)


def _onset(known: Sequence[Phrase], i: int, next_start: float) -> float:
    return (known[i + 1].start if i + 1 < len(known) else next_start) - known[i].start
