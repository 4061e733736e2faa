"""What tenants use, counted for the operator; no label holds a stream."""

from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class Usage:
    """Counters and gauges of one process; gauges say the same in every replica of ingest."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter("ingest_requests", "Calls with a valid key.", ["tenant"], registry=registry)
        self.starts = Counter(
            "ingest_starts", "Starts: new, joined, or why refused.", ["tenant", "outcome"], registry=registry
        )
        self.links = Counter("ingest_links", "Playback links made.", ["tenant"], registry=registry)
        self.streams = Gauge("ingest_streams", "Streams that run.", ["tenant"], registry=registry)
        self.languages = Gauge("ingest_languages", "Languages of streams that run.", ["tenant"], registry=registry)
        self.minutes = Gauge("ingest_minutes", "Minutes of streams within a day.", ["tenant"], registry=registry)

    def holds(self, tenant: str, *, streams: int, languages: int, minutes: float) -> None:
        """Notes what a tenant has now."""
        self.streams.labels(tenant).set(streams)
        self.languages.labels(tenant).set(languages)
        self.minutes.labels(tenant).set(round(minutes, 2))


@cache
def process_usage() -> Usage:
    """The usage that /metrics of this process shows."""
    return Usage(REGISTRY)
