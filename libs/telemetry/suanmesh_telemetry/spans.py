"""Spans as the services use them: on OpenTelemetry's API alone, so that nothing here knows where they go."""

from __future__ import annotations

import re
from contextvars import Token
from datetime import datetime
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import (
    Span as Span,
)

from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry import names

_TRACER = trace.get_tracer("suanmesh")
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
"""W3C's, of this version and of later ones."""

_UNSAMPLED = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00")

type_of_attribute = str | int | float | bool


def tracer() -> Tracer:
    """The tracer every part of a process shares."""
    return _TRACER


class span:  # noqa: N801 - reads as a verb: `with span("decide job", parent=document.traceparent):`
    """A span around a block, current inside it, ended exactly once.

    With `parent` (a W3C traceparent, such as a document's) the block continues that trace as a child of the write;
    without it, or where it is empty, the current span is the parent. Keywords become attributes: `job="jobs/x"` sets
    `suanmesh.job`. A refusal that leaves the block marks the span with its reason, any other exception as an error.
    """

    __slots__ = ("_attributes", "_kind", "_name", "_parent", "_span", "_token")

    def __init__(
        self, name: str, *, parent: str = "", kind: SpanKind = SpanKind.INTERNAL, **attributes: type_of_attribute
    ) -> None:
        self._name = name
        self._parent = parent
        self._kind = kind
        self._attributes = {f"suanmesh.{key}": value for key, value in attributes.items()}
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        parent = context_of(self._parent) if self._parent else None
        self._span = _TRACER.start_span(self._name, parent, kind=self._kind, attributes=self._attributes)
        self._token = otel_context.attach(set_span_in_context(self._span, parent))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
        if error is not None:
            mark_failed(self._span, error)
        self._span.end()


def ended_span(name: str, begun: datetime, ended: datetime, *, parent: str, **attributes: type_of_attribute) -> None:
    """Tell in the trace of `parent` of work that has been done for many at once, and when."""
    named = {f"suanmesh.{key}": value for key, value in attributes.items()}
    told = _TRACER.start_span(name, context_of(parent), attributes=named, start_time=_nanoseconds(begun))
    told.end(_nanoseconds(ended))


def begin_span(name: str, *, parent: str = "", **attributes: type_of_attribute) -> Span:
    """A span that is current nowhere, for what no block holds: whoever begins it ends it. Otherwise as `span`."""
    context = context_of(parent) if parent else None
    return _TRACER.start_span(name, context, attributes={f"suanmesh.{key}": value for key, value in attributes.items()})


def mark_failed(failed: Span, error: BaseException) -> None:
    """Say on `failed` what ended it: a refusal's reason, or the type of the exception."""
    reason = error.reason if isinstance(error, Refusal) else type(error).__qualname__
    failed.set_attribute(names.ERROR_TYPE, reason)
    if isinstance(error, Refusal):
        failed.set_attribute(names.REASON, reason)
    failed.set_status(Status(StatusCode.ERROR, str(error)[:200]))


def current_traceparent() -> str:
    """W3C traceparent of the current span; empty where there is none."""
    return traceparent_of(trace.get_current_span().get_span_context())


def current_trace_id() -> str:
    """32 hex digits of the current trace; empty where there is none."""
    held = trace.get_current_span().get_span_context()
    return format(held.trace_id, "032x") if held.is_valid else ""


def elsewhere(traceparent: str) -> str:
    """An item's own trace where it is another than the call's; within one trace, the call is the nearer parent."""
    current = current_trace_id()
    return "" if current and current in traceparent else traceparent


def traceparent_of(held: SpanContext) -> str:
    """`held` as a W3C traceparent; empty where it is not valid."""
    if not held.is_valid:
        return ""
    return f"00-{held.trace_id:032x}-{held.span_id:016x}-{held.trace_flags & 1:02x}"


def context_of(traceparent: str) -> Context:
    """A context whose current span is the remote one that `traceparent` names; an empty one where it names none."""
    held = span_context_of(traceparent)
    return Context() if held is None else set_span_in_context(NonRecordingSpan(held), Context())


def is_unsampled(traceparent: str) -> bool:
    """Whether `traceparent` is one as we write them ourselves where a trace is not kept: most are."""
    return _UNSAMPLED.fullmatch(traceparent) is not None


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def span_context_of(traceparent: str) -> SpanContext | None:
    """What a W3C traceparent says, or None where it is malformed: a stranger's header must not fail a call."""
    told = _TRACEPARENT.fullmatch(traceparent)
    if told is None:
        return None
    trace_id, span_id, flags = told.groups()
    sampled = SAMPLED if int(flags, 16) & 1 else UNSAMPLED
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=sampled)
