"""What a test needs to look at the spans of its own process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from suanmesh_telemetry.traces import Origin, install


class _Recorder(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.waiting: asyncio.Event | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        if self.waiting is not None:
            self.waiting.set()
        return SpanExportResult.SUCCESS


_RECORDER = _Recorder()


def record_spans() -> None:
    """Keep every span that ends from now on, and forget those before. The tracer of a process is set up once."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        install(Origin("test", "test"), [SimpleSpanProcessor(_RECORDER)])
    _RECORDER.spans.clear()


def recorded_spans() -> list[ReadableSpan]:
    """The spans that have ended since, in the order of their ends."""
    return list(_RECORDER.spans)


async def ended_spans(count: int, *, timeout_s: float = 60.0) -> list[ReadableSpan]:
    """The same, as soon as there are `count`: a client may learn of a call's end before the server's span has ended."""
    async with asyncio.timeout(timeout_s):
        while len(_RECORDER.spans) < count:
            _RECORDER.waiting = asyncio.Event()
            await _RECORDER.waiting.wait()
    return recorded_spans()
