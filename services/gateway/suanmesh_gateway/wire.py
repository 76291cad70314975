"""Between the trace store's values and their messages: OTLP in, our own contract out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp

from suanmesh.gateway.v1 import trace_pb2
from suanmesh_gateway.domain.traces import Span, Summary, services
from suanmesh_kernel.refusals import InvalidArgument

ATTRIBUTES_MAX = 64
TEXT_LENGTH_MAX = 400
"""Longer names, values and messages are cut: the store is for finding a cause, not for keeping payloads."""
SPAN_LENGTH_MAX = 8_000
"""Characters of all attributes of a span together; those beyond it are left out."""
EXPORT_SPANS_MAX = 5_000
"""Spans of one export; an exporter of ours sends 512."""
VALUES_MAX = 64
"""Values shown of a list."""
_KINDS = {
    number: name.removeprefix("SPAN_KIND_")
    for name, number in otlp.Span.SpanKind.items()
    if number != otlp.Span.SPAN_KIND_UNSPECIFIED
}
_IDS = (16, 8)
_PARENT = (0, 8)


def spans_from(request: ExportTraceServiceRequest) -> Iterator[Span]:
    """The spans of one export; those without ids of the right length are left out.

    Raises InvalidArgument (`FIELD_INVALID`) where there are too many: OTLP's messages declare no bounds of ours.
    """
    count = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if count > EXPORT_SPANS_MAX:
        problem = f"resource_spans: {count} spans, at most {EXPORT_SPANS_MAX} are taken at once"
        raise InvalidArgument("FIELD_INVALID", problem, field="resource_spans", items=count, max_items=EXPORT_SPANS_MAX)
    return _spans(request)


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes).get("service.name", "")
        for scope in resource.scope_spans:
            yield from (_span(span, service) for span in scope.spans if (len(span.trace_id), len(span.span_id)) == _IDS)


def trace_to(name: str, spans: Sequence[Span]) -> trace_pb2.Trace:
    return trace_pb2.Trace(name=name, spans=[_span_to(span) for span in spans], services=services(spans))


def summary_to(summary: Summary) -> trace_pb2.TraceSummary:
    return trace_pb2.TraceSummary(
        name=f"traces/{summary.trace_id}",
        root=summary.root,
        start_time=_timestamp(summary.start_ns),
        duration_us=(summary.end_ns - summary.start_ns) // 1_000,
        spans=summary.spans,
    )


def _span(span: otlp.Span, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() if len(span.parent_span_id) in _PARENT else "",
        name=span.name[:TEXT_LENGTH_MAX],
        service=service,
        kind=_kind(span.kind),
        start_ns=_fitting(span.start_time_unix_nano),
        end_ns=_fitting(max(span.end_time_unix_nano, span.start_time_unix_nano)),
        error=span.status.code == otlp.Status.STATUS_CODE_ERROR,
        status_message=span.status.message[:TEXT_LENGTH_MAX],
        attributes=_attributes(span.attributes),
    )


def _span_to(span: Span) -> trace_pb2.Span:
    return trace_pb2.Span(
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        service=span.service,
        kind=span.kind,
        start_time=_timestamp(span.start_ns),
        duration_us=(span.end_ns - span.start_ns) // 1_000,
        error=span.error,
        status_message=span.status_message,
        attributes=span.attributes,
    )


def _kind(value: otlp.Span.SpanKind.ValueType) -> str:
    return _KINDS.get(value, "INTERNAL")


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, str]:
    texts: dict[str, str] = {}
    left = SPAN_LENGTH_MAX
    for pair in islice(pairs, ATTRIBUTES_MAX):
        key, text = pair.key[:TEXT_LENGTH_MAX], _text(pair.value)[:TEXT_LENGTH_MAX]
        left -= len(key) + len(text)
        if left < 0:
            break
        texts[key] = text
    return texts


def _text(value: AnyValue) -> str:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value[:TEXT_LENGTH_MAX]
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "int_value":
            return str(value.int_value)
        case "double_value":
            return repr(value.double_value)
        case "array_value":
            return ", ".join(_text(each)[:TEXT_LENGTH_MAX] for each in islice(value.array_value.values, VALUES_MAX))
        case "bytes_value":
            return value.bytes_value[:TEXT_LENGTH_MAX].hex()
    return ""


def _fitting(nanoseconds: int) -> int:
    """OTLP's times are unsigned, SQLite's integers are not."""
    return min(nanoseconds, 2**63 - 1)


def _timestamp(nanoseconds: int) -> Timestamp:
    return Timestamp(seconds=nanoseconds // 1_000_000_000, nanos=nanoseconds % 1_000_000_000)
