"""The audit of dependencies: what it asks, what it says, and what it does without a network."""

import json
import subprocess
from typing import Any

import pytest

from deploy import audit

CLEAN = {"name": "redis", "version": "8.1.0", "vulns": []}
BAD = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}
UNKNOWN = {"name": "torch", "skip_reason": "not found"}


def answers(monkeypatch: pytest.MonkeyPatch, *outputs: str) -> list[list[str]]:
    """Lets pip-audit answer with these texts, one a call."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, outputs[len(asked) - 1], "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_pins_lose_comments_and_local_versions() -> None:
    assert audit.requirements("# all\ntorch==2.13.0+cpu\n\nredis==8.1.0  # x\n") == "torch==2.13.0\nredis==8.1.0\n"


def test_a_vulnerability_fails_the_check_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, report(CLEAN, BAD))
    assert audit.main([]) == 1
    assert "old 1.0: PYSEC-1, mended in 1.1" in capsys.readouterr().out


def test_without_a_service_the_check_says_that_nothing_was_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, "no route to host", report(UNKNOWN))
    assert audit.main([]) == 0
    assert "NOT DONE" in capsys.readouterr().out
    answers(monkeypatch, "", "")
    assert audit.main(["--strict"]) == 2


def test_the_second_service_is_asked_where_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "", report(CLEAN, UNKNOWN))
    assert audit.main([]) == 0
    assert ["pypi" in asked[0], "osv" in asked[1]] == [True, True]
