"""What a lane remembers has a bound, however long it runs and however late it gets."""

from services.tts.service import PlaceState
from shared.messages import Speech, Take


def placed(state: PlaceState, number: int, needed: float) -> int:
    """Bytes of the state after one more phrase that comes and goes."""
    start = 6.0 * number
    takes = tuple(Take(wording=each, text="x", duration=5.0 - each, audio="s/x") for each in range(2))
    speech = Speech(
        stream="s",
        until=start + 5,
        language="es",
        utterance=str(number),
        start=start,
        end=start + 5,
        speaker=0,
        voice="v",
        takes=takes,
    )
    state.lane.take_in(speech)
    state.lane.waiting.clear()
    state.need.add(needed)
    state.losses.add(start, "late" if number % 9 == 0 else None)
    return len(state.model_dump_json())


def test_the_state_of_place_grows_to_some_kilobytes_and_no_further() -> None:
    state = PlaceState()
    sizes = [placed(state, number, 12.0 + number % 20) for number in range(900)]
    assert max(sizes) < 6000
    assert max(sizes[600:]) <= max(sizes[300:600]) + 100


def test_a_stall_of_hours_makes_it_no_larger() -> None:
    state = PlaceState()
    assert max(placed(state, number, 36_000.0) for number in range(20)) < 3000
