"""Minutes of a misbehaving source on a virtual clock."""

import asyncio
from pathlib import Path

import pytest

from loadtest import endless
from loadtest.broadcast import tone
from loadtest.hostile import SCRIPT, WHOLE, withheld


def test_a_source_that_misbehaves_for_minutes_loses_what_it_withholds_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(endless, "CACHE", Path(tmp_path_factory.mktemp("coded")))
    monkeypatch.setattr(endless, "tone", lambda: tone(8))
    found = endless.measure(endless.hours(SCRIPT, WHOLE, WHOLE), WHOLE, withheld)
    assert found["gap_s"] == pytest.approx(found["withheld_s"], abs=0.01)
    assert found["withheld_s"] > 10
    assert found["backwards"] == found["head_backwards"] == 0
    assert found["clock_error_ms"] < 1
    assert abs(found["sound_behind_s"]) < 0.1
    assert found["segments"] + found["gap_s"] / 2 >= 87


def test_time_on_the_virtual_clock_passes_by_itself() -> None:
    async def wait() -> float:
        await asyncio.sleep(3600)
        return await asyncio.to_thread(asyncio.get_running_loop().time)

    loop = endless.Loop()
    assert loop.run_until_complete(wait()) == pytest.approx(3600)
    loop.close()
