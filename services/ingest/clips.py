"""Clips: a video is uploaded or named, and comes back dubbed behind a link.

Each clip has a mesh of its own, a program that is started for it (`python -m services clip`), so that it neither
disturbs the live streams nor waits for them. The link is 128 random bits and needs no key. Clips belong to the process
that took them, and are gone with it: behind several replicas of ingest, send a caller to the one that answered.
"""

import asyncio
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as Part
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, ValidationError

from services.ingest.bodies import MOST_LANGUAGES, Body, Language
from services.ingest.door import Guard, url_refused
from services.ingest.problems import HEADERS, Problem
from services.ingest.routes import LIMITED, REFUSED, documented

State = Literal["waiting", "running", "done", "failed"]

KEPT = 24 * 3600.0
"""Seconds for which a finished clip can be fetched."""
LONGEST = 2 * 3600.0
"""Seconds that one clip may take."""
WAITING = 8
"""Clips that may wait for their turn."""
JSON_LIMIT = 1 << 16
"""Bytes of the largest request that names a clip."""
NAME = re.compile(r"clip\.(mp4|[A-Za-z-]{2,35}\.(srt|vtt))")
PROGRESS = re.compile(r"(dubbing|drawing) (\d+) %")
MEDIA = (
    b"\x1aE\xdf\xa3",
    b"RIFF",
    b"OggS",
    b"FLV",
    b"G",
    b"\x00\x00\x01\xba",
    b"fLaC",
    b"ID3",
    b"\xff\xfb",
    b"\xff\xf1",
)
"""How files begin that may hold sound and pictures; MP4 says so in its fifth to eighth byte."""


class ClipWish(Body):
    """How somebody wants a clip."""

    languages: list[Language] = Field(min_length=1, max_length=MOST_LANGUAGES, examples=[["es"]])
    """Languages to dub into, BCP 47."""
    source_language: Language = "en"
    """Language that is spoken, BCP 47."""
    burn: Language | None = None
    """Language of subtitles on the picture; none are drawn without it."""


class ClipRequest(ClipWish):
    """A clip that is fetched."""

    url: str = Field(min_length=1, max_length=2048, examples=["https://example.com/talk.mp4"])
    """Where the clip is, by http or https."""


class ClipView(BaseModel):
    """A clip, and what became of it."""

    id: str
    state: State
    progress: float
    """0 to 1."""
    reason: str
    """Why it failed."""
    files: dict[str, str]
    """Name to path on this server, once it is done."""


