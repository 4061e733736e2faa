"""The table in place of ears."""

import json
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from services.asr.engines import EngineOptions
from services.asr.engines.scripted import DEFAULT, Scripted, build

FEW = settings(max_examples=30, deadline=None)


@FEW
@given(st.lists(st.floats(10, 100), min_size=1, max_size=8))
def test_words_do_not_depend_on_how_time_is_cut(times: list[float]) -> None:
    script = Scripted(DEFAULT)
    places = [0.0, *sorted(times), 120.0]
    cut = [word for start, end in pairwise(places) for word in script.words(start, end)]
    assert cut == script.words(0.0, 120.0)


def test_a_table_with_a_period_starts_over() -> None:
    script = Scripted(DEFAULT)
    once, again = script.words(10.0, 22.0), script.words(22.0, 34.0)
    assert [word.text for word in once] == [word.text for word in again]
    assert again[0].start == once[0].start + 12.0


@FEW
@given(st.floats(0, 60))
def test_no_word_that_is_still_to_come_starts_before_the_begun_one(until: float) -> None:
    script = Scripted(DEFAULT)
    assert all(word.start >= script.begun(until) for word in script.words(until, until + 30))


def test_a_table_is_json_or_a_file_of_it(tmp_path: Path) -> None:
    text = json.dumps([{"text": "one two", "start": 1.0, "end": 2.0}])
    (tmp_path / "table.json").write_text(text)
    for script in (text, str(tmp_path / "table.json")):
        assert [word.text for word in build(EngineOptions(script=script)).words(0.0, 9.0)] == ["one", "two"]
