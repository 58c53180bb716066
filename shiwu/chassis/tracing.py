"""W3C trace context over every hop; spans only where a collector is configured."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_EXPORT_SECONDS = 2  # for one batch, retries included; how long a collector that is gone can delay the exit
_propagator = TraceContextTextMapPropagator()
_state: dict[str, trace.Tracer] = {}  # "tracer" once spans are exported


class TracingError(ValueError):
    """Spans shall be exported and cannot be."""


def export_spans(endpoint: str, service: str) -> None:
    """Sends a span per served call to the OTLP/gRPC collector at `endpoint` from now on.

    Raises TracingError if the exporter is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (optional)
    except ImportError as error:
        msg = "otlp_endpoint is set, which needs the package opentelemetry-exporter-otlp-proto-grpc"
        raise TracingError(msg) from error
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (not paid for where nothing is exported)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _state["tracer"] = provider.get_tracer("shiwu.chassis")


def start_span(method: str, metadata: Mapping[str, str | bytes]) -> Span:
    """The span of a served call, child of the caller's if `metadata` carries one; current until the task ends."""
    parent = _propagator.extract(metadata)
    tracer = _state.get("tracer")
    if tracer is not None:
        span = tracer.start_span(method.strip("/"), context=parent, kind=SpanKind.SERVER)
    else:
        # Nobody would see a span of ours: the caller's goes on unchanged, so that the next one's parent exists.
        span = trace.get_current_span(parent)
        if not span.get_span_context().is_valid:
            span = NonRecordingSpan(_new_context())
    # Every RPC runs in a task, hence a context, of its own: nothing to detach.
    otel_context.attach(trace.set_span_in_context(span))
    return span


def end_span(span: Span, code: str, *, failed: bool) -> None:
    """Ends the span of a served call. code: name of its status code. failed: the fault is the server's."""
    if span.is_recording():
        span.set_attribute("rpc.system.name", "grpc")
        span.set_attribute("rpc.response.status_code", code)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
    span.end()


def trace_headers() -> Sequence[tuple[str, str]]:
    """The metadata that carries the current span to the next hop."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return tuple(carrier.items())


def _new_context() -> SpanContext:
    return SpanContext(
        trace_id=random.getrandbits(128) or 1,
        span_id=random.getrandbits(64) or 1,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
