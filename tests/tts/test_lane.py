import numpy as np
import pytest

from loadtest.traces import hour
from services.tts.lane import Lane
from services.tts.placement import Planner
from services.tts.priors import FULL, SHORTER
from shared.messages import Speech, Take


def speech(number: int, start: float, end: float, *durations: float) -> Speech:
    takes = tuple(
        Take(wording=index, text="x", duration=duration, audio=f"s/{number}")
        for index, duration in enumerate(durations)
    )
    return Speech(
        stream="s",
        until=end,
        language="es",
        utterance=str(number),
        start=start,
        end=end,
        speaker=0,
        voice="v",
        takes=takes,
    )


def fed(count: int) -> Lane:
    lane = Lane()
    for number, phrase in enumerate(hour("base", 5, seconds=2000)[:count]):
        lane.take_in(speech(number, phrase.start, phrase.end, *phrase.speech))
        lane.waiting.clear()
    return lane


def test_phrases_wait_in_the_order_of_their_start() -> None:
    lane = Lane()
    for number, start in enumerate((10.0, 14.0, 12.0, 14.0)):
        lane.take_in(speech(number, start, start + 1, 1.0))
    assert [waiting.utterance for waiting in lane.waiting] == ["0", "2", "1", "3"]


def test_the_price_of_a_lag_is_that_of_the_wordings_there_are() -> None:
    lane = Lane()
    lane.take_in(speech(0, 10.0, 12.0, 2.0))
    assert lane.prior() == FULL
    lane.take_in(speech(1, 13.0, 15.0, 2.0, 1.6))
    assert lane.prior() == SHORTER


def test_a_lane_learns_from_its_own_past_every_ten_minutes() -> None:
    lane = fed(200)
    assert lane.lesson() is None
    lane.clock = lane.clock.model_copy(update={"floor": 700.0})
    lesson = lane.lesson()
    assert lesson is not None
    phrases = hour("base", 5, seconds=2000)[:200]
    assert lesson[0] == pytest.approx(np.diff([phrase.start for phrase in phrases]), abs=0.02)
    assert lesson[1] == pytest.approx(np.array([phrase.speech for phrase in phrases[:-1]]), abs=0.01)
    assert lane.lesson() is None
    planner = Planner()
    planner.learn(*lesson, sweeps=5)
    assert planner.tail[8] > planner.tail[4] > 0


def test_a_short_past_teaches_nothing() -> None:
    lane = fed(50)
    lane.clock = lane.clock.model_copy(update={"floor": 700.0})
    assert lane.lesson() is None
