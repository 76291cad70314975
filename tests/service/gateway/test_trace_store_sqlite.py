"""The trace store on a real file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from suanmesh_gateway import wire
from suanmesh_gateway.domain.traces import Span
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_gateway.sweeper import Sweeper
from suanmesh_gateway.trace_store import TraceStore
from suanmesh_kernel.clock import HandClock

FIRST = (2**63 - 1, "")


def a_span(trace: int, number: int, **changes: object) -> Span:
    whole = Span(
        f"{trace:032x}",
        f"{number:016x}",
        "",
        f"n{number}",
        "gateway",
        "SERVER",
        trace * 100,
        trace * 100 + 7,
        False,
        "",
        {"a": "1"},
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TraceStore]:
    opened = TraceStore(tmp_path / "traces.sqlite", trace_spans_max=3)
    yield opened
    await opened.close()


async def test_a_span_that_arrives_twice_is_kept_once(store: TraceStore) -> None:
    """An exporter repeats what it is unsure of; the reader must not see a call made twice."""
    await store.add([a_span(1, 1)])
    await store.add([a_span(1, 1), a_span(1, 2, parent_span_id=f"{1:016x}")])

    assert await store.trace(f"{1:032x}") == [a_span(1, 1), a_span(1, 2, parent_span_id=f"{1:016x}")]
    (summary,) = await store.newest(10, FIRST)
    assert (summary.root, summary.spans) == ("n1", 2)


async def test_a_trace_does_not_grow_without_bound(store: TraceStore) -> None:
    """One loop in one service must not push everybody else's traces out."""
    await store.add([a_span(1, number) for number in range(1, 10)])

    assert len(await store.trace(f"{1:032x}")) == 3


async def test_listing_is_newest_first_and_pages(store: TraceStore) -> None:
    """The trace one has just made must be on the first page."""
    await store.add([a_span(trace, 1) for trace in (1, 3, 2)])

    first = await store.newest(2, FIRST)
    rest = await store.newest(2, (first[-1].start_ns, first[-1].trace_id))

    assert [summary.start_ns for summary in first + rest] == [300, 200, 100]


async def test_old_traces_go_first_by_age_then_by_number(store: TraceStore) -> None:
    """The disk is bounded, and what is dropped is what is oldest."""
    await store.add([a_span(trace, number) for trace in (1, 2, 3) for number in (1, 2)])

    assert await store.sweep(began_before_ns=150, spans_max=100) == 1
    assert await store.sweep(began_before_ns=0, spans_max=2) == 1
    assert await store.trace(f"{1:032x}") == await store.trace(f"{2:032x}") == []
    assert len(await store.trace(f"{3:032x}")) == 2


async def test_the_sweeper_keeps_to_its_settings(store: TraceStore) -> None:
    """A gateway left alone for months must not fill the disk."""
    settings, clock = GatewaySettings(traces_age_s_max=10, traces_spans_max=2), HandClock()
    now_ns = int(clock.now().timestamp()) * 1_000_000_000
    await store.add(
        [a_span(1, 1), *(a_span(trace, 1, start_ns=now_ns + trace, end_ns=now_ns + 9) for trace in (2, 3, 4))]
    )

    assert await Sweeper(store, settings, clock).sweep() == 2
    assert [summary.start_ns - now_ns for summary in await store.newest(10, FIRST)] == [4, 3]


async def test_traces_outlive_a_restart(tmp_path: Path) -> None:
    """A restarted gateway must still explain yesterday's job."""
    before = TraceStore(tmp_path / "traces.sqlite", trace_spans_max=3)
    await before.add([a_span(1, 1)])
    await before.close()

    after = TraceStore(tmp_path / "traces.sqlite", trace_spans_max=3)
    assert await after.trace(f"{1:032x}") == [a_span(1, 1)]
    await after.close()


def test_spans_are_read_from_otlp() -> None:
    """What every process exports must arrive with its parts in their places."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "scheduler"
    span = resource.scope_spans.add().spans.add(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        name="decide job",
        kind=1,
        start_time_unix_nano=5,
        end_time_unix_nano=9,
    )
    span.attributes.add(key="suanmesh.candidates").value.int_value = 3
    resource.scope_spans[0].spans.add(trace_id=b"short", span_id=b"\x02" * 8)

    (read,) = wire.spans_from(request)

    assert (read.service, read.name, read.kind, read.parent_span_id) == ("scheduler", "decide job", "INTERNAL", "")
    assert read.attributes == {"suanmesh.candidates": "3"}
    assert wire.trace_to("traces/x", [read]).services == ["scheduler"]
