"""What a process says of itself: spans, log lines, metrics, and every name they use."""

from suanmesh_telemetry import names
from suanmesh_telemetry.spans import current_trace_id, current_traceparent, elsewhere, span, tracer

__all__ = ["current_trace_id", "current_traceparent", "elsewhere", "names", "span", "tracer"]
