"""The two kinds of spans that calls have: kept ones, and the many of which only the header is passed on.

Own classes, because a call has one span on each side and nothing else of ours runs as often: the SDK's general span
costs five times as much. What comes out at the end is readable as the SDK's, so its processors and exporters take both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

from suanmesh_telemetry.spans import span_context_of

_SCOPE = InstrumentationScope("suanmesh")


@dataclass(frozen=True, slots=True)
class Exporter:
    """Where the kept spans of a process go."""

    resource: Resource
    processor: SpanProcessor


class CallTracerProvider(TracerProvider):
    """The SDK's provider, which the API keeps for the process; the spans of calls go where its own go."""

    def __init__(self, resource: Resource, processor: SpanProcessor, sampler: Sampler, limits: SpanLimits) -> None:
        super().__init__(sampler=sampler, resource=resource, shutdown_on_exit=False, span_limits=limits)
        self.add_span_processor(processor)
        self.exporter = Exporter(resource, processor)


class KeptSpan(ReadableSpan, Span):
    """A span that is recorded: the attributes of one call, its status, its end."""

    def __init__(
        self,
        out: Exporter,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
    ) -> None:
        super().__init__(
            name,
            context,
            parent,
            out.resource,
            attributes,
            kind=kind,
            instrumentation_scope=_SCOPE,
            start_time=time.time_ns(),
        )
        self._held = context
        self._noted = attributes
        self._out = out

    def get_span_context(self) -> SpanContext:
        """Its ids."""
        return self._held

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Note one fact."""
        if self._end_time is None:
            self._noted[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Note several."""
        if self._end_time is None:
            self._noted.update(attributes)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went."""
        if self._end_time is None:
            self._status = status if isinstance(status, Status) else Status(status, description)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note a moment."""
        if self._end_time is None:
            self._events = (*self._events, Event(name, attributes, timestamp))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Note an exception."""
        told = {"exception.type": type(exception).__qualname__, "exception.message": str(exception)}
        self.add_event("exception", {**told, **(attributes or {})}, timestamp)

    def update_name(self, name: str) -> None:
        """Call it otherwise."""
        self._name = name

    def end(self, end_time: int | None = None) -> None:
        """Send it on its way, once."""
        if self._end_time is None:
            self._end_time = time.time_ns() if end_time is None else end_time
            self._out.processor.on_end(self)


class UnkeptSpan(NonRecordingSpan):
    """A span that is not recorded; its ids are read out of its traceparent only where somebody asks."""

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        """W3C, always valid."""

    def get_span_context(self) -> SpanContext:
        """Its ids."""
        held = span_context_of(self.traceparent)
        if held is None:
            raise ValueError(f"{self.traceparent!r} is no traceparent")
        return held
