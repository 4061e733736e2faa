"""DeepL's HTTP API: text leaves this machine, and each character is billed.

developers.deepl.com/docs, `POST /v2/translate`. The key is in DEEPL_AUTH_KEY; keys that end in `:fx` belong to
the free plan.
"""

import asyncio
import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import aiohttp

from services.translator.engines import Failed, Pair, Source, Unavailable
from shared.messages import Wording

FREE, PAID = "https://api-free.deepl.com", "https://api.deepl.com"
TARGETS = (
    *("ar", "bg", "cs", "da", "de", "el", "es", "et", "fi", "fr", "hu", "id", "it", "ja", "ko", "lt", "lv", "nb", "nl"),
    *("pl", "pt-BR", "pt-PT", "ro", "ru", "sk", "sl", "sv", "tr", "uk", "zh"),
)
SOURCES = ("en", "de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "uk", "zh")
QUOTA_EXCEEDED = 456
PASSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY, 529)
"""What an attempt later may not answer."""
ATTEMPTS = 2
PAUSE = 0.3
"""Seconds before another attempt; a live stream cannot wait longer."""


class DeepL:
    """One request a sentence, with those before it as context; no shorter wordings, as they would cost again."""

    def __init__(self, key: str | None = None, url: str | None = None, *, timeout: float = 4.0) -> None:
        self.pairs: tuple[Pair, ...] = tuple(
            (source, target) for source in SOURCES for target in TARGETS if not target.startswith(source)
        )
        self._key = os.environ.get("DEEPL_AUTH_KEY", "") if key is None else key
        self._url = url or (FREE if self._key.endswith(":fx") else PAID)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open a session."""
        if not self._key:
            raise Unavailable("DeepL needs a key: set DEEPL_AUTH_KEY")
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"DeepL-Auth-Key {self._key}"},
            timeout=aiohttp.ClientTimeout(total=self._timeout),
        )

    async def stop(self) -> None:
        """Close the session."""
        if self._session:
            await self._session.close()

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        """One wording a sentence."""
        return [[Wording(text=await self._text(source, target))] for source in batch]

    async def _text(self, source: Source, target: str) -> str:
        body: dict[str, Any] = {
            "text": [source.text],
            "source_lang": source.spoken.partition("-")[0].upper(),
            "target_lang": target.upper(),
            "context": " ".join(source.earlier),
            "split_sentences": "0",
            "model_type": "latency_optimized",
        }
        answer = await self._answer(body)
        try:
            text: str = answer["translations"][0]["text"]
        except (KeyError, IndexError, TypeError) as error:
            raise Failed("DeepL answers something else than a translation", retryable=False) from error
        return text

    async def _answer(self, body: dict[str, Any]) -> Any:
        assert self._session
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE)
            try:
                async with self._session.post(f"{self._url}/v2/translate", json=body) as response:
                    if response.status == HTTPStatus.OK:
                        return await response.json()
                    if response.status not in PASSING:
                        raise _refused(response.status)
                    reason = f"DeepL is busy ({response.status})"
            except TimeoutError as error:
                # It may have been billed: another attempt at once could be billed twice.
                raise Failed("DeepL does not answer", retryable=True) from error
            except aiohttp.ClientError:
                reason = "DeepL cannot be reached"
        raise Failed(reason, retryable=True)


def _refused(status: int) -> Failed:
    known = {
        HTTPStatus.FORBIDDEN: "DeepL refuses the key",
        QUOTA_EXCEEDED: "DeepL's quota is used up",
    }
    return Failed(known.get(status, f"DeepL refuses the request ({status})"), retryable=False)
