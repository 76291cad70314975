"""What a process says of itself: spans, log lines, metrics, and every name they use."""

from suanmesh_telemetry import names
from suanmesh_telemetry.spans import (
    Span,
    begin_span,
    current_trace_id,
    current_traceparent,
    elsewhere,
    ended_span,
    span,
    traceparent_of,
    tracer,
)

__all__ = [
    "Span",
    "begin_span",
    "current_trace_id",
    "current_traceparent",
    "elsewhere",
    "ended_span",
    "names",
    "span",
    "traceparent_of",
    "tracer",
]
