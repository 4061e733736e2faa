"""The program that runs services."""

import subprocess
import sys


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
