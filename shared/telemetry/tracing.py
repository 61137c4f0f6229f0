"""W3C trace context carried from HTTP through every message; spans exported when OTLP is configured.

Invariant: `traceparent` is passed on even where nothing records spans, so that any one service can
be instrumented later and still joins the same trace.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, TraceFlags

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")


def context_of(traceparent: str | None) -> SpanContext | None:
    """The span context of a traceparent, or None if it is missing or malformed."""
    match = _TRACEPARENT.match(traceparent or "")
    if match is None:
        return None
    context = SpanContext(
        int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=TraceFlags(int(match[3], 16))
    )
    return context if context.is_valid else None


def child_of(traceparent: str | None) -> str:
    """A traceparent in the same trace with a new span id; a new trace where there is none."""
    match = _TRACEPARENT.match(traceparent or "")
    trace_id = match[1] if match else secrets.token_hex(16)
    flags = match[3] if match else "01"
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"


def configure(service: str, endpoint: str | None) -> None:
    """Export spans to an OTLP collector over HTTP; without an endpoint nothing is recorded."""
    if endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)


@contextmanager
def batch_span(name: str, traceparents: Iterable[str | None]) -> Iterator[None]:
    """One span for a batch, linked to the span of every message in it."""
    tracer = trace.get_tracer("daibiaotong")
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        yield
        return
    links = [Link(c) for c in map(context_of, traceparents) if c is not None]
    with tracer.start_as_current_span(name, links=links):
        yield
