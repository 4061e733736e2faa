"""DeepL by its own client (MIT): text leaves this machine, and each character is billed.

developers.deepl.com/docs. The key is in DEEPL_AUTH_KEY; keys that end in `:fx` belong to the free plan.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import deepl
from deepl import http_client

from services.translator.engines import Failed, Options, Pair, Source, Unavailable
from shared.messages import Wording

TARGETS = (
    *("ar", "bg", "cs", "da", "de", "el", "es", "et", "fi", "fr", "hu", "id", "it", "ja", "ko", "lt", "lv", "nb", "nl"),
    *("pl", "pt-BR", "pt-PT", "ro", "ru", "sk", "sl", "sv", "tr", "uk", "zh"),
)
SOURCES = ("en", "de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "uk", "zh")
FORMAL = ("de", "es", "fr", "it", "ja", "nl", "pl", "pt-BR", "pt-PT", "ru")
"""Targets that tell formal from informal."""
RETRIES = 1
LONGEST = 12.0
"""Seconds that an answer may take: it is paid for, and serves the next attempt when it is too late for this one."""
PAUSE = 0.3
"""Seconds before another attempt; a live stream cannot wait longer."""
BUSY, GONE, SPENT = 3.0, 10.0, 600.0
"""Seconds for which it is not asked again: when busy, when it does not answer, when key or quota refuse."""

Answer = TypeVar("Answer")


class DeepL:
    """One request a sentence, with those before it as context; no shorter wordings, as they would cost again."""

    name = "DeepL"
    glossaries = True

    def __init__(
        self,
        options: Options | None = None,
        *,
        key: str | None = None,
        url: str | None = None,
        timeout: float = LONGEST,
    ) -> None:
        self.pairs: tuple[Pair, ...] = tuple(
            (source, target) for source in SOURCES for target in TARGETS if not target.startswith(source)
        )
        self._key = os.environ.get("DEEPL_AUTH_KEY", "") if key is None else key
        self._url, self._timeout = url, timeout
        self._formality = (options or Options()).formality
        self._client: deepl.DeepLClient | None = None
        self._glossaries: dict[str, deepl.GlossaryInfo | None] = {}
        self._filling = asyncio.Lock()

    async def start(self) -> None:
        """Make a client; it opens connections when it is asked."""
        if not self._key:
            raise Unavailable("DeepL needs a key: set DEEPL_AUTH_KEY")
        # The library would also repeat what has timed out, which may be billed already, and wait for up to two minutes.
        http_client.max_network_retries = 0
        http_client.min_connection_timeout = self._timeout
        self._client = deepl.DeepLClient(self._key, server_url=self._url, send_platform_info=False)

    async def stop(self) -> None:
        """Close the connections."""
        if self._client:
            self._client.close()  # type: ignore[no-untyped-call]

    async def translate(self, batch: Sequence[Source], target: str) -> list[list[Wording]]:
        """One wording a sentence."""
        return [[Wording(text=await self._text(source, target))] for source in batch]

    async def _text(self, source: Source, target: str) -> str:
        assert self._client
        client, spoken = self._client, source.spoken.partition("-")[0].upper()
        glossary = await self._glossary(source, spoken, target)
        result = await self._asked(
            lambda: client.translate_text(
                source.text,
                source_lang=spoken,
                target_lang=target.upper(),
                context=" ".join(source.earlier) or None,
                split_sentences=deepl.SplitSentences.OFF,
                formality=self._formality if target in FORMAL else None,
                glossary=glossary,
                model_type="latency_optimized",
            )
        )
        if not isinstance(result, deepl.TextResult):
            raise Failed("DeepL answers something else than a translation", retryable=False)
        return result.text

    async def _glossary(self, source: Source, spoken: str, target: str) -> deepl.GlossaryInfo | None:
        """DeepL's copy of the stream's terms, named by its content so that every replica and restart shares it."""
        terms = entries(source, target)
        if not terms:
            return None
        assert self._client
        client, to = self._client, target.partition("-")[0].upper()
        told = repr((spoken, to, sorted(terms.items())))
        name = f"dragoman-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        async with self._filling:
            if name not in self._glossaries:
                try:
                    known = await self._asked(client.list_glossaries)
                    self._glossaries |= {each.name: each for each in known if each.name.startswith("dragoman-")}
                    if name not in self._glossaries:
                        made = await self._asked(lambda: client.create_glossary(name, spoken, to, terms))
                        self._glossaries[name] = made
                except Failed as failure:
                    if failure.retryable or failure.rest:
                        raise
                    # A pair without glossaries: the terms are kept by other means, and checked.
                    self._glossaries[name] = None
        return self._glossaries[name]

    async def _asked(self, call: Callable[[], Answer]) -> Answer:
        """The answer to a call, in a thread, tried again where DeepL was only busy."""
        attempts = RETRIES
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    return await asyncio.to_thread(call)
            except TimeoutError as error:
                raise Failed("DeepL does not answer", retryable=True, rest=GONE) from error
            except deepl.DeepLException as error:
                failure = failed(error)
                if not attempts or failure.rest != BUSY:
                    raise failure from error
            except (ValueError, KeyError, TypeError) as error:
                raise Failed("DeepL answers something else than a translation", retryable=False) from error
            attempts -= 1
            await asyncio.sleep(PAUSE)


def entries(source: Source, target: str) -> dict[str, str]:
    """The stream's terms as DeepL wants them."""
    found = {}
    for term in source.glossary:
        wanted = term.translations.get(target) or term.translations.get(target.partition("-")[0])
        if translation := term.term if term.keep else wanted:
            found[term.term.strip()] = translation.strip()
    return {term: translation for term, translation in found.items() if term and translation}


def failed(error: deepl.DeepLException) -> Failed:
    """What an error of the client means for a live stream."""
    match error:
        case deepl.QuotaExceededException():
            return Failed("DeepL's quota is used up", retryable=False, rest=SPENT)
        case deepl.AuthorizationException():
            return Failed("DeepL refuses the key", retryable=False, rest=SPENT)
        case deepl.ConnectionException():
            return Failed("DeepL does not answer", retryable=True, rest=GONE)
    status = error.http_status_code or 0
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Failed(f"DeepL is busy ({status})", retryable=True, rest=BUSY)
    return Failed(f"DeepL refuses the request ({status})", retryable=False)
