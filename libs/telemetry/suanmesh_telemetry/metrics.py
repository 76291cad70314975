"""Metrics for Prometheus, with the trace id of a kept trace as exemplar."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from suanmesh_telemetry import names


def _histogram(name: str) -> Histogram:
    text, labels = names.METRICS[name]
    return Histogram(name, text, labels, buckets=names.DURATION_BUCKETS_S)


SPANS_DROPPED = Counter(names.SPANS_DROPPED, names.METRICS[names.SPANS_DROPPED][0])
LOG_LINES_DROPPED = Counter(names.LOG_LINES_DROPPED, names.METRICS[names.LOG_LINES_DROPPED][0])
COMPONENT_SERVING = Gauge(names.COMPONENT_SERVING, *names.METRICS[names.COMPONENT_SERVING])
CLOCK_SKEW = Gauge(names.CLOCK_SKEW, names.METRICS[names.CLOCK_SKEW][0])
SITE_FAULTS = Counter(names.SITE_FAULTS, *names.METRICS[names.SITE_FAULTS])
DEFECTS = Counter(names.DEFECTS, *names.METRICS[names.DEFECTS])
"""Labelled by the kind of work; the log names the item."""

QUARANTINED = Gauge(names.QUARANTINED, names.METRICS[names.QUARANTINED][0])
QUARANTINE_REFUSED = Counter(names.QUARANTINE_REFUSED, names.METRICS[names.QUARANTINE_REFUSED][0])
QUARANTINE_EXPIRED = Counter(names.QUARANTINE_EXPIRED, names.METRICS[names.QUARANTINE_EXPIRED][0])


class Durations:
    """A histogram of call durations by method and code; the pairs seen are kept, since looking them up is dear."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._seen: dict[tuple[str, str], Histogram] = {}

    def observe(self, method: str, code: str, seconds: float, trace_id: str) -> None:
        """One call has ended; `trace_id` is empty where its trace is not kept."""
        child = self._seen.get((method, code))
        if child is None:
            child = self._seen[method, code] = self._histogram.labels(method, code)
        child.observe(seconds, {"trace_id": trace_id} if trace_id else None)


SERVER_DURATIONS = Durations(_histogram(names.SERVER_DURATION))
CLIENT_DURATIONS = Durations(_histogram(names.CLIENT_DURATION))


def serve_metrics(address: str) -> None:
    """Answer Prometheus on `host:port` from a thread of its own, for as long as the process lives."""
    host, _, port = address.rpartition(":")
    start_http_server(int(port), host)
