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
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from suanmesh_telemetry import names
from suanmesh_telemetry.kept_spans import KeptSpan, KeptTracerProvider, UnkeptSpan, below
from suanmesh_telemetry.spans import is_unsampled, span_context_of, traceparent_of

MUTATING = frozenset(("KEYED", "IDEMPOTENT"))
SERVER_ERRORS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
"""Codes that mean a server's failure; the others are answers."""


_SPAN_KEY: str = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""Under which OpenTelemetry keeps the current span; asked for once, since each call sets one."""


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
        served = self._served(method, effect, traceparent)
        otel_context.attach(Context({_SPAN_KEY: served}))
        return served

    def call(self, method: str, effect: str) -> tuple[Span | None, str, KeptSpan | None]:
        """The CLIENT span of a call, the traceparent to send, and the span of the call that is served.

        The first is None where the trace is not kept, and where the call that is served is passed on, which has one
        span here; the last is None unless it is passed on and kept.
        """
        around = otel_context.get_current().get(_SPAN_KEY)
        parent: SpanContext | None = None
        if isinstance(around, UnkeptSpan):  # that, or nothing, is what is around most calls
            return None, "" if effect == "STREAM" else around.traceparent, None
        if around is not None:
            served = around if isinstance(around, KeptSpan) and _is_passed_on(around, method) else None
            if effect == "STREAM":
                return None, "", served
            if isinstance(around, Span) and (current := around.get_span_context()).is_valid:
                if served is not None or not current.trace_flags.sampled:
                    return None, traceparent_of(current), served
                parent = current
        elif effect == "STREAM":
            return None, "", None
        if parent is None and not self._kept(effect, None):
            return None, self._unkept_traceparent(), None
        made = _begun(method, effect, parent, SpanKind.CLIENT)
        return made, traceparent_of(made.get_span_context()), None

    def _served(self, method: str, effect: str, traceparent: str) -> Span:
        if effect == "STREAM":
            return self._unkept()
        if is_unsampled(traceparent):
            return UnkeptSpan(traceparent)
        parent = span_context_of(traceparent) if traceparent else None
        if self._kept(effect, parent):
            return _begun(method, effect, parent, SpanKind.SERVER)
        return self._unkept() if parent is None else UnkeptSpan(traceparent_of(parent))

    def _kept(self, effect: str, parent: SpanContext | None) -> bool:
        if parent is not None:
            return parent.trace_flags.sampled
        return effect in MUTATING or (effect == "READ" and self._chance.random() < self._reads)

    def _unkept(self) -> UnkeptSpan:
        return UnkeptSpan(self._unkept_traceparent())

    def _unkept_traceparent(self) -> str:
        bits = self._chance.getrandbits
        return f"00-{bits(128) or 1:032x}-{bits(64) or 1:016x}-00"


def _is_passed_on(around: KeptSpan, method: str) -> bool:
    """Whether `around` is the span of a call of the same method that is served."""
    return around.kind is SpanKind.SERVER and around.name == method


def traceparent_of_span(span: Span) -> str:
    """W3C traceparent of `span`; empty where it has none."""
    return span.traceparent if isinstance(span, UnkeptSpan) else traceparent_of(span.get_span_context())


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


def _begun(method: str, effect: str, parent: SpanContext | None, kind: SpanKind) -> Span:
    provider = trace.get_tracer_provider()
    if not isinstance(provider, KeptTracerProvider):
        return INVALID_SPAN if parent is None else NonRecordingSpan(parent)
    attributes: dict[str, AttributeValue] = {
        names.RPC_SYSTEM_NAME: "grpc",
        names.RPC_METHOD: method,
        names.EFFECT: effect,
    }
    return KeptSpan(provider.exporter, method, below(parent), parent, kind, attributes)
