"""Engines in order, the glossary around them, answers kept."""

from collections.abc import Sequence

import pytest

from services.translator.cache import Cache
from services.translator.engines import Failed, Source, Unavailable, load
from services.translator.engines.scripted import Scripted, undone
from services.translator.interpreter import Interpreter
from shared.context import Term
from shared.messages import Wording


class Counting(Scripted):
    """Counts what it is asked and fails when told to."""

    def __init__(self, failure: Failed | None = None, *, loses_names: bool = False) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.failure = failure
        self.loses_names = loses_names

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        self.asked += [source.text for source in batch]
        if self.failure:
            raise self.failure
        if self.loses_names:
            return [[Wording(text="nada")] for _ in batch]
        return await super().translate(batch, target)


def said(text: str, *glossary: Term) -> Source:
    return Source(text, "en", glossary=glossary)


async def test_the_same_sentence_is_asked_once() -> None:
    engine = Counting()
    interpreter = Interpreter([engine])
    first = await interpreter.interpret(said("good evening"), "es")
    assert first == await interpreter.interpret(said("good evening"), "es")
    assert len(engine.asked) == 1


async def test_where_an_engine_fails_the_next_takes_over() -> None:
    interpreter = Interpreter([Counting(Failed("quota", retryable=False)), Scripted()])
    assert (await interpreter.interpret(said("hello"), "es")).wordings[0].text == "hello~es"


@pytest.mark.parametrize("retryable", [True, False])
async def test_where_all_fail_the_failure_says_whether_to_try_again(retryable: bool) -> None:
    interpreter = Interpreter([Counting(Failed("busy", retryable=retryable))])
    with pytest.raises(Failed, match="busy") as failure:
        await interpreter.interpret(said("hello"), "es")
    assert failure.value.retryable == retryable


async def test_a_region_is_served_by_its_language() -> None:
    found = await Interpreter([Scripted()]).interpret(said("hello"), "es-MX")
    assert found.wordings[0].text == "hello~es"


async def test_a_language_that_nobody_translates_is_not_retried() -> None:
    with pytest.raises(Failed, match="no engine translates en to xx") as failure:
        await Interpreter([Scripted()]).interpret(said("hello"), "xx")
    assert not failure.value.retryable


async def test_terms_are_translated_as_the_glossary_says_in_every_wording() -> None:
    term = Term(term="good evening", translations={"es": "muy buenas"})
    wordings, notes = await Interpreter([Scripted()]).interpret(said("Good evening to one and all", term), "es")
    assert notes == ()
    assert [wording.text.split("~")[0] for wording in wordings] == ["muy buenas", "muy buenas"]


async def test_an_engine_that_loses_a_term_is_asked_plainly_and_reported() -> None:
    engine = Counting(loses_names=True)
    wordings, notes = await Interpreter([engine]).interpret(said("Dragoman", Term(term="Dragoman", keep=True)), "es")
    assert (wordings[0].text, engine.asked[1]) == ("nada", "Dragoman")
    assert notes == ("the glossary is not obeyed in es: Dragoman",)


async def test_a_term_that_an_engine_left_as_it_was_is_put_right() -> None:
    class Careless(Scripted):
        async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
            return [[Wording(text=source.text.lower().replace("zqxbb", "nada"))] for source in batch]

    term = Term(term="bus", translations={"es": "autobús"})
    assert await Interpreter([Careless()]).interpret(said("Take the bus", term), "es") == (
        (Wording(text="take the autobús"),),
        (),
    )


async def test_the_next_engine_is_told_with_the_reason() -> None:
    broken = Counting(Failed("the quota is used up", retryable=False))
    _, notes = await Interpreter([broken, Scripted()]).interpret(said("hello"), "es")
    assert notes == ("the quota is used up: scripted translates instead",)


async def test_an_engine_that_needs_rest_is_left_alone_for_so_long() -> None:
    now, tired = [0.0], Counting(Failed("busy", retryable=True, rest=5.0))
    interpreter = Interpreter([tired, Scripted()], clock=lambda: now[0])
    tired.name = "tired"
    for at in (0.0, 1.0, 4.9, 5.1):
        now[0] = at
        await interpreter.interpret(said(f"sentence {at}"), "es")
    assert tired.asked == ["sentence 0.0", "sentence 5.1"]


@pytest.mark.parametrize(("retryable", "asked"), [(True, 2), (False, 1)])
async def test_an_engine_without_another_is_asked_again_unless_it_refused_for_good(retryable: bool, asked: int) -> None:
    tired = Counting(Failed("busy", retryable=retryable, rest=5.0))
    interpreter = Interpreter([tired], clock=lambda: 0.0)
    for _ in range(2):
        with pytest.raises(Failed, match="busy"):
            await interpreter.interpret(said("hello"), "es")
    assert len(tired.asked) == asked


async def test_a_pseudo_translation_can_be_undone() -> None:
    text = "Every word, in its place: 42."
    [wordings] = await Scripted().translate([said(text)], "es")
    assert undone(wordings[0].text, "es") == text
    assert wordings[1].shorter
    assert len(wordings[1].text) < len(wordings[0].text)


def test_an_unknown_engine_is_told_with_those_there_are() -> None:
    with pytest.raises(Unavailable, match="apertium"):
        load("nobody")


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    cache: Cache[int] = Cache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
