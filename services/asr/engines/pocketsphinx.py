"""English by pocketsphinx 5 (BSD; acoustic and language model are in its wheel), in a pool of worker programs."""

import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Timer

from services.asr.engines import EngineOptions, Hypothesis, Word
from shared.audio import Pcm, to_bytes

if find_spec("pocketsphinx") is None:
    raise ModuleNotFoundError("pocketsphinx is not installed", name="pocketsphinx")

PROGRAM = Path(__file__).with_name("pocketsphinx_program.py")
PATIENCE = 60.0
"""Seconds for one phrase; it takes about one on an idle core."""

log = logging.getLogger(__name__)


class WorkerLost(RuntimeError):
    """The worker died or was killed because it hung; the next call starts another one."""


class Worker:
    """One decoder in its own process; it ends with its pipe, a phrase after this process at the latest."""

    def __init__(self, command: list[str], patience: float) -> None:
        self._command, self._patience = command, patience
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the program unless it runs, and wait until its model is loaded."""
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._answer(self._process)
        return self._process

    def ask(self, samples: bytes) -> list[tuple[str, float, float]]:
        """Decode s16 PCM; WorkerLost when no answer comes."""
        process = self.start()
        assert process.stdin is not None
        try:
            process.stdin.write(len(samples).to_bytes(8, "big") + samples)
            process.stdin.flush()
        except BrokenPipeError as broken:
            self.stop()
            raise WorkerLost("pocketsphinx died") from broken
        return self._answer(process)

    def stop(self) -> None:
        """End the process and reap it."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()

    def _answer(self, process: "subprocess.Popen[bytes]") -> list[tuple[str, float, float]]:
        assert process.stdout is not None
        alarm = Timer(self._patience, process.kill)
        alarm.daemon = True
        alarm.start()
        line = process.stdout.readline()
        alarm.cancel()
        if not line.endswith(b"\n"):
            log.warning("a recogniser process was lost", extra={"pid": process.pid})
            self.stop()
            raise WorkerLost("pocketsphinx died or hung")
        return [(text, start, end) for text, start, end in json.loads(line)]


class Pocketsphinx:
    """Any worker takes any phrase of any stream."""

    spoken: tuple[str, ...] = ("en",)

    def __init__(self, workers: int, command: list[str] | None = None, patience: float = PATIENCE) -> None:
        # Without -P this folder would stand first in the path, and this module before the library of its name.
        command = command or [sys.executable, "-P", str(PROGRAM)]
        self.parallel = workers
        self._workers = [Worker(command, patience) for _ in range(workers)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def transcribe(self, pcm: Pcm, *, language: str | None, prompt: str = "", terms: Sequence[str] = ()) -> Hypothesis:
        """Decode a phrase (16 kHz); language, prompt and terms are no choice here. WorkerLost after two attempts."""
        worker, samples = self._idle.get(), to_bytes(pcm)
        try:
            found = worker.ask(samples)
        except WorkerLost:
            # Once more in a new process: a stray kill costs a second, not a turn.
            found = worker.ask(samples)
        finally:
            self._idle.put(worker)
        return Hypothesis([Word(text, start, end) for text, start, end in found])

    def languages(self, pcm: Pcm) -> Mapping[str, float]:
        """It cannot tell: everything sounds English to it."""
        return {}

    def load(self) -> None:
        """Start the processes."""
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.stop()


def build(options: EngineOptions) -> Pocketsphinx:
    """A pool of the size that is set."""
    return Pocketsphinx(options.workers)
