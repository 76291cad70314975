"""How long calls take, as Prometheus reads it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from suanmesh_telemetry import names
from suanmesh_telemetry.metrics import Durations

calls = st.lists(
    st.tuples(
        st.sampled_from(("a.B/Get", "a.B/Set")),
        st.sampled_from(("OK", "NOT_FOUND")),
        st.sampled_from(names.DURATION_BUCKETS_S) | st.floats(0, 100),
    ),
    max_size=50,
)


@given(calls)
def test_calls_are_counted_as_a_histogram_of_prometheus_counts_them(calls: list[tuple[str, str, float]]) -> None:
    """Alerts reckon with its buckets, count and sum: a call in the wrong one is a wrong page at night."""
    text, labels = names.METRICS[names.SERVER_DURATION]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations(names.SERVER_DURATION)
    ours.register(durations)
    histogram = Histogram(names.SERVER_DURATION, text, labels, buckets=names.DURATION_BUCKETS_S, registry=theirs)

    for method, code, seconds in calls:
        durations.observe(method, code, seconds, "")
        histogram.labels(method, code).observe(seconds)

    assert generate_latest(ours) == generate_latest(theirs)


def test_a_bucket_has_the_last_kept_trace_as_exemplar() -> None:
    """From the slow bucket of a dashboard one gets to the trace of a slow call, and not to that of a fast one."""
    durations = Durations(names.SERVER_DURATION)
    for seconds, trace in ((0.001, "a"), (90.0, "b"), (90.0, "c"), (90.0, "")):
        durations.observe("a.B/Get", "OK", seconds, trace)

    (family,) = durations.collect()
    told = [(each.labels["le"], each.exemplar.labels) for each in family.samples if each.exemplar]
    assert [trace["trace_id"] for _, trace in told] == ["a", "c"]
    assert told[-1][0] == "+Inf"
