"""What tenants use, counted for the operator; no label holds a stream."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest


class Usage:
    """Counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("ingest_requests", "Calls with a valid key.", ["tenant"], registry=self.registry)
        self.starts = Counter(
            "ingest_starts", "Starts: new, joined, or why refused.", ["tenant", "outcome"], registry=self.registry
        )

    def text(self) -> bytes:
        """Returns the counters in the text format of Prometheus."""
        return generate_latest(self.registry)


def router(usage: Usage) -> APIRouter:
    """Returns the page that Prometheus reads."""
    api = APIRouter()

    @api.get("/metrics/usage", include_in_schema=False)
    async def read() -> Response:
        return Response(usage.text(), media_type=CONTENT_TYPE_LATEST)

    return api
