"""The program that runs services."""

import subprocess
import sys

from services import SERVICES
from services.__main__ import YIELDING, niceness


def test_a_redis_that_does_not_answer_is_one_line_that_says_what_to_look_at() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "services", "segmenter"],
        env={"REDIS_URL": "redis://:hush@127.0.0.1:1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "REDIS_URL" in run.stderr
    assert "hush" not in run.stderr


def test_all_yield_to_those_who_keep_the_streams_in_time() -> None:
    assert niceness(["speaker"]) == niceness(["asr", "tts"]) == YIELDING > 0
    assert niceness(["sender"]) == niceness(["asr", "downloader"]) == niceness(SERVICES) == 0
    assert niceness(["dashboard"]) == YIELDING
