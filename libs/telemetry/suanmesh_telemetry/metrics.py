"""Metrics for Prometheus, with the trace id of a kept trace as exemplar."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from suanmesh_telemetry import names

_BOUNDS = tuple(map(floatToGoString, (*names.DURATION_BUCKETS_S, float("inf"))))

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
PASSED_BYTES = Counter(names.PASSED_BYTES, *names.METRICS[names.PASSED_BYTES])
DEFECTS = Counter(names.DEFECTS, *names.METRICS[names.DEFECTS])
"""Labelled by the kind of work; the log names the item."""

QUARANTINED = Gauge(names.QUARANTINED, names.METRICS[names.QUARANTINED][0])
QUARANTINE_REFUSED = Counter(names.QUARANTINE_REFUSED, names.METRICS[names.QUARANTINE_REFUSED][0])
QUARANTINE_EXPIRED = Counter(names.QUARANTINE_EXPIRED, names.METRICS[names.QUARANTINE_EXPIRED][0])


class _Series:
    """The calls of one method that ended with one code."""

    __slots__ = ("counts", "exemplars", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(names.DURATION_BUCKETS_S) + 1)
        """By bucket, each call in one of them; the last has no bound."""
        self.exemplars: dict[int, Exemplar] = {}
        """The last kept trace of each bucket."""
        self.seconds = 0.0

    def buckets(self) -> list[tuple[str, float, Exemplar | None]]:
        """As Prometheus counts them: each with all that is in those before."""
        counted = accumulate(list(self.counts))
        return [
            (bound, count, self.exemplars.get(place))
            for place, (bound, count) in enumerate(zip(_BOUNDS, counted, strict=True))
        ]


class Durations(Collector):
    """A histogram of call durations by method and code.

    It counts by itself, since every call does on each side: prometheus_client's own histogram costs a call as much as
    the search for whom to call.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._series: dict[tuple[str, str], _Series] = {}

    def observe(self, method: str, code: str, seconds: float, trace_id: str) -> None:
        """One call has ended; `trace_id` is empty where its trace is not kept."""
        series = self._series.get((method, code))
        if series is None:
            series = self._series[method, code] = _Series()
        place = bisect_left(names.DURATION_BUCKETS_S, seconds)
        series.counts[place] += 1
        series.seconds += seconds
        if trace_id:
            series.exemplars[place] = Exemplar({"trace_id": trace_id}, seconds, time.time_ns() / 1e9)

    def describe(self) -> Iterable[Metric]:
        """Its name and kind, which is what the registry asks for when it is registered."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """All samples; called on the thread that answers Prometheus."""
        family = self._family()
        for labels, series in list(self._series.items()):
            family.add_metric(labels, series.buckets(), series.seconds)  # type: ignore[arg-type]  # None is no exemplar
        return [family]

    def _family(self) -> HistogramMetricFamily:
        text, labels = names.METRICS[self._name]
        return HistogramMetricFamily(self._name, text, labels=labels)


LOOP_LAG = _histogram(names.LOOP_LAG)
REGISTRY.register(LOOP_LAG)

SERVER_DURATIONS = Durations(names.SERVER_DURATION)
CLIENT_DURATIONS = Durations(names.CLIENT_DURATION)
REGISTRY.register(SERVER_DURATIONS)
REGISTRY.register(CLIENT_DURATIONS)
