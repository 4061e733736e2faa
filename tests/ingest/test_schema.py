"""The OpenAPI document against the API: schemathesis draws requests, good and bad, for every route."""

import hashlib
from pathlib import Path
from typing import Any
from zlib import crc32

import hypothesis
import schemathesis
from fastapi import FastAPI
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.ingest import clips
from services.ingest.clips import Clip, ClipRequest, Clips
from services.ingest.keys import keys
from services.ingest.limits import Rate
from services.ingest.routes import caller
from services.ingest.service import Settings, checked, create
from services.ingest.usage import process_usage
from shared.context import Record
from shared.guard import Policy
from tests.ingest.conftest import MemoryBus

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
SECRET = "a secret of more than sixteen characters"
KEYS = f"ann={hashlib.sha256(b'ann').hexdigest()}"
RUNS = Record(stream="runs", tenant="ann", url="https://example.com/a", languages=("es",), state="running")
OVER = RUNS.model_copy(update={"stream": "over", "url": "https://example.com/b", "state": "failed"})
FOLDER = Path(__file__).parent / "no-such-folder"
ASKED = ClipRequest(url="https://example.com/a.mp4", languages=["es"])
AT_ONCE = hypothesis.settings(
    max_examples=8, database=None, derandomize=True, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)


class Site:
    """The API of one tenant, with a stream that runs, one that is over, and a clip that is done."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        service = create(Settings(keys=KEYS, require_key=True, require_link=False, secret=SECRET, rate=0))
        service.bus = self.bus  # type: ignore[assignment]
        self.app = FastAPI()
        assert service.router
        self.app.include_router(service.router)
        self.clips = Clips(1, lambda clip: ("true",))
        known = caller(keys([KEYS]), Rate(0), process_usage())
        self.app.include_router(clips.router(self.clips, known, checked(Policy.parse(""), ""), 4000))
        for error, handler in service.exception_handlers.items():
            self.app.add_exception_handler(error, handler)

    def renewed(self) -> None:
        """The streams and the clip as they were."""
        self.bus.found.clear()
        self.clips._found = {"clip": Clip("clip", "ann", FOLDER, ASKED, state="done", progress=1.0)}
        for record in (RUNS, OVER):
            self.bus.put(record)


SITE = Site()
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", SITE.app)


@SCHEMA.parametrize()
@AT_ONCE
def test_every_answer_is_documented_and_none_is_a_fault(case: Any) -> None:
    SITE.renewed()
    known = {"stream": "over" if case.path.endswith("/events") else "runs", "link": "over"}
    known |= {"clip": "clip", "name": "clip.mp4"}
    for name, stream in known.items():
        if name in (case.path_parameters or {}) and crc32(str(case.path_parameters[name]).encode()) % 2:
            case.path_parameters[name] = stream
    case.call_and_validate(checks=CHECKS, headers={"Authorization": "Bearer ann"})
