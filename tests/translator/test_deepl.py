"""DeepL's official client against a server that is small enough to read."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.translator.engines import Failed, Options, Source, Unavailable
from services.translator.engines.deepl import DeepL
from services.translator.engines.scripted import Scripted
from services.translator.interpreter import Interpreter
from shared.context import Term
from tests.translator.fake_deepl import FakeDeepL, running

DRAGOMAN = Term(term="Dragoman", keep=True)
BUS = Term(term="bus", translations={"de": "Bus"})


@pytest.fixture
async def fake() -> AsyncIterator[FakeDeepL]:
    async with running() as server:
        yield server


def deepl(fake: FakeDeepL, *, key: str = "key", timeout: float = 4.0, formality: str = "default") -> DeepL:
    return DeepL(Options(formality=formality), key=key, url=fake.url, timeout=timeout)


async def asked(engine: DeepL, source: Source, target: str = "de") -> str:
    await engine.start()
    try:
        return (await engine.translate([source], target))[0][0].text
    finally:
        await engine.stop()


async def test_the_sentences_before_go_along_as_context(fake: FakeDeepL) -> None:
    assert await asked(deepl(fake), Source("hello", "en-GB", ("One.", "Two."))) == "olleh"
    [request] = fake.requests
    assert (request["context"], request["source_lang"], request["target_lang"]) == ("One. Two.", "EN", "DE")
    assert request["split_sentences"] == "0"


@pytest.mark.parametrize(("target", "told"), [("de", "prefer_less"), ("da", None)])
async def test_formality_is_told_where_the_language_has_it(fake: FakeDeepL, target: str, told: str | None) -> None:
    await asked(deepl(fake, formality="prefer_less"), Source("hello", "en"), target)
    assert fake.requests[0].get("formality") == told


@pytest.mark.parametrize("fault", [429, 503])
async def test_a_busy_moment_is_waited_for(fake: FakeDeepL, fault: int) -> None:
    fake.faults = [fault]
    assert await asked(deepl(fake), Source("hello", "en")) == "olleh"
    assert len(fake.requests) == 2


@pytest.mark.parametrize(
    ("fault", "retryable", "requests"), [(429, True, 2), (503, True, 2), (456, False, 1), (400, False, 1)]
)
async def test_a_failure_says_whether_to_try_again(fake: FakeDeepL, fault: int, retryable: bool, requests: int) -> None:
    fake.faults = [fault] * 9
    with pytest.raises(Failed) as failure:
        await asked(deepl(fake), Source("hello", "en"))
    assert failure.value.retryable == retryable
    assert len(fake.requests) == requests


async def test_a_wrong_key_is_told(fake: FakeDeepL) -> None:
    with pytest.raises(Failed, match="key") as failure:
        await asked(deepl(fake, key="wrong"), Source("hello", "en"))
    assert not failure.value.retryable


async def test_a_late_answer_is_not_asked_for_twice_as_it_may_be_billed(fake: FakeDeepL) -> None:
    fake.delay = 0.5
    with pytest.raises(Failed, match="does not answer") as failure:
        await asked(deepl(fake, timeout=0.1), Source("hello", "en"))
    assert failure.value.retryable
    assert len(fake.requests) == 1


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(Failed, match="does not answer"):
        await asked(DeepL(key="key", url="http://127.0.0.1:9"), Source("hello", "en"))


async def test_without_a_key_it_is_told_where_to_put_one() -> None:
    with pytest.raises(Unavailable, match="DEEPL_AUTH_KEY"):
        await DeepL(key="").start()


async def test_a_glossary_is_filled_once_and_shared_by_its_content(fake: FakeDeepL) -> None:
    source = Source("the bus to Dragoman", "en", glossary=(DRAGOMAN, BUS))
    for _ in range(2):
        assert await asked(deepl(fake), source) == "eht Bus ot Dragoman"
    assert len(fake.glossaries) == 1
    assert [request["glossary_id"] for request in fake.requests] == ["fake-1", "fake-1"]


@pytest.mark.parametrize("way", ["refuses_glossaries", "ignores_glossaries"])
async def test_terms_are_kept_where_its_glossary_does_not_keep_them(fake: FakeDeepL, way: str) -> None:
    setattr(fake, way, True)
    interpreter = Interpreter([deepl(fake)])
    await interpreter.start()
    wordings, notes = await interpreter.interpret(Source("take the bus", "en", glossary=(BUS,)), "de")
    assert (wordings[0].text, notes) == ("ekat eht Bus", ())
    await interpreter.stop()


async def test_a_used_up_quota_hands_over_at_once_and_nothing_is_billed_twice(fake: FakeDeepL) -> None:
    interpreter = Interpreter([deepl(fake), Scripted()])
    await interpreter.start()
    term = Source("say Dragoman", "en", glossary=(DRAGOMAN,))
    assert [(await interpreter.interpret(term, "de")).wordings[0].text for _ in range(3)] == ["yas Dragoman"] * 3
    billed = fake.billed
    assert billed == len("say Dragoman")
    fake.faults = [456] * 9
    for text in ("hello", "goodbye"):
        assert (await interpreter.interpret(Source(text, "en"), "de")).wordings[0].text == f"{text}~de"
    assert fake.billed == billed
    assert len(fake.requests) == 2
    await interpreter.stop()


async def test_lanes_that_ask_at_once_share_one_glossary(fake: FakeDeepL) -> None:
    engine = deepl(fake)
    await engine.start()
    sources = [Source(f"bus {number}", "en", glossary=(BUS,)) for number in range(4)]
    found = await asyncio.gather(*(engine.translate([source], "de") for source in sources))
    assert [wordings[0][0].text for wordings in found] == [f"Bus {number}" for number in range(4)]
    assert len(fake.glossaries) == 1
    await engine.stop()
