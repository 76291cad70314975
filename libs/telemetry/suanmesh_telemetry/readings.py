"""What a process reads off itself whenever it is asked for its metrics, and how all of them are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from suanmesh_telemetry import names

TOTAL = "_total"


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one metric of `names.METRICS`, with the values of its labels in their order."""

    metric: str
    value: float
    labels: tuple[str, ...] = ()


Readings = Callable[[], Iterable[Reading]]
"""Reads without waiting: it is called on the event loop, at each scrape."""


def exposition(read: Readings, accept: str) -> tuple[bytes, str]:
    """What the process counts and what `read` gives, as text, and of which type that is.

    `accept` is what the reader takes: OpenMetrics has exemplars, Prometheus' older text does not.
    """
    encode, content_type = choose_encoder(accept)
    return encode(_Exposed(read)), content_type


class _Exposed(Collector):
    def __init__(self, read: Readings) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """All that is counted, then all that is read."""
        yield from REGISTRY.collect()
        families: dict[str, Metric] = {}
        for reading in self._read():
            if reading.metric not in families:
                families[reading.metric] = _family(reading.metric)
            label_names = names.METRICS[reading.metric][1]
            labels = dict(zip(label_names, reading.labels, strict=True))
            families[reading.metric].add_sample(reading.metric, labels, reading.value)
        yield from families.values()


def _family(name: str) -> Metric:
    text, labels = names.METRICS[name]
    if name.endswith(TOTAL):
        return CounterMetricFamily(name.removesuffix(TOTAL), text, labels=labels)
    return GaugeMetricFamily(name, text, labels=labels)