@dataclass
class Clip:
    """A clip that is being dubbed, or has been."""

    id: str
    tenant: str
    folder: Path
    asked: ClipWish
    state: State = "waiting"
    progress: float = 0.0
    reason: str = ""
    ended: float = 0.0
    """By the monotonic clock."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def source(self) -> str:
        """Where it is fetched from, or the file that was uploaded."""
        return self.asked.url if isinstance(self.asked, ClipRequest) else str(self.folder / "source")

    def view(self) -> ClipView:
        """The clip as its owner sees it."""
        names = sorted(path.name for path in self.folder.glob("clip.*")) if self.state == "done" else []
        files = {name: f"/v1/clips/{self.id}/{name}" for name in names if NAME.fullmatch(name)}
        return ClipView(id=self.id, state=self.state, progress=self.progress, reason=self.reason, files=files)


Command = Callable[[Clip], Sequence[str]]


def program(clip: Clip) -> list[str]:
    """The program that dubs a clip."""
    asked = clip.asked
    burn = ["--burn", asked.burn] if asked.burn else []
    target = str(clip.folder / "clip.mp4")
    languages = ["--to", ",".join(asked.languages), "--from", asked.source_language]
    return [sys.executable, "-m", "services", "clip", *languages, *burn, "--", clip.source, target]


KINDS = {"mp4": "video/mp4", "srt": "application/x-subrip", "vtt": "text/vtt; charset=utf-8"}
BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": ClipRequest.model_json_schema()},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
        },
    }
}
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in KINDS.values()},
    },
    **documented(404, 422, 500),
}


class Clips:
    """The clips of one process; `at_once` of them are dubbed at the same time."""

    def __init__(self, at_once: int, command: Command | None = None) -> None:
        self._turns, self._command = asyncio.Semaphore(at_once), command or program
        self._found: dict[str, Clip] = {}
        self.root: Path | None = None

    async def prepare(self, asked: ClipWish, tenant: str) -> Clip:
        """A place for a clip; raises Problem when too many wait."""
        await self._sweep()
        if sum(clip.state == "waiting" for clip in self._found.values()) >= WAITING:
            advice = f"{WAITING} clips wait already. Send this again in some minutes."
            raise Problem(429, "clips-waiting", advice, {"Retry-After": "120"})
        self.root = self.root or Path(tempfile.mkdtemp(prefix="dragoman-clips-"))
        name = secrets.token_hex(16)
        clip = Clip(name, tenant, self.root / name, asked)
        clip.folder.mkdir()
        # Uploads that are under way count too, or they would fill the disk together.
        self._found[name] = clip
        return clip

    def begin(self, clip: Clip) -> None:
        """Dub it when its turn comes."""
        clip.task = asyncio.create_task(self._dub(clip))

    def find(self, name: str) -> Clip:
        """The clip of this name; raises Problem."""
        if name not in self._found:
            raise Problem(404, "no-such-clip", "There is no such clip, or no longer: they are kept for a day.")
        return self._found[name]

    async def forget(self, clip: Clip) -> None:
        """End it, and remove its files."""
        if clip.task:
            clip.task.cancel()
            await asyncio.gather(clip.task, return_exceptions=True)
        self._found.pop(clip.id, None)
        await asyncio.to_thread(shutil.rmtree, clip.folder, True)

    async def stop(self) -> None:
        """End all clips, and remove their files."""
        for clip in list(self._found.values()):
            await self.forget(clip)
        if self.root:
            await asyncio.to_thread(shutil.rmtree, self.root, True)

    async def _sweep(self) -> None:
        now = time.monotonic()
        for clip in [clip for clip in self._found.values() if clip.ended and now - clip.ended > KEPT]:
            await self.forget(clip)

    async def _dub(self, clip: Clip) -> None:
        async with self._turns:
            clip.state = "running"
            try:
                async with asyncio.timeout(LONGEST):
                    clip.reason = await self._run(clip)
            except TimeoutError:
                clip.reason = "It took too long."
            clip.state = "failed" if clip.reason else "done"
            clip.progress = clip.progress if clip.reason else 1.0
            clip.ended = time.monotonic()
            (clip.folder / "source").unlink(missing_ok=True)

    async def _run(self, clip: Clip) -> str:
        """Run the program; why it failed, empty when it did not."""
        process = await asyncio.create_subprocess_exec(
            *self._command(clip),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        said = ""
        drawn = 0.7 if clip.asked.burn else 1.0
        try:
            assert process.stderr is not None
            async for line in process.stderr:
                text = line.decode(errors="replace").strip()
                if found := PROGRESS.match(text):
                    share = int(found[2]) / 100
                    clip.progress = share * drawn if found[1] == "dubbing" else drawn + share * (1 - drawn)
                elif text:
                    said = text
            return (said or "It failed without a word.") if await process.wait() else ""
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and what it started; it is given time to clear up."""
    if process.returncode is None:
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def receive(body: AsyncIterator[bytes], target: Path, most: int) -> None:
    """Write an upload; raises Problem for more than `most` bytes, for what is no media, and for a full disk."""
    size = 0
    with target.open("wb") as file:
        async for block in body:
            if size == 0 and block and not _media(block):
                advice = "Send a video file as the body (MP4, Matroska, WebM, MPEG-TS, AVI), or JSON with its url."
                raise Problem(422, "not-media", advice)
            size += len(block)
            if size > most:
                raise Problem(413, "too-large", f"A clip may have {most} bytes. Send a shorter one, or its URL.")
            try:
                await asyncio.to_thread(file.write, block)
            except OSError as error:
                advice = "There is no room for this clip now. Send it again later."
                raise Problem(507, "no-room", advice) from error
    if size == 0:
        raise Problem(422, "not-media", "The body is empty. Send a video file, or JSON with its url.")


