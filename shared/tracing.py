"""A trace per utterance across the stages, for an OpenTelemetry collector; off unless an address is given.

The trace is found by its name alone: every stage derives the same id from stream and utterance, so no message carries
one. It begins where the utterance is made, in the segmenter.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from time import time
from typing import TYPE_CHECKING

from shared.bus.stage import Stage, Trace
from shared.bus.turn import Turn
from shared.messages import Message

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter


def start(address: str, stages: Iterable[Stage]) -> "TracerProvider":
    """Send the turns of these stages to a collector; shut the provider down when they have stopped."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise RuntimeError("TRACE needs the extra: pip install 'dragoman[tracing]'") from error
    return export(OTLPSpanExporter(address), stages)


def export(exporter: "SpanExporter", stages: Iterable[Stage]) -> "TracerProvider":
    """Send the turns of these stages to an exporter, in batches and off their way."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource({"service.name": "dragoman"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    for stage in stages:
        stage.trace = spans(provider)
    return provider


def spans(provider: "TracerProvider") -> Trace:
    """A span for each utterance that a turn had in hand: from the turn's beginning to its commit. It holds no text."""
    tracer = provider.get_tracer("dragoman")

    def trace(turn: Turn, begun: float, messages: Sequence[Message]) -> None:
        stream, _, language = turn.token.lane.partition("~")
        names = dict.fromkeys(name for message in messages if (name := getattr(message, "utterance", "")))
        for name in names:
            facts = {"stream": stream, "language": language, "utterance": name, "lag_s": turn.lag}
            span = tracer.start_span(turn.token.stage, _root(stream, name), attributes=facts, start_time=_ns(begun))
            span.end(_ns(time()))

    return trace


def _root(stream: str, utterance: str) -> "Context":
    """What is cut out of an utterance belongs to its trace."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    digest = blake2b(f"{stream}/{utterance.partition('.')[0]}".encode(), digest_size=24).digest()
    trace, span = int.from_bytes(digest[:16]), int.from_bytes(digest[16:])
    parent = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
