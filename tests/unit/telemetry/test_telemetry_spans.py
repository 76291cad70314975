"""Spans continue the trace of what caused them, and a stranger's header never fails a call."""

from __future__ import annotations

from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.refusals import NotFound
from suanmesh_telemetry import current_trace_id, current_traceparent, ended_span, names, span
from suanmesh_telemetry.rpc import CallSpans
from suanmesh_telemetry.spans import span_context_of, traceparent_of
from suanmesh_telemetry.testing import record_spans, recorded_spans

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture(autouse=True)
def recording() -> None:
    record_spans()


def test_a_span_continues_the_trace_of_a_document() -> None:
    """A job's trace must not end where it was written into etcd."""
    with span(names.DECIDE_JOB, parent=PARENT, job="jobs/x"):
        inside = current_traceparent()
        assert current_trace_id() == "a" * 32

    (ended,) = recorded_spans()
    assert (ended.name, ended.attributes) == ("decide job", {"suanmesh.job": "jobs/x"})
    assert inside.split("-")[1:3] == ["a" * 32, f"{ended.context.span_id:016x}"]
    assert ended.parent is not None
    assert ended.parent.span_id == int("b" * 16, 16)
    assert current_traceparent() == ""


def test_a_refusal_marks_its_span_with_the_reason() -> None:
    """The span tree is where one looks for the step that said no."""
    with pytest.raises(NotFound), span(names.DECIDE_JOB, parent=PARENT):
        raise NotFound("JOB_UNKNOWN", "no such job")

    (ended,) = recorded_spans()
    assert ended.attributes == {"error.type": "JOB_UNKNOWN", "suanmesh.reason": "JOB_UNKNOWN"}
    assert ended.status.status_code.name == "ERROR"


def test_work_done_for_many_is_told_in_the_trace_of_each() -> None:
    """A job decided in a round with a hundred others must show in its own trace when, and for how long."""
    begun = datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    ended_span(names.DECIDE_JOB, begun, begun + timedelta(milliseconds=3), parent=PARENT, job="jobs/x")

    (ended,) = recorded_spans()
    assert (ended.name, ended.attributes) == ("decide job", {"suanmesh.job": "jobs/x"})
    assert (ended.context.trace_id, ended.parent and ended.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    assert (ended.start_time, ended.end_time) == (1_767_225_600_250_000_000, 1_767_225_600_253_000_000)


def test_work_that_nobody_asked_for_is_not_kept() -> None:
    """A resync every few seconds would bury the traces of jobs."""
    with span(names.DECIDE_JOB):
        pass

    assert recorded_spans() == []


@given(st.text(max_size=80))
def test_a_strangers_traceparent_never_fails(text: str) -> None:
    """The header comes from anybody; a call must not fail for it."""
    held = span_context_of(text)

    assert held is None or held.is_valid


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_a_traceparent_reads_as_it_was_written(trace_id: int, span_id: int, sampled: bool) -> None:
    """One wrong digit makes two traces of one."""
    text = f"00-{trace_id:032x}-{span_id:016x}-{int(sampled):02x}"
    held = span_context_of(text)

    assert held is not None
    assert traceparent_of(held) == text


def test_the_kept_share_of_reads_is_the_one_that_was_set() -> None:
    """Too many reads fill the trace store, too few leave nothing to look at."""
    spans = CallSpans(0.1, Random(7))

    kept = sum(spans.call("a.B/Get", "READ")[0] is not None for _ in range(2000))

    assert 150 <= kept <= 250


def test_a_call_that_is_passed_on_has_one_span_where_it_passes() -> None:
    """Half of what the gateway tells of a job would say the same twice, and every span costs three processes work."""
    spans = CallSpans(0.0, Random(1))

    def served() -> tuple[str, list[bool]]:
        around = spans.serve("a.B/Set", "KEYED", PARENT)
        passed, header, told = spans.call("a.B/Set", "KEYED")
        other, _, nothing = spans.call("a.C/Set", "KEYED")
        around.end()
        assert (told, nothing) == (around, None)
        return header, [passed is None, other is None]

    header, none_made = copy_context().run(served)

    (ended,) = recorded_spans()
    assert header == f"00-{'a' * 32}-{ended.context.span_id:016x}-01"
    assert none_made == [True, False]


def test_a_text_of_a_span_is_bounded() -> None:
    """What a caller sent must not fill the trace store."""
    with span(names.DECIDE_JOB, parent=PARENT, job="x" * 10_000) as told:
        told.set_attribute(names.REASON, "y" * 10_000)
        told.set_attributes({names.PARTY: "z" * 10_000})

    (ended,) = recorded_spans()
    assert [len(str(value)) for value in (ended.attributes or {}).values()] == [1_000] * 3


def test_every_name_has_a_text() -> None:
    """The table of names in the docs is made from these."""
    for table in (names.SPANS, names.ATTRIBUTES, names.LOG_KEYS):
        assert all(table.values())
    assert {names.ATTEMPTS, names.REASON, names.EFFECT} <= set(names.ATTRIBUTES)
