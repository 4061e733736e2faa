"""What the dashboard remembers of a stream."""

from services.dashboard.history import KEPT, Follower
from shared.context import Event
from shared.messages import Head


def told(number: int, at: float) -> Event:
    head = Head(stream="s", until=float(number), head=float(number))
    return Event(id=f"{number}-0", at=at, stage="downloader", lane="s", message=head)


def test_a_sample_is_taken_each_second_of_the_events_own_clock() -> None:
    follower = Follower("s")
    for number in range(41):
        follower.push(told(number, 1000 + number / 4))
    gaps = {
        round(later.at - sooner.at, 3)
        for sooner, later in zip(follower.samples, list(follower.samples)[1:], strict=False)
    }
    assert gaps == {1.0}
    assert follower.status.head == 40.0


def test_old_samples_are_forgotten() -> None:
    follower = Follower("s")
    for number in range(KEPT + 20):
        follower.push(told(number, 1000.0 + 2 * number))
    assert len(follower.samples) == KEPT
