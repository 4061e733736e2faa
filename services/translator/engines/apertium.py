"""English to Spanish, Catalan and Galician with Apertium's programs: about a millisecond a sentence.

Apertium and its data are GPL and run as programs. The `apertium` command would start ten of them for each call and does
not answer before end of file, so the stages of a mode file are started once, each with -z: a NUL byte in flushes a NUL
byte out.
Forcada et al., "Apertium: a free/open-source platform for rule-based machine translation" (2011).
"""

import asyncio
import logging
import os
import re
import shlex
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from services.translator.engines import Failed, Options, Pair, Source, Unavailable
from services.translator.engines.shortening import shortened
from shared.messages import Wording

MODES = Path("/usr/share/apertium/modes")
NAMES: dict[Pair, tuple[str, str]] = {
    ("en", "es"): ("eng-spa", "apertium-eng-spa"),
    ("en", "ca"): ("eng-cat", "apertium-eng-cat"),
    ("en", "gl"): ("en-gl", "apertium-en-gl"),
}
"""Mode and Debian package of each pair."""
FEWER = 0.95
"""A shorter wording has at most this share of the characters."""
STARTING = 15.0
"""Seconds that programs may take to load their data and answer for the first time."""
FULL_STOP = "[][\n]"
"""How Apertium's own deformatter marks the end of a text."""

_FORMAT = re.compile(r"([\\\[\]<>{}^$@/*])")
_UNKNOWN = re.compile(r"\*([^\W\d_][\w'-]*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")

logger = logging.getLogger(__name__)


class Apertium:
    """The modes that are installed, each a pipeline that is started when first used."""

    name = "Apertium"
    glossaries = False

    def __init__(self, options: Options | None = None, *, modes: Path = MODES, timeout: float = 3.0) -> None:
        self.pairs: tuple[Pair, ...] = ()
        self._modes = modes
        self._timeout = timeout
        self._pipelines: dict[str, Pipeline] = {}

    async def start(self) -> None:
        """Find the installed modes."""
        found = {pair: self._modes / f"{mode}.mode" for pair, (mode, _) in NAMES.items()}
        self.pairs = tuple(pair for pair, file in found.items() if file.is_file())
        if not self.pairs:
            packages = " ".join(["apertium", *(package for _, package in NAMES.values())])
            raise Unavailable(f"no Apertium mode in {self._modes}: apt-get install --no-install-recommends {packages}")
        self._pipelines = {target: Pipeline(found[spoken, target], self._timeout) for spoken, target in self.pairs}

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        """One wording, and a second where the sentence can be said with less."""
        if target not in self._pipelines:
            package = next((package for (_, to), (_, package) in NAMES.items() if to == target), "")
            raise Failed(
                f"no Apertium mode to {target}" + (f": apt-get install {package}" if package else ""), retryable=False
            )
        return [await self._wordings(source.text, self._pipelines[target]) for source in batch]

    async def stop(self) -> None:
        """End the programs."""
        for pipeline in self._pipelines.values():
            await pipeline.stop()

    async def _wordings(self, text: str, pipeline: "Pipeline") -> list[Wording]:
        best = await _translated(text, pipeline)
        fewer = shortened(text)
        shorter = await _translated(fewer, pipeline) if fewer != text else best
        wordings = [Wording(text=best)]
        if shorter and len(shorter) <= FEWER * len(best):
            wordings.append(Wording(text=shorter, shorter=True))
        return wordings


class Pipeline:
    """The programs of one mode; started anew after a failure, since a late answer would be taken for the next."""

    def __init__(self, mode: Path, timeout: float) -> None:
        self._mode = mode
        self._timeout = timeout
        self._stages: list[Process] = []
        self._lock = asyncio.Lock()

    async def exchange(self, text: str) -> str:
        """What the last program answers to a text without NUL; Failed after two attempts."""
        async with self._lock:
            for last in (False, True):
                try:
                    async with asyncio.timeout(self._timeout if self._stages else STARTING):
                        return await self._ask(text)
                except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                    logger.warning("a translation pipeline is started anew", extra={"mode": self._mode.stem})
                    await self._end()
                    if last:
                        raise Failed(f"Apertium's {self._mode.stem} does not answer", retryable=True) from error
                except BaseException:
                    await self._end()
                    raise
        raise AssertionError

    async def stop(self) -> None:
        """End the programs."""
        async with self._lock:
            await self._end()

    async def _ask(self, text: str) -> str:
        if not self._stages:
            await self._begin()
        to, back = self._stages[0].stdin, self._stages[-1].stdout
        assert to
        assert back
        to.write(text.encode() + b"\0")
        await to.drain()
        return (await back.readuntil(b"\0"))[:-1].decode()

    async def _begin(self) -> None:
        commands = stages(self._mode.read_text())
        source: int = PIPE
        for number, (program, *arguments) in enumerate(commands):
            readable, writable = (PIPE, PIPE) if number == len(commands) - 1 else os.pipe()
            try:
                stage = await asyncio.create_subprocess_exec(program, "-z", *arguments, stdin=source, stdout=writable)
                self._stages.append(stage)
            finally:
                # The programs hold these now; a copy here would keep a broken pipeline from ending.
                for descriptor in (source, writable):
                    if descriptor != PIPE:
                        os.close(descriptor)
                source = readable

    async def _end(self) -> None:
        stages, self._stages = self._stages, []
        for stage in stages:
            if stage.returncode is None:
                stage.kill()
            if stage.stdin:
                stage.stdin.close()
        for stage in stages:
            if stage.stdout:
                await stage.stdout.read()
            await stage.wait()


def stages(mode: str) -> list[list[str]]:
    """The commands of a mode file: `$1` is the generator's flag, `$2`, an option of the tagger, stays empty."""
    line = mode.strip().splitlines()[-1]
    return [shlex.split(stage.replace("$1", "-g").replace("$2", "")) for stage in line.split("|")]


async def _translated(text: str, pipeline: Pipeline) -> str:
    """Words that are known only with a capital (Monday, London) get one: recognised text has none."""
    text = _CONTROL.sub(" ", text).strip()
    if not text:
        return ""
    best = await _marked(text, pipeline)
    for word in dict.fromkeys(_UNKNOWN.findall(best)):
        capital = re.sub(rf"\b{re.escape(word)}\b", word[0].upper() + word[1:], text)
        if capital != text and (other := await _marked(capital, pipeline)).count("*") < best.count("*"):
            text, best = capital, other
    best = re.sub(r"[*#@](?=\w)", "", best)
    best = re.sub(r"\s+", " ", best).strip()
    return best[:1].upper() + best[1:] if text[:1].isupper() else best


async def _marked(text: str, pipeline: Pipeline) -> str:
    """The translation with Apertium's marks: *unknown #ungenerated @untranslated."""
    # The tagger needs a sentence end.
    stop = "" if re.search(r"[.!?;:]$", text) else "."
    answer = await pipeline.exchange(_FORMAT.sub(r"\\\1", text) + stop + FULL_STOP)
    out = answer.replace(FULL_STOP, "").rstrip()
    return re.sub(r"\\(.)", r"\1", out.removesuffix(".") if stop else out)
