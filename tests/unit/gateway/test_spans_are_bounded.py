"""What the trace store keeps of a span is bounded, whatever a process sends over OTLP."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from suanmesh_gateway import wire
from suanmesh_kernel.refusals import InvalidArgument

MIB = 1 << 20


def exported(*spans: Span) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request


def a_span(**facts: object) -> Span:
    return Span(trace_id=b"t" * 16, span_id=b"s" * 8, **facts)


def size(span: object) -> int:
    return len(repr(span))


def test_a_parent_that_is_no_span_id_is_none() -> None:
    """Two mebibytes of hexadecimal digits would be kept, and indexed, as the parent of a span."""
    spans = wire.spans_from(exported(a_span(parent_span_id=b"p" * 2 * MIB), a_span(parent_span_id=b"p" * 8)))

    assert [span.parent_span_id for span in spans] == ["", (b"p" * 8).hex()]


def test_a_span_takes_no_more_than_its_room() -> None:
    """Sixty-four attributes of the longest would make five hundred thousand spans a full disk."""
    large = a_span(name="n" * MIB)
    for number in range(wire.ATTRIBUTES_MAX + 6):
        attribute = large.attributes.add(key=f"{number}" * 200)
        if number % 2:
            attribute.value.string_value = "算" * MIB
        else:
            attribute.value.bytes_value = b"b" * MIB
    [span] = wire.spans_from(exported(large))

    assert size(span) < 2 * wire.SPAN_LENGTH_MAX
    assert len(span.attributes) > 5


def test_a_list_of_lists_is_shown_in_part() -> None:
    """A value nested to any width would be spelt out whole before it is cut."""
    nested = a_span()
    values = nested.attributes.add(key="k").value.array_value.values
    for _ in range(10_000):
        values.add().string_value = "v" * 100
    [span] = wire.spans_from(exported(nested))

    assert len(span.attributes["k"]) == wire.TEXT_LENGTH_MAX


def test_an_export_of_too_many_spans_is_refused_with_the_bound() -> None:
    """Sixty thousand empty spans fit a message, and each is a row."""
    assert len(list(wire.spans_from(exported(*[a_span()] * wire.EXPORT_SPANS_MAX)))) == wire.EXPORT_SPANS_MAX
    with pytest.raises(InvalidArgument, match="FIELD_INVALID") as refused:
        wire.spans_from(exported(*[a_span()] * (wire.EXPORT_SPANS_MAX + 1)))

    assert refused.value.facts["max_items"] == str(wire.EXPORT_SPANS_MAX)
