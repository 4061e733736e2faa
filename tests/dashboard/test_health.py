"""Health of a stream, in a word and a sentence."""

import pytest

from services.dashboard.health import bottleneck, health, warnings
from shared.status import Dub, Stage, Status

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
    return {name: Stage(stage=name, until=value, at=1000.0) for name, value in until.items()}


def test_the_first_stage_that_lags_for_itself_is_the_bottleneck() -> None:
    slow = RUNNING.but(stages=stages(asr=110.0, translator=90.0, voice=89.0))
    assert bottleneck(slow) == "translator is the bottleneck: 22 s behind, 20 s of them its own."


def test_stages_within_the_contract_are_no_bottleneck() -> None:
    assert bottleneck(RUNNING.but(stages=stages(asr=110.0, segmenter=104.0, voice=103.0))) is None


def test_a_lane_that_nobody_listens_to_is_no_bottleneck() -> None:
    lanes = stages(asr=110.0) | {"voice~ca": Stage(stage="voice", language="ca", until=20.0, at=900.0)}
    assert bottleneck(RUNNING.but(stages=lanes)) is None


def test_a_stage_that_says_nothing_is_named() -> None:
    everyone = stages(downloader=112.0, asr=110.0, segmenter=109.0, speaker=108.0, translator=107.0, sender=100.0)
    assert warnings(RUNNING.but(stages=everyone)) == []
    dead = everyone | {"asr": Stage(stage="asr", until=50.0, at=960.0)}
    del dead["speaker"]
    assert warnings(RUNNING.but(stages=dead)) == [
        "asr has said nothing for 40 s. Is a replica running?",
        "No speaker has taken this stream. Is one running?",
    ]
    assert warnings(RUNNING.but(stages=dead, state="ended")) == []


def test_a_language_that_loses_sentences_is_named() -> None:
    everyone = stages(downloader=112.0, asr=110.0, segmenter=109.0, speaker=108.0, translator=107.0, sender=100.0)
    few, many = Dub(language="es", voiced=100, late=3), Dub(language="ca", voiced=10, late=4, failed=6)
    assert warnings(RUNNING.but(stages=everyone, dubs={"es": few, "ca": many})) == [
        "ca: 4 of 20 sentences came too late. A longer delay would save them.",
        "ca: 6 of 20 sentences failed. The log of translator and voice says why.",
    ]
