"""Apertium's programs, and how its mode files are read."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.translator.engines import Failed, Source, Unavailable
from services.translator.engines.apertium import MODES, Apertium, stages

installed = pytest.mark.skipif(
    not (MODES / "eng-spa.mode").is_file(), reason="the Debian package apertium-eng-spa is not installed"
)


@pytest.fixture
async def apertium() -> AsyncIterator[Apertium]:
    engine = Apertium()
    await engine.start()
    yield engine
    await engine.stop()


@installed
async def test_sentences_come_out_one_by_one_and_in_order(apertium: Apertium) -> None:
    texts = ["the stock market fell on monday in london", "I am tired.", "", "She said 5^2 [is] $25 * 3/4 {x} @ <b>\\"]
    wordings = await apertium.translate([Source(text, "en") for text in texts], "es")
    monday, tired, nothing, odd = [best[0].text for best in wordings]
    assert monday.endswith("el lunes en Londres")
    assert "cansado" in tired
    assert nothing == ""
    assert "5^2" in odd
    assert "* 3/4 {X} @ <b>\\" in odd


@installed
async def test_a_sentence_with_fillers_has_a_shorter_wording(apertium: Apertium) -> None:
    [[best, shorter]] = await apertium.translate([Source("Well, you know, the train is late, my friends.", "en")], "es")
    assert shorter.shorter
    assert len(shorter.text) < len(best.text)


@installed
async def test_a_language_without_a_mode_fails_for_good(apertium: Apertium) -> None:
    with pytest.raises(Failed) as failure:
        await apertium.translate([Source("hello", "en")], "de")
    assert not failure.value.retryable


async def test_without_a_mode_the_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"apt-get install .* apertium-eng-spa"):
        await Apertium(modes=tmp_path).start()


def scripted_mode(folder: Path, program: str) -> Path:
    """A mode of two programs of which the second is a shell script."""
    script = folder / "stage"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (folder / "eng-spa.mode").write_text(f"{script} $1 'a b' | {script}\n")
    return folder


async def test_programs_that_die_are_started_anew_once_and_then_reported(tmp_path: Path) -> None:
    engine = Apertium(modes=scripted_mode(tmp_path, f"echo started >> {tmp_path}/log; exit 0"))
    await engine.start()
    with pytest.raises(Failed) as failure:
        await engine.translate([Source("hello", "en")], "es")
    assert failure.value.retryable
    await engine.stop()


async def test_an_answer_is_that_of_the_last_program(tmp_path: Path) -> None:
    engine = Apertium(modes=scripted_mode(tmp_path, "exec cat"))
    await engine.start()
    assert (await engine.translate([Source("hello", "en")], "es"))[0][0].text == "hello"
    await engine.stop()


def test_a_mode_file_is_read_with_its_quotes_and_options() -> None:
    assert stages("lt-proc 'a b.bin' | tagger -g $2 'c' | lt-proc $1 d\n") == [
        ["lt-proc", "a b.bin"],
        ["tagger", "-g", "c"],
        ["lt-proc", "-g", "d"],
    ]
