"""What the check of images and Compose concludes from what it saw."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from loadtest import compose
from loadtest.dubbing import Figures
from services import SERVICES
from shared.context import Event
from shared.messages import Clip, Sealed, Translation, Utterance, Wording

TICKS = 90_000


def sealed(number: int, at: float, late: float = 0.0) -> Event:
    """Segment `number` of 2 s, captured by 2 (number + 1), published 12 s and `late` afterwards."""
    start = (10 + 2 * number) * TICKS
    message = Sealed(
        stream="s", until=12.0 + 2 * number, number=number, start=start, duration=2 * TICKS, date=at + 2 * number,
        objects={}, inits={},
    )  # fmt: skip
    return Event(id=str(number), at=at + 2 * number + 14 + late, stage="sender", lane="s", message=message)


def said(name: str, start: float) -> list[Event]:
    common: dict[str, Any] = {"stream": "s", "until": start + 1, "utterance": name, "start": start}
    utterance = Utterance(**common, end=start + 1, text="a", words=(), spoken="en")
    wordings = (Wording(text="b"),)
    translation = Translation(**common, end=start + 1, language="es", speaker=1, gender="f", wordings=wordings)
    clip = Clip(**common, language="es", duration=1.0, rate=1.0, wording=0, voice="v", audio="a")
    return [
        Event(id=f"{stage}{start}", at=start, stage=stage, lane="s", message=message)
        for stage, message in (("speaker", utterance), ("translator", translation), ("place", clip))
    ]


def seen(*events: Event) -> Figures:
    figures = Figures()
    for event in events:
        figures.add(event)
    return figures


def test_a_kill_that_nobody_notices_costs_nothing() -> None:
    figures: dict[str, float] = {}
    events = [*(sealed(number, 1000.0) for number in range(20)), *said("1", 11.0), *said("2", 13.0)]
    compose.judged(seen(*events), [1030.0, 1040.0], figures)
    assert figures["after_kill_max_s"] == 0
    assert (figures["holes"], figures["lost"], figures["doubled"]) == (0, 0, 0)
    assert figures["publication_gap_max_s"] == pytest.approx(2.0)


def test_a_kill_that_delays_segments_is_felt_until_the_last_late_one() -> None:
    figures: dict[str, float] = {}
    events = [sealed(number, 1000.0, late=5.0 if number in (9, 10) else 0.0) for number in range(20)]
    compose.judged(seen(*events), [1030.0], figures)
    assert figures["after_kill_max_s"] == pytest.approx(1000 + 2 * 10 + 14 + 5 - 1030)
    assert figures["delay_sd_s"] == pytest.approx(0, abs=0.01)
    assert figures["delay_sd_with_kills_s"] == pytest.approx(1.5)


def test_an_utterance_that_vanishes_and_a_segment_that_is_missing_are_found() -> None:
    figures: dict[str, float] = {}
    rows = [sealed(number, 1000.0) for number in range(20) if number != 7]
    events = [*rows, *said("1", 11.0), *said("2", 13.0)[:1], *said("3", 15.0), *said("3", 15.0)[2:]]
    compose.judged(seen(*events), [1030.0], figures)
    assert (figures["holes"], figures["lost"], figures["doubled"]) == (1, 1, 1)


def test_what_was_said_before_somebody_listened_is_not_lost() -> None:
    figures: dict[str, float] = {}
    events = [*(sealed(number, 1000.0) for number in range(20)), *said("0", 10.5)[:1], *said("1", 11.0)]
    compose.judged(seen(*events), [1030.0], figures)
    assert figures["lost"] == 0


def good() -> dict[str, float]:
    count = 2.0 * len(SERVICES)
    none = dict.fromkeys(("root", "ways_out", "conformance_errors", "holes", "lost", "doubled"), 0.0)
    return none | {"replicas": count, "healthy": count, "downloaders_out": 2, "replicas_back": len(compose.KILLED)}


def test_a_clean_run_has_no_faults_and_each_fault_is_named() -> None:
    assert compose.faults(good()) == []
    for key in good():
        wrong = good()
        wrong[key] += 1
        assert any(re.match(f"{key} is ", fault) for fault in compose.faults(wrong))
    (fault,) = compose.faults(good() | {"scraped": 3, "scraped_up": 3})
    assert fault.startswith("Prometheus reaches 3 of")


def test_every_service_that_is_killed_is_one_that_runs_and_none_more_often_than_it_has_replicas() -> None:
    assert set(compose.KILLED) <= set(SERVICES)
    assert max(map(compose.KILLED.count, compose.KILLED)) <= 2


def test_without_an_engine_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(compose.Broken, match="install Docker with Compose, or podman"):
        compose.engine()


def test_the_files_that_are_brought_up_exist_and_the_origin_stands_outside_the_mesh() -> None:
    assert all((compose.ROOT / name).is_file() for name in compose.FILES)
    origin = yaml.safe_load((compose.ROOT / compose.FILES[-1]).read_text())["services"]["origin"]
    assert origin["networks"] == ["outside"]
    assert f"port={compose.SOURCE.rpartition(':')[2].partition('/')[0]}" in origin["command"][-1]


def test_variables_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# no\n\nA=1\nB=x=y\n")
    assert compose.variables(tmp_path / "env") == {"A": "1", "B": "x=y"}
