"""Workers forked from a process that has imported all services: a start costs milliseconds in place of a CPU second."""

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

CONTEXT = multiprocessing.get_context("forkserver")


def prepare(modules: Sequence[str]) -> None:
    """Say what is to be imported before the first worker starts; it must start no thread."""
    CONTEXT.set_forkserver_preload(list(modules))


class Forked:
    """A worker, to be handled like a psutil.Popen."""

    def __init__(self, run: Callable[..., None], *arguments: Any, environment: Mapping[str, str], log: Path) -> None:
        self._process = CONTEXT.Process(target=_child, args=(run, arguments, dict(environment), log), daemon=True)
        self._process.start()
        self._seen = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        return int(self._seen.pid)

    @property
    def returncode(self) -> int | None:
        """Minus the signal that ended it, or its exit status; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Raises psutil.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise psutil.TimeoutExpired(timeout or 0.0, self.pid)
        return self._process.exitcode

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seen, name)


def _child(run: Callable[..., None], arguments: Sequence[Any], environment: Mapping[str, str], log: Path) -> None:
    os.environ.update(environment)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    run(*arguments)
