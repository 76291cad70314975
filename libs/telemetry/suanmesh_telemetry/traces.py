"""The tracing SDK as a process builds it once: what is kept, the bounded queue, the exporter, the flush at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from suanmesh_telemetry import names
from suanmesh_telemetry.kept_spans import KeptTracerProvider
from suanmesh_telemetry.metrics import SPANS_DROPPED

QUEUE_SPANS_MAX = 8192
BATCH_SPANS_MAX = 512
SCHEDULE_DELAY_MS = 1_000
"""How late a span is shown at most: each export costs both ends a call, however few spans are in it."""
EXPORT_TIMEOUT_S = 5
FLUSH_BOUND_S = 3.0


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """Where spans go: an OTLP receiver that asks for a client certificate."""

    endpoint: str
    """`host:port`."""
    server_name: str
    """What its certificate is checked against."""
    ca: bytes
    certificate: bytes
    key: bytes


class _Counted(BatchSpanProcessor):
    """Counts what does not fit its queue instead of losing it in silence."""

    def on_end(self, span: ReadableSpan) -> None:
        if len(self._batch_processor._queue) >= QUEUE_SPANS_MAX:
            SPANS_DROPPED.inc()
            return
        super().on_end(span)


class CountingExporter(SpanExporter):
    """Counts what the exporter inside it does not bring away; a span that cannot be encoded costs no other one."""

    def __init__(self, inside: SpanExporter) -> None:
        self._inside = inside

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send `spans`, on the processor's own thread."""
        result, sent = SpanExportResult.FAILURE, 0
        try:
            result, sent = self._inside.export(spans), len(spans)
        except Exception:  # noqa: BLE001 - the encoder fails in as many ways as there are values
            sound = [each for each in spans if _encodable(each)]
            if sound and len(sound) < len(spans):
                result, sent = self._inside.export(sound), len(sound)
        lost = len(spans) - (sent if result is SpanExportResult.SUCCESS else 0)
        if lost:
            SPANS_DROPPED.inc(lost)
        return result

    def shutdown(self) -> None:
        """End the exporter inside."""
        self._inside.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter inside."""
        return self._inside.force_flush(timeout_millis)


def _encodable(span: ReadableSpan) -> bool:
    try:
        encode_spans([span]).SerializeToString()
    except Exception:  # noqa: BLE001 - see above
        return False
    return True


class Tracing:
    """The spans of this process on their way out."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    async def close(self) -> None:
        """Send what is left, for a bounded time and off the event loop, since the SDK joins a thread."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has not waited so long
                loop.call_soon_threadsafe(ended.set)

        # No thread of an executor: the end of the loop would wait for it, however long it takes.
        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_BOUND_S):
                await ended.wait()


def start_tracing(area: str, instance: str, target: OtlpTarget) -> Tracing:
    """Send the spans of this process to `target`; called once a process, before its first call."""
    credentials = grpc.ssl_channel_credentials(target.ca, target.key, target.certificate)
    exporter = OTLPSpanExporter(
        endpoint=f"https://{target.endpoint}",
        credentials=credentials,
        timeout=EXPORT_TIMEOUT_S,
        channel_options=(("grpc.ssl_target_name_override", target.server_name),),
    )
    processor = _Counted(
        CountingExporter(exporter),
        max_queue_size=QUEUE_SPANS_MAX,
        schedule_delay_millis=SCHEDULE_DELAY_MS,
        max_export_batch_size=BATCH_SPANS_MAX,
    )
    return install(area, instance, processor)


def install(area: str, instance: str, processor: SpanProcessor) -> Tracing:
    """Have `processor` take every span of the process."""
    attributes = {"service.name": area, "service.instance.id": instance, names.LAYER: names.LAYERS.get(area, "")}
    resource = Resource(attributes)
    provider = KeptTracerProvider(resource, processor)
    trace.set_tracer_provider(provider)
    return Tracing(provider)
