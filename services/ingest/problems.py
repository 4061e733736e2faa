"""Errors as problem documents (RFC 9457) that say what to do next."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

MEDIA_TYPE = "application/problem+json"
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""Of every answer of the API: it is for its caller alone, and never a page."""

Handler = Callable[[Request, Any], Awaitable[Response]]


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str
    """Where in the body (RFC 6901), or the name of a parameter."""
    detail: str


class ProblemDocument(BaseModel):
    """An error, after RFC 9457."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    type: str = "about:blank"
    """Names the kind of problem; it does not change between releases."""
    title: str
    status: int
    detail: str = ""
    """What happened and what to do next."""
    errors: list[Fault] = Field(default=[])


class Problem(HTTPException):
    """A request that cannot be served, with what the caller can do about it."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **more: object):
        super().__init__(status, detail, headers)
        self.kind = kind
        self.more = more


def document(status: int, detail: str, kind: str = "", **more: object) -> dict[str, object]:
    """Returns a problem document; `kind` is a short name such as "pair-not-served"."""
    kind = f"urn:dragoman:problem:{kind}" if kind else "about:blank"
    return {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}


def respond(body: dict[str, object], status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Returns a problem document as a response."""
    return JSONResponse(body, status, {**HEADERS, **(headers or {})}, media_type=MEDIA_TYPE)


async def problem(_: Request, error: Problem) -> Response:
    """Answers with what the endpoint says is wrong."""
    body = document(error.status_code, error.detail, error.kind, **error.more)
    return respond(body, error.status_code, dict(error.headers or {}))


async def invalid(_: Request, error: RequestValidationError) -> Response:
    """Answers a request whose parameters or body do not fit the schema with every fault that it has."""
    faults = [{"pointer": pointer(fault["loc"]), "detail": wording(fault)} for fault in error.errors()]
    named = "; ".join(f"{fault['pointer'] or 'body'}: {fault['detail']}" for fault in faults[:5])
    return respond(document(422, f"Change the request and send it again. {named}.", "invalid", errors=faults), 422)


async def refused(request: Request, error: StarletteHTTPException) -> Response:
    """Answers what the framework itself refuses: unknown paths, wrong methods, unreadable bodies."""
    if error.status_code == 400:
        # What the framework says of bytes that are no text, let alone JSON.
        advice = "Change the request and send it again. The body has to be JSON in UTF-8."
        return respond(document(422, advice, "invalid", errors=[{"pointer": "", "detail": str(error.detail)}]), 422)
    advice = {
        404: f"There is nothing at {request.url.path}. The API is described at /docs.",
        405: f"{request.method} does nothing at {request.url.path}. The API is described at /docs.",
    }.get(error.status_code, str(error.detail))
    return respond(document(error.status_code, advice), error.status_code, dict(error.headers or {}))


async def failed(_: Request, __: Exception) -> Response:
    """Answers a request that met a fault of ours; what it was is in the log."""
    advice = "Something failed on this server. Send the request again; /readyz says whether its Redis answers."
    return respond(document(500, advice, "failed"), 500, {"Retry-After": "5"})


def pointer(location: tuple[int | str, ...]) -> str:
    """Returns a JSON pointer (RFC 6901) for a place in the body, else the parameter's name."""
    where, *path = location
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return "".join(f"/{part}" for part in parts) if where == "body" else ".".join(map(str, path))


def wording(fault: dict[str, Any]) -> str:
    """Returns what is wrong with a field, in words for the person who wrote it."""
    match fault["type"]:
        case "value_error":
            return str(fault["ctx"]["error"])
        case "json_invalid":
            return f"this is not JSON ({fault['ctx']['error']})"
        case "extra_forbidden":
            return "there is no such field; /docs lists them"
        case "missing":
            return "this field is needed"
    text = str(fault["msg"])
    return text[:1].lower() + text[1:]


handlers: dict[type[Exception], Handler] = {
    Problem: problem,
    RequestValidationError: invalid,
    StarletteHTTPException: refused,
    Exception: failed,
}
"""What an application registers so that every error of it is a problem document."""


def install(app: FastAPI) -> None:
    """Makes every error of an application a problem document."""
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)
