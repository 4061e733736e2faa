"""HTTP in, StreamStarted and StreamStopped out: who may start a stream, and whether it is already running."""

import logging
import re
import time
from pathlib import PurePosixPath

from fastapi import APIRouter
from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.ingest import api, clips, problems, viewers
from services.ingest.chronicle import Chronicler
from services.ingest.door import Door, Guard
from services.ingest.keys import keys
from services.ingest.limits import Quota, Rate
from services.ingest.routes import caller
from services.ingest.steward import Steward, Work
from services.ingest.streams import PUSHED
from services.ingest.usage import process_usage
from shared import guard
from shared.bus import Service
from shared.links import Gate, Links, loopback
from shared.store import open_store

log = logging.getLogger(__name__)


class Settings(BaseSettings):
    """Of the API."""

    model_config = SettingsConfigDict(
        env_prefix="INGEST_", use_attribute_docstrings=True, populate_by_name=True, hide_input_in_errors=True
    )

    keys: str = ""
    """API keys: `tenant=hash` with commas between, each hash the SHA-256 of a key in hexadecimal; `tenant:read=hash`
    for a key that may look and change nothing."""
    require_key: bool | None = None
    """Whether calls need a key; unset: only where the server is reached from other machines (see HOST)."""
    host: str = Field(default="127.0.0.1", validation_alias="HOST")
    """Address of the HTTP port."""
    body_limit: int = 1 << 20
    """Bytes of the largest request body."""
    rate: float = Field(default=600.0, ge=0)
    """Requests a minute that a key may make in each process; 0: any number."""
    quota_streams: int = Field(default=0, ge=0)
    """Streams that a tenant may have at a time; 0: any number."""
    quota_languages: int = Field(default=0, ge=0)
    """Languages that a tenant may have at a time, over all its streams; 0: any number."""
    clips: int = Field(default=0, ge=0)
    """Clips that are dubbed at a time by POST /v1/clips, each with a mesh of its own; 0: none are taken."""
    clip_limit: int = 512 << 20
    """Bytes of the largest clip that is uploaded."""
    store: str = Field(default="memory://", validation_alias=AliasChoices("INGEST_STORE", "SENDER_STORE"))
    """Where the transcripts of long streams are kept, the same place as the sender's."""
    quota_minutes: int = Field(default=0, ge=0)
    """Minutes of streams that a tenant may have within 24 hours; then those that run are ended. 0: any number."""
    secret: str = Field(default="", validation_alias="PLAYBACK_SECRET", repr=False)
    """What signs playback links, the same as the sender's."""
    require_link: bool | None = Field(default=None, validation_alias="SENDER_REQUIRE_LINK")
    """Whether playback needs a signed link, the same as the sender's."""
    behind: float = Field(default=1.5, ge=0)
    """New streams are refused while a stage is this many delays behind the head of a running live stream; 0: never."""
    allow: str = Field(default="", validation_alias=AliasChoices("INGEST_ALLOW", "DOWNLOADER_ALLOW"))
    """Inner addresses that streams may be fetched from: exact `host:port` pairs with commas."""
    files: str = Field(default="", validation_alias=AliasChoices("INGEST_FILES", "DOWNLOADER_FILES"))
    """The downloader's folder of files: `file:NAME` is refused where it is empty."""

    @property
    def closed(self) -> bool:
        """Whether calls need a key."""
        return not loopback(self.host) if self.require_key is None else self.require_key

    @property
    def gate(self) -> Gate:
        """Who may play, as the sender has it."""
        closed = not loopback(self.host) if self.require_link is None else self.require_link
        return Gate(Links.parse(self.secret), closed, time.time)

    @model_validator(mode="after")
    def _known_keys(self) -> "Settings":
        keys(filter(None, self.keys.split(",")))
        Links.parse(self.secret)
        return self


PUSHED_NAME = re.compile(r"(rtmp|srt|whip):[A-Za-z0-9_-]{1,64}")


def checked(policy: guard.Policy, files: str) -> Guard:
    """Returns a check of what may be asked for: a public URL, `rtmp:`, `srt:`, `whip:NAME`, `file:NAME`."""

    def check(url: str) -> None:
        if url.startswith(PUSHED):
            if not PUSHED_NAME.fullmatch(url):
                raise ValueError("A published stream is named by up to 64 letters, digits, - and _, as in rtmp:studio.")
            return
        if not url.startswith("file:"):
            guard.check(url, policy)
            return
        if not files:
            raise ValueError("Files are switched off here.")
        name = PurePosixPath(url.removeprefix("file:"))
        if not name.parts or name.is_absolute() or ".." in name.parts or "\\" in url or not url.isprintable():
            raise ValueError("A file is named by its path inside the media folder, as in file:talk.mp4.")

    return check


def create(settings: Settings | None = None) -> Service:
    """Builds the API; it needs no engine and takes no turn."""
    settings = settings or Settings()
    service = Service("ingest")
    quota = Quota(settings.quota_streams, settings.quota_languages, settings.quota_minutes)
    check = checked(guard.Policy.parse(settings.allow), settings.files)
    door = Door(lambda: service.bus, check, time.time, quota, settings.behind)
    known = keys(filter(None, settings.keys.split(",")))
    if settings.closed and not known.known:
        log.warning("API keys are needed and none is set: every call is refused; set INGEST_KEYS")
    opened, usage, gate = known if settings.closed else None, process_usage(), settings.gate
    chronicler = Chronicler(lambda: service.bus, open_store(settings.store))
    work = Work(Steward(door, lambda: service.bus, usage, time.time, chronicler))
    service.on_start(work.start)
    service.on_stop(work.stop)
    service.router = APIRouter()
    rate = Rate(settings.rate)
    service.router.include_router(
        api.router(door, lambda: service.bus, opened, settings.body_limit, rate, usage, gate, chronicler)
    )
    service.router.include_router(viewers.router(lambda: service.bus, gate))
    if settings.clips:
        dubbed = clips.Clips(settings.clips)
        service.on_stop(dubbed.stop)
        service.router.include_router(clips.router(dubbed, caller(opened, rate, usage), check, settings.clip_limit))
    service.exception_handlers = dict(problems.handlers)
    return service
