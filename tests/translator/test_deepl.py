"""DeepL's API against a server that is small enough to read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.translator.engines import Failed, Source, Unavailable
from services.translator.engines.deepl import DeepL
from services.translator.engines.scripted import Scripted
from services.translator.interpreter import Interpreter
from shared.context import Term


class FakeDeepL:
    """Reverses each word but made-up names; `faults` are answered first."""

    def __init__(self) -> None:
        self.faults: list[int] = []
        self.delay = 0.0
        self.requests: list[dict[str, Any]] = []
        self.billed = 0

    async def translate(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        await asyncio.sleep(self.delay)
        if request.headers["Authorization"] != "DeepL-Auth-Key key":
            return web.json_response({}, status=403)
        if self.faults:
            return web.json_response({"message": "as asked for"}, status=self.faults.pop(0))
        self.billed += sum(map(len, body["text"]))
        texts = [" ".join(w if w.startswith("Zqx") else w[::-1] for w in text.split()) for text in body["text"]]
        return web.json_response({"translations": [{"text": text} for text in texts]})


@pytest.fixture
async def server() -> AsyncIterator[tuple[FakeDeepL, str]]:
    fake = FakeDeepL()
    application = web.Application()
    application.router.add_post("/v2/translate", fake.translate)
    async with TestServer(application) as running:
        yield fake, str(running.make_url("/")).rstrip("/")


async def asked(url: str, source: Source, *, key: str = "key", timeout: float = 4.0) -> str:
    engine = DeepL(key, url, timeout=timeout)
    await engine.start()
    try:
        return (await engine.translate([source], "de"))[0][0].text
    finally:
        await engine.stop()


async def test_the_sentences_before_go_along_as_context(server: tuple[FakeDeepL, str]) -> None:
    fake, url = server
    assert await asked(url, Source("hello", "en-GB", ("One.", "Two."))) == "olleh"
    [request] = fake.requests
    assert (request["context"], request["source_lang"], request["target_lang"]) == ("One. Two.", "EN", "DE")


@pytest.mark.parametrize("fault", [429, 503])
async def test_a_busy_moment_is_waited_for(server: tuple[FakeDeepL, str], fault: int) -> None:
    fake, url = server
    fake.faults = [fault]
    assert await asked(url, Source("hello", "en")) == "olleh"


@pytest.mark.parametrize(("fault", "retryable"), [(429, True), (503, True), (456, False), (400, False)])
async def test_a_failure_says_whether_to_try_again(server: tuple[FakeDeepL, str], fault: int, retryable: bool) -> None:
    fake, url = server
    fake.faults = [fault] * 9
    with pytest.raises(Failed) as failure:
        await asked(url, Source("hello", "en"))
    assert failure.value.retryable == retryable


async def test_a_wrong_key_is_not_tried_again(server: tuple[FakeDeepL, str]) -> None:
    fake, url = server
    with pytest.raises(Failed, match="key"):
        await asked(url, Source("hello", "en"), key="wrong")
    assert len(fake.requests) == 1


async def test_a_late_answer_is_not_asked_for_twice(server: tuple[FakeDeepL, str]) -> None:
    fake, url = server
    fake.delay = 0.5
    with pytest.raises(Failed, match="does not answer"):
        await asked(url, Source("hello", "en"), timeout=0.1)
    assert len(fake.requests) == 1


async def test_without_a_key_it_is_told_where_to_put_one() -> None:
    with pytest.raises(Unavailable, match="DEEPL_AUTH_KEY"):
        await DeepL("").start()


async def test_a_used_up_quota_hands_over_and_nothing_is_billed_twice(server: tuple[FakeDeepL, str]) -> None:
    fake, url = server
    interpreter = Interpreter([DeepL("key", url), Scripted()])
    await interpreter.start()
    term = Source("say Dragoman", "en", glossary=(Term(term="Dragoman", keep=True),))
    assert [(await interpreter.interpret(term, "de"))[0].text for _ in range(3)] == ["yas Dragoman"] * 3
    billed = fake.billed
    fake.faults = [456] * 9
    assert (await interpreter.interpret(Source("hello", "en"), "de"))[0].text == "hello~de"
    assert fake.billed == billed
    assert len(fake.requests) == 2
    await interpreter.stop()
