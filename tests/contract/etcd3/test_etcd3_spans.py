"""What a trace shows of etcd."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from suanmesh_etcd3 import Client, LeaseNotFound, tracing


async def test_every_call_of_a_traced_caller_is_a_span_and_no_other(
    client: Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks why a job was slow must see each hop to etcd, and nobody pays for traces that are not kept."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("test")
    monkeypatch.setattr(tracing, "_tracer", tracer)

    await client.put(prefix + "untraced", b"")
    with tracer.start_as_current_span("caller") as caller:
        await client.put(prefix + "a", b"")
        with pytest.raises(LeaseNotFound):
            await client.put(prefix + "a", b"", lease=12345)

    put, late, _ = spans.get_finished_spans()
    assert (put.name, put.kind, put.parent and put.parent.span_id) == (
        "etcd.put",
        SpanKind.CLIENT,
        caller.get_span_context().span_id,
    )
    assert put.attributes is not None
    assert (put.attributes["db.system.name"], put.attributes["db.operation.name"]) == ("etcd", "put")
    assert late.attributes is not None
    assert (late.status.status_code, late.attributes["error.type"]) == (StatusCode.ERROR, "LeaseNotFound")