def _media(start: bytes) -> bool:
    return start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free") or start.startswith(MEDIA)


def router(clips: Clips, caller: Callable[..., Awaitable[str]], guard: Guard, most: int) -> APIRouter:
    """The routes; `caller` finds the tenant of a request, `most` is the most bytes of an upload."""
    made = APIRouter(prefix="/v1/clips", tags=["clips"])
    Tenant = Annotated[str, Depends(caller)]
    Name = Annotated[str, Part(max_length=64, examples=["0f9c2a5d71be4c6d8f1e2a3b4c5d6e7f"])]

    def owned(clip: Name, tenant: Tenant) -> Clip:
        found = clips.find(clip)
        return found if found.tenant == tenant else clips.find("")

    Owned = Annotated[Clip, Depends(owned)]
    named = APIRouter(route_class=LIMITED, responses=documented(*REFUSED, 404, 422))

    @made.post("", status_code=202, responses=documented(*REFUSED, 413, 422, 507), openapi_extra=BODIES)
    async def dub_clip(
        request: Request,
        response: Response,
        tenant: Tenant,
        to: Annotated[str, Query(max_length=256, description="Of an upload: languages with commas.")] = "es",
        spoken: Annotated[str, Query(alias="from", max_length=35, description="Of an upload: what is spoken.")] = "en",
        burn: Annotated[str, Query(max_length=35, description="Of an upload: language of drawn subtitles.")] = "",
    ) -> ClipView:
        """Dubs a clip: the body is a video file, or JSON that says where the clip is."""
        response.headers.update(HEADERS)
        asked: ClipWish
        if request.headers.get("content-type", "").startswith("application/json"):
            asked = _asked(await _small(request), guard)
        else:
            asked = _checked(languages=to.split(","), source_language=spoken, burn=burn or None)
        clip = await clips.prepare(asked, tenant)
        try:
            if not isinstance(asked, ClipRequest):
                await receive(request.stream(), clip.folder / "source", most)
        except BaseException:
            await clips.forget(clip)
            raise
        clips.begin(clip)
        return clip.view()

    @named.get("/{clip}")
    async def show_clip(clip: Owned) -> ClipView:
        """Shows how far a clip is, why it failed, and where its files are."""
        return clip.view()

    @named.delete("/{clip}", status_code=204)
    async def forget_clip(clip: Owned) -> None:
        """Ends a clip and removes its files."""
        await clips.forget(clip)

    @made.get("/{clip}/{name}", response_class=FileResponse, responses=FILES)
    async def fetch_file(clip: Name, name: Annotated[str, Part(max_length=64, examples=["clip.mp4"])]) -> FileResponse:
        """Fetches a file of a clip; the link alone opens it."""
        found = clips.find(clip)
        if found.state != "done" or not NAME.fullmatch(name) or not (found.folder / name).is_file():
            raise Problem(404, "no-such-file", "This clip has no such file, or not yet.")
        kind = KINDS[name.rpartition(".")[2]]
        return FileResponse(found.folder / name, media_type=kind, filename=name, headers=HEADERS)

    made.include_router(named)
    return made


async def _small(request: Request) -> bytes:
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > JSON_LIMIT:
            raise Problem(413, "too-large", f"Send at most {JSON_LIMIT} bytes of JSON.")
    return body


def _asked(body: bytes, guard: Guard) -> ClipRequest:
    """What a JSON body asks for. Raises Problem, RequestValidationError."""
    try:
        asked = ClipRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]) from error
    try:
        if not asked.url.startswith(("http://", "https://")):
            raise ValueError("A clip is fetched by http or https, or sent as the body.")
        guard(asked.url)
    except ValueError as error:
        raise url_refused(str(error)) from error
    return asked


def _checked(**fields: object) -> ClipWish:
    """What the parameters of an upload ask for. Raises RequestValidationError."""
    try:
        return ClipWish.model_validate(fields)
    except ValidationError as error:
        parameters = {"languages": "to", "source_language": "from", "burn": "burn"}
        raise RequestValidationError(
            [{**fault, "loc": ("query", parameters[str(fault["loc"][0])])} for fault in error.errors()]
        ) from error
