"""What stands behind the page of a video site: foreign code is asked in a process of its own, behind the guard."""

import asyncio
import json
import logging
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from services.downloader.demux import Unusable
from services.downloader.relay import Relay
from services.downloader.trouble import Trouble, classify
from shared import guard

log = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("lookup.py")
KNOWN = ("streamlink", "yt-dlp")
ANSWER = 1 << 20
"""Bytes of the longest answer."""


class Site(BaseModel):
    """A stream that a resolver found."""

    kind: Literal["hls", "file"]
    url: str
    sound: str = ""
    """Its separate sound playlist."""
    headers: dict[str, str] = {}
    title: str = ""
    uploader: str = ""
    language: str = ""

    @property
    def expires(self) -> float | None:
        """Epoch second at which its URL says that it ends."""
        found = re.search(r"\bexpires?(?:=|/|%3D)(\d{10})\b", self.url, re.IGNORECASE)
        return float(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Sites:
    """Asks the resolvers, in order."""

    policy: guard.Policy
    resolvers: Sequence[str] = KNOWN
    cookies: str = ""
    """A file of cookies in Netscape's format."""
    height: int = 720
    generic: bool = False
    """Whether yt-dlp may guess at pages that no extractor knows."""
    limit: float = 30.0
    """Seconds that all of it may take."""

    async def look_up(self, url: str) -> Site:
        """The stream behind a page; raises Unusable with a sentence of the taxonomy."""
        request = {
            "url": url,
            "resolvers": list(self.resolvers),
            "cookies": self.cookies,
            "height": self.height,
            "generic": self.generic,
        }
        async with Relay(self.policy) as relay:
            try:
                async with asyncio.timeout(self.limit):
                    said = await ask({**request, "proxy": relay.url})
            except TimeoutError:
                raise Unusable(Trouble.TIMEOUT) from None
            if "url" in said:
                try:
                    site = Site.model_validate(said)
                    guard.check(site.url, self.policy)
                    return site
                except guard.Refused as error:
                    raise Unusable(str(error)) from error
                except ValidationError as error:
                    raise Unusable(Trouble.NOT_MEDIA) from error
            log.info("no resolver found a stream", extra={"refused": bool(relay.refusal)})
            raise Unusable(relay.refusal or classify(str(said.get("error", ""))))


async def ask(request: Mapping[str, object]) -> dict[str, object]:
    """The program's answer; it is killed when the caller is cancelled."""
    with tempfile.TemporaryDirectory(prefix="dragoman-lookup-") as home:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(PROGRAM)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=home,
            env={"HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "YTDLP_NO_PLUGINS": "1"},
            limit=ANSWER,
        )
        try:
            out, _ = await process.communicate(json.dumps(request).encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    try:
        said = json.loads(out)
    except ValueError:
        return {"error": "the resolver failed"}
    return said if isinstance(said, dict) else {}
