"""Metrics for Prometheus, with the trace id of a kept trace as exemplar."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric, disable_created_metrics

from suanmesh_telemetry import names

UNCOUNTED_MAX = 64
"""Calls that have ended and are not in their histogram yet."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # nobody reads when a series began


def _histogram(name: str) -> Histogram:
    text, labels = names.METRICS[name]
    return Histogram(name, text, labels, buckets=names.DURATION_BUCKETS_S, registry=None)


SPANS_DROPPED = Counter(names.SPANS_DROPPED, *names.METRICS[names.SPANS_DROPPED])
LOG_LINES_DROPPED = Counter(names.LOG_LINES_DROPPED, names.METRICS[names.LOG_LINES_DROPPED][0])
COMPONENT_SERVING = Gauge(names.COMPONENT_SERVING, *names.METRICS[names.COMPONENT_SERVING])
CLOCK_SKEW = Gauge(names.CLOCK_SKEW, names.METRICS[names.CLOCK_SKEW][0])
SITE_FAULTS = Counter(names.SITE_FAULTS, *names.METRICS[names.SITE_FAULTS])
RELAYED_BYTES = Counter(names.RELAYED_BYTES, *names.METRICS[names.RELAYED_BYTES])
DEFECTS = Counter(names.DEFECTS, *names.METRICS[names.DEFECTS])
"""Labelled by the kind of work; the log names the item."""

QUARANTINED = Gauge(names.QUARANTINED, names.METRICS[names.QUARANTINED][0])
QUARANTINE_REFUSED = Counter(names.QUARANTINE_REFUSED, names.METRICS[names.QUARANTINE_REFUSED][0])
QUARANTINE_EXPIRED = Counter(names.QUARANTINE_EXPIRED, names.METRICS[names.QUARANTINE_EXPIRED][0])


class Durations:
    """A histogram of call durations by method and code.

    Calls are counted many at a time, and before whoever reads the histogram reads it: one at a time a sample costs its
    call as much as the search for whom to call. The pairs seen are kept, since looking them up is dear.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._seen: dict[tuple[str, str], Histogram] = {}
        self._uncounted: deque[tuple[str, str, float, str]] = deque()
        REGISTRY.register(self)

    def observe(self, method: str, code: str, seconds: float, trace_id: str) -> None:
        """One call has ended; `trace_id` is empty where its trace is not kept."""
        self._uncounted.append((method, code, seconds, trace_id))
        if len(self._uncounted) >= UNCOUNTED_MAX:
            self._count()

    def describe(self) -> Iterable[Metric]:
        """Its name and kind, which is what the registry asks for when it is registered."""
        return self._histogram.describe()

    def collect(self) -> Iterable[Metric]:
        """All samples; called on the thread that answers Prometheus."""
        self._count()
        return self._histogram.collect()

    def _count(self) -> None:
        while True:
            try:
                method, code, seconds, trace_id = self._uncounted.popleft()
            except IndexError:  # two threads may count at once
                return
            child = self._seen.get((method, code))
            if child is None:
                child = self._seen[method, code] = self._histogram.labels(method, code)
            child.observe(seconds, {"trace_id": trace_id} if trace_id else None)


LOOP_LAG = _histogram(names.LOOP_LAG)
REGISTRY.register(LOOP_LAG)

SERVER_DURATIONS = Durations(_histogram(names.SERVER_DURATION))
CLIENT_DURATIONS = Durations(_histogram(names.CLIENT_DURATION))
