"""Spans round calls, both sides, by OpenTelemetry's stable RPC conventions; and which traces are kept.

Own code, because the stock interceptors break streams and leave spans open. Kept are the traces that begin with a call
that changes something, and a share of those that begin with a read. What is not kept costs next to nothing, and says so
to everyone it calls.
"""

from __future__ import annotations

import random

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, set_span_in_context

from suanmesh_telemetry import names
from suanmesh_telemetry.spans import UNSAMPLED, span_context_of, traceparent_of, tracer

KEEP = otel_context.create_key("suanmesh-keep")
"""Set in the context of a root span that is to be kept; the sampler looks for it."""

MUTATING = frozenset(("KEYED", "IDEMPOTENT"))
SERVER_ERRORS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
"""Codes that mean a server's failure; the others are answers."""

_KEPT_ROOT = Context({KEEP: True})


class CallSpans:
    """Begins the spans of calls served and calls made."""

    def __init__(self, reads: float, chance: random.Random) -> None:
        """`reads` is the share of traces kept that begin with a read."""
        self._reads = reads
        self._chance = chance

    def serve(self, method: str, effect: str, traceparent: str) -> Span:
        """The SERVER span of a call, made current; it records only where the trace is kept.

        The task that serves the call ends with it, so what is current needs no putting back.
        """
        parent = span_context_of(traceparent) if traceparent else None
        if effect == "STREAM":
            served: Span = NonRecordingSpan(self._unsampled())
        elif not self._kept(effect, parent):
            served = NonRecordingSpan(parent or self._unsampled())
        else:
            context = _KEPT_ROOT if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
            served = _begun(method, effect, context, SpanKind.SERVER)
        otel_context.attach(set_span_in_context(served, Context()))
        return served

    def call(self, method: str, effect: str) -> tuple[Span | None, str]:
        """The CLIENT span of a call, or None where the trace is not kept; and the traceparent to send."""
        current = trace.get_current_span().get_span_context()
        if effect == "STREAM":
            return None, ""
        if current.is_valid:
            if not current.trace_flags.sampled:
                return None, traceparent_of(current)
            made = _begun(method, effect, otel_context.get_current(), SpanKind.CLIENT)
        elif self._kept(effect, None):
            made = _begun(method, effect, _KEPT_ROOT, SpanKind.CLIENT)
        else:
            return None, traceparent_of(self._unsampled())
        return made, traceparent_of(made.get_span_context())

    def _kept(self, effect: str, parent: SpanContext | None) -> bool:
        if parent is not None:
            return parent.trace_flags.sampled
        return effect in MUTATING or (effect == "READ" and self._chance.random() < self._reads)

    def _unsampled(self) -> SpanContext:
        bits = self._chance.getrandbits
        return SpanContext(bits(128) or 1, bits(64) or 1, is_remote=False, trace_flags=UNSAMPLED)


def end_span(span: Span, code: str, reason: str, *, errors: frozenset[str] | None = SERVER_ERRORS) -> None:
    """End the span of a call with its `code`; it is an error where the code is one of `errors` (None: any but OK)."""
    span.set_attribute(names.RPC_STATUS, code)
    if code != "OK":
        span.set_attribute(names.ERROR_TYPE, reason or code)
        if reason:
            span.set_attribute(names.REASON, reason)
        if errors is None or code in errors:
            span.set_status(Status(StatusCode.ERROR, reason or code))
    span.end()


def _begun(method: str, effect: str, context: Context, kind: SpanKind) -> Span:
    attributes = {names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: method, names.EFFECT: effect}
    return tracer().start_span(method, context, kind=kind, attributes=attributes)
