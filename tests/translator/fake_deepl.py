"""DeepL's HTTP API, small enough to read: what of it the official client uses here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


class FakeDeepL:
    """Reverses each word but those of the glossary and made-up names; `faults` are answered first."""

    def __init__(self) -> None:
        self.url = ""
        self.faults: list[int] = []
        self.delay = 0.0
        self.requests: list[dict[str, Any]] = []
        self.glossaries: dict[str, dict[str, Any]] = {}
        self.refuses_glossaries = False
        self.ignores_glossaries = False
        self.billed = 0
        self._numbers = count(1)

    def application(self) -> web.Application:
        """What answers."""
        application = web.Application(middlewares=[self._judge])
        application.router.add_post("/v2/translate", self._translate)
        application.router.add_post("/v2/glossaries", self._fill)
        application.router.add_get("/v2/glossaries", self._list)
        return application

    @web.middleware
    async def _judge(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers["Authorization"] != "DeepL-Auth-Key key":
            return web.json_response({}, status=403)
        if request.path == "/v2/translate":
            self.requests.append(await request.json())
            await asyncio.sleep(self.delay)
            if self.faults:
                return web.json_response({"message": "as asked for"}, status=self.faults.pop(0))
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _translate(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.billed += sum(map(len, body["text"]))
        found = {} if self.ignores_glossaries else self.glossaries.get(body.get("glossary_id", ""), {})
        terms = found.get("terms", {})
        texts = [
            " ".join(terms.get(w) or (w if w.startswith("Zqx") else w[::-1]) for w in text.split())
            for text in body["text"]
        ]
        return web.json_response({"translations": [{"text": text, "billed_characters": 0} for text in texts]})

    async def _fill(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.refuses_glossaries:
            return web.json_response({"message": "no glossaries for this pair"}, status=400)
        terms = dict(line.split("\t") for line in body["entries"].splitlines())
        made = {
            "glossary_id": f"fake-{next(self._numbers)}",
            "ready": True,
            "name": body["name"],
            "source_lang": body["source_lang"],
            "target_lang": body["target_lang"],
            "creation_time": "2026-01-01T00:00:00.000Z",
            "entry_count": len(terms),
        }
        self.glossaries[made["glossary_id"]] = {"made": made, "terms": terms}
        return web.json_response(made, status=201)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"glossaries": [each["made"] for each in self.glossaries.values()]})


@asynccontextmanager
async def running() -> AsyncIterator[FakeDeepL]:
    """A fake that serves in this loop: the client blocks threads of its own alone."""
    fake = FakeDeepL()
    async with TestServer(fake.application()) as server:
        fake.url = str(server.make_url("/")).rstrip("/")
        yield fake
