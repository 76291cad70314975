"""The two kinds of spans: kept ones, and the many of which only the header is passed on.

Own classes, because a job has dozens of them and each call one on each side: the SDK's general span costs ten times as
much. What comes out at the end is readable as the SDK's, so its processors and exporters take it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    use_span,
)
from opentelemetry.util.types import Attributes, AttributeValue

from suanmesh_telemetry.spans import SAMPLED, UNSAMPLED, span_context_of

ATTRIBUTE_LENGTH_MAX = 1_000
"""Longest text of an attribute, characters: its beginning is kept."""
_bits = random.getrandbits
"""As the SDK makes its ids."""

_SCOPE = InstrumentationScope("suanmesh")


@dataclass(frozen=True, slots=True)
class Exporter:
    """Where the kept spans of a process go."""

    resource: Resource
    processor: SpanProcessor


class KeptTracerProvider(TracerProvider):
    """The SDK's provider, which the API keeps for the process, with tracers of our own."""

    def __init__(self, resource: Resource, processor: SpanProcessor) -> None:
        super().__init__(resource=resource, shutdown_on_exit=False)
        self.add_span_processor(processor)
        self.exporter = Exporter(resource, processor)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """One for all modules."""
        return KeptTracer(self.exporter)


class KeptTracer(Tracer):
    """A span follows its parent, and what has none is not kept: kept traces begin with calls, see `CallSpans`."""

    def __init__(self, out: Exporter) -> None:
        self._out = out

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """A span below the one that is current in `context`."""
        parent = get_current_span(context).get_span_context()
        if not parent.is_valid:
            return NonRecordingSpan(
                SpanContext(_bits(128) or 1, _bits(64) or 1, is_remote=False, trace_flags=UNSAMPLED)
            )
        if not parent.trace_flags.sampled:
            return NonRecordingSpan(parent)
        return KeptSpan(self._out, name, below(parent), parent, kind, dict(attributes or {}), start_time)

    @contextmanager
    def start_as_current_span(  # type: ignore[override]  # declared with a class of OpenTelemetry's own
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        """The same, current inside the block."""
        begun = self.start_span(name, context, kind, attributes, links, start_time)
        with use_span(
            begun,
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ):
            yield begun


def below(parent: SpanContext | None) -> SpanContext:
    """The ids of a kept span below `parent`, or of the first of a trace."""
    trace_id = parent.trace_id if parent is not None else _bits(128) or 1
    return SpanContext(trace_id, _bits(64) or 1, is_remote=False, trace_flags=SAMPLED)


class KeptSpan(ReadableSpan, Span):
    """A span that is recorded: its attributes, its status, its end."""

    def __init__(
        self,
        out: Exporter,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        start_time: int | None = None,
    ) -> None:
        """`attributes` are the span's own from now on."""
        for key, value in attributes.items():
            attributes[key] = _cut(value)
        super().__init__(
            name,
            context,
            parent,
            out.resource,
            attributes,
            kind=kind,
            instrumentation_scope=_SCOPE,
            start_time=time.time_ns() if start_time is None else start_time,
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
            self._noted[key] = _cut(value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Note several."""
        if self._end_time is None:
            for key, value in attributes.items():
                self._noted[key] = _cut(value)

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


def _cut(value: AttributeValue) -> AttributeValue:
    return value[:ATTRIBUTE_LENGTH_MAX] if isinstance(value, str) else value
