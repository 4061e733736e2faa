"""Health of a stream, in a word and a sentence."""

import pytest

from services.dashboard.health import bottleneck, health
from shared.status import Stage, Status

RUNNING = Status(stream="s", state="running", contract=12.0, head=112.0, seal=100.0, segments=45, at=1000.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "good"),
        ({"seal": 98.5}, "good"),
        ({"seal": 90.0}, "late"),
        ({"segments": 0}, "starting"),
        ({"at": 900.0}, "silent"),
        ({"state": "ended"}, "ended"),
        ({"state": "failed"}, "failed"),
    ],
)
def test_health_follows_the_contract(changes: dict[str, object], expected: str) -> None:
    assert health(RUNNING.but(**changes), segment=2.0, now=1001.0) == expected


def stages(**until: float) -> dict[str, Stage]:
    return {name: Stage(stage=name, until=value) for name, value in until.items()}


def test_the_first_stage_that_lags_for_itself_is_the_bottleneck() -> None:
    slow = RUNNING.but(stages=stages(asr=110.0, translator=90.0, voice=89.0))
    assert bottleneck(slow) == "translator is the bottleneck: 22 s behind, 20 s of them its own."


def test_stages_within_the_contract_are_no_bottleneck() -> None:
    assert bottleneck(RUNNING.but(stages=stages(asr=110.0, segmenter=104.0, voice=103.0))) is None
