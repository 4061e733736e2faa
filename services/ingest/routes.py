"""What the routes of the API share: who asks, how large a body may be, and which errors are documented."""

import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message as Received

from services.ingest.keys import Key, Keys, bearer
from services.ingest.limits import Rate
from services.ingest.problems import HEADERS, MEDIA_TYPE, Problem, ProblemDocument
from services.ingest.usage import Usage

REFUSED = (401, 403, 429, 500)
"""What every route that asks for a key may answer."""


def caller(keys: Keys | None, rate: Rate, usage: Usage) -> Callable[..., Awaitable[str]]:
    """Returns what finds the tenant of a request by its key and counts the call; without `keys` everybody may call."""

    async def tenant(request: Request, authorization: Annotated[str | None, Header()] = None) -> str:
        key = Key("") if keys is None else keys.find(bearer(authorization))
        if key is None:
            advice = 'Send a header "Authorization: Bearer KEY" with a key that the operator of this server gave you.'
            raise Problem(401, "key-needed", advice, headers={"WWW-Authenticate": "Bearer"})
        if not key.may(request.method):
            advice = "This key may look, not start, change or end anything. Use a key that may write."
            raise Problem(403, "key-only-reads", advice)
        if wait := rate.wait(key.hashed.hex(), time.monotonic()):
            advice = (
                f"This key may ask {rate.a_minute:.0f} times a minute. Ask again in {math.ceil(wait)} s, less often."
            )
            raise Problem(429, "too-many-requests", advice, headers={"Retry-After": str(math.ceil(wait))})
        usage.requests.labels(key.tenant).inc()
        return key.tenant

    return tenant


def limited(most: int) -> type[APIRoute]:
    """Returns a kind of route that reads at most `most` bytes of a request's body."""

    class Limited(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def counted(request: Request) -> Response:
                size = 0

                async def receive() -> Received:
                    nonlocal size
                    message = await request.receive()
                    size += len(message.get("body", b""))
                    if size > most:
                        raise Problem(413, "too-large", f"Send at most {most} bytes: fewer terms, or shorter ones.")
                    return message

                response = await handle(Request(request.scope, receive))
                response.headers.update(HEADERS)
                return response

            return counted

    return Limited


LIMITED = limited(0)
"""Of routes that take no body."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the error answers of an endpoint for the OpenAPI document."""
    schema = {"schema": ProblemDocument.model_json_schema()}
    return {status: {"description": "Problem", "content": {MEDIA_TYPE: schema}} for status in statuses}
