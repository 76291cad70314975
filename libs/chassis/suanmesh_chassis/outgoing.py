"""Telemetry of the calls this process makes, as the SDK's hook."""

from __future__ import annotations

import time

from opentelemetry.trace import Span, format_trace_id

from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import ClientCall
from suanmesh_telemetry import names
from suanmesh_telemetry.metrics import CLIENT_DURATIONS
from suanmesh_telemetry.rpc import CallSpans, end_span


class TracedCalls:
    """Gives each call its span, its traceparent and its sample."""

    def __init__(self, spans: CallSpans) -> None:
        self._spans = spans

    def begin(self, method: str, effect: str) -> ClientCall:
        """A call of `method` begins."""
        return _Traced(method, *self._spans.call(method, effect))


class _Traced:
    __slots__ = ("_begun", "_method", "_passed_on", "_span", "headers")

    def __init__(self, method: str, span: Span | None, traceparent: str, passed_on: Span | None) -> None:
        self._begun = time.perf_counter()
        self._method = method
        self._span = span
        self._passed_on = passed_on
        self.headers: tuple[tuple[str, str], ...] = (("traceparent", traceparent),) if traceparent else ()

    def end(self, code: str, *, address: str, attempts: int, refusal: Refusal | None) -> None:
        trace_id = ""
        if self._passed_on is not None:
            trace_id = format_trace_id(self._passed_on.get_span_context().trace_id)
            self._passed_on.set_attribute(names.PASSED_ON_TO, address)
            self._passed_on.set_attribute(names.ATTEMPTS, attempts)
        if self._span is not None:
            trace_id = format_trace_id(self._span.get_span_context().trace_id)
            host, _, port = address.rpartition(":")
            self._span.set_attribute(names.SERVER_ADDRESS, host)
            self._span.set_attribute(names.SERVER_PORT, int(port) if port.isdigit() else 0)
            self._span.set_attribute(names.ATTEMPTS, attempts)
            end_span(self._span, code, refusal.reason if refusal is not None else "", errors=None)
        CLIENT_DURATIONS.observe(self._method, code, time.perf_counter() - self._begun, trace_id)
