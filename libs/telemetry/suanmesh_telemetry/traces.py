"""The tracing SDK as a process builds it once: what is kept, the bounded queue, the exporter, the flush at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
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
NODE_HEADER = "suanmesh-node"
"""Tells a receiver of several nodes from which one spans come, before it reads them."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The process that spans come from, as every backend is told."""

    area: str
    instance: str
    node: str = ""
    version: str = ""
    host: str = ""

    def resource(self) -> Resource:
        """With what `OTEL_RESOURCE_ATTRIBUTES` adds."""
        told = {
            names.SERVICE_NAME: self.area,
            names.SERVICE_INSTANCE: self.instance,
            names.SERVICE_VERSION: self.version,
            names.HOST_NAME: self.host,
            names.NODE: self.node,
            names.LAYER: names.LAYERS.get(self.area, ""),
        }
        return Resource.create({key: value for key, value in told.items() if value})


class Pems(Protocol):
    """Certificates and a key in PEM, empty where there is none."""

    @property
    def ca(self) -> bytes:
        """Who may have issued what the other side shows."""

    @property
    def certificate(self) -> bytes:
        """What is shown."""

    @property
    def key(self) -> bytes:
        """Of the certificate."""


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """A receiver of OTLP over gRPC, such as the node's own trace store."""

    endpoint: str
    """`host:port`."""
    plain: bool = False
    """Without TLS; then nothing below is used but `headers` and `gzip`."""
    server_name: str = ""
    """What its certificate is checked against, where that is not the host of `endpoint`."""
    ca: bytes = b""
    """Who may have issued its certificate, PEM; empty for those that this machine trusts."""
    certificate: bytes = b""
    """What is shown to it, PEM, with `key`; empty for nothing."""
    key: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with every export, such as a token."""
    gzip: bool = False
    current: Callable[[], Pems] | None = None
    """Of a certificate that renews: what there is now in the place of `ca`, `certificate` and `key`; another object
    once that has changed."""

    @property
    def label(self) -> str:
        """What it is called in metrics."""
        return self.endpoint

    def exporter(self, node: str) -> SpanExporter:
        """What sends to it the spans of a process of `node`."""
        return _Exporter(self, node)


class Target(Protocol):
    """A receiver of spans."""

    @property
    def label(self) -> str:
        """What it is called in metrics."""

    def exporter(self, node: str) -> SpanExporter:
        """What sends to it the spans of a process of `node`."""


class _Counted(BatchSpanProcessor):
    """Counts what does not fit its queue instead of losing it in silence."""

    def __init__(self, inside: SpanExporter, backend: str) -> None:
        super().__init__(
            CountingExporter(inside, backend),
            max_queue_size=QUEUE_SPANS_MAX,
            schedule_delay_millis=SCHEDULE_DELAY_MS,
            max_export_batch_size=BATCH_SPANS_MAX,
        )
        self._dropped = SPANS_DROPPED.labels(backend)

    def on_end(self, span: ReadableSpan) -> None:
        if len(self._batch_processor._queue) >= QUEUE_SPANS_MAX:
            self._dropped.inc()
            return
        super().on_end(span)


class CountingExporter(SpanExporter):
    """Counts what the exporter inside it does not bring away; a span that cannot be encoded costs no other one."""

    def __init__(self, inside: SpanExporter, backend: str) -> None:
        self._inside = inside
        self._dropped = SPANS_DROPPED.labels(backend)

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
            self._dropped.inc(lost)
        return result

    def shutdown(self) -> None:
        """End the exporter inside."""
        self._inside.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter inside."""
        return self._inside.force_flush(timeout_millis)


class _Exporter(SpanExporter):
    """The exporter of OpenTelemetry, made anew when another certificate is to be shown."""

    def __init__(self, target: OtlpTarget, node: str) -> None:
        self._target, self._node = target, node
        self._shown = self._current()
        self._inside = _exporter(target, node, self._shown)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send `spans`, on the processor's own thread."""
        if (shown := self._current()) is not self._shown:
            self._shown = shown
            self._inside.shutdown()
            self._inside = _exporter(self._target, self._node, shown)
        return self._inside.export(spans)

    def shutdown(self) -> None:
        """End the exporter inside."""
        self._inside.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter inside."""
        return self._inside.force_flush(timeout_millis)

    def _current(self) -> Pems:
        return self._target.current() if self._target.current else self._target


def _encodable(span: ReadableSpan) -> bool:
    try:
        encode_spans([span]).SerializeToString()
    except Exception:  # noqa: BLE001 - see above
        return False
    return True


class Tracing:
    """The spans of this process on their way out."""

    def __init__(self, processors: Sequence[SpanProcessor]) -> None:
        self._processors = processors

    async def close(self) -> None:
        """Send what is left, for a bounded time and off the event loop, since the SDK joins a thread.

        Each backend has all of that time, however long another one takes.
        """
        loop, ended, left = asyncio.get_running_loop(), asyncio.Event(), len(self._processors)

        def one_less() -> None:
            nonlocal left
            left -= 1
            if not left:
                ended.set()

        def shut_down(processor: SpanProcessor) -> None:
            processor.shutdown()
            with suppress(RuntimeError):  # the loop has not waited so long
                loop.call_soon_threadsafe(one_less)

        # No threads of an executor: the end of the loop would wait for them, however long they take.
        for each in self._processors:
            threading.Thread(target=shut_down, args=(each,), name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_BOUND_S):
                await ended.wait()


def start_tracing(origin: Origin, targets: Sequence[Target]) -> Tracing:
    """Send the spans of this process to each of `targets`, at least one, each from a queue of its own.

    Called once a process, before its first call.
    """
    return install(origin, [_Counted(target.exporter(origin.node), target.label) for target in targets])


def install(origin: Origin, processors: Sequence[SpanProcessor]) -> Tracing:
    """Have each of `processors` take every span of the process."""
    taking = processors[0] if len(processors) == 1 else _Several(processors)
    trace.set_tracer_provider(KeptTracerProvider(origin.resource(), taking))
    return Tracing(processors)


class _Several(SpanProcessor):
    """Each span goes to all of them; none of them waits."""

    def __init__(self, processors: Sequence[SpanProcessor]) -> None:
        self._processors = processors

    def on_end(self, span: ReadableSpan) -> None:
        for each in self._processors:
            each.on_end(span)


def _exporter(target: OtlpTarget, node: str, shown: Pems) -> OTLPSpanExporter:
    """Everything is told: what is not, the exporter takes from the environment, which is of one backend alone."""
    credentials = None
    if not target.plain:
        pair = (shown.key or None, shown.certificate or None)
        credentials = grpc.ssl_channel_credentials(shown.ca or None, *pair)
    return OTLPSpanExporter(
        endpoint=f"{'http' if target.plain else 'https'}://{target.endpoint}",
        insecure=target.plain,
        credentials=credentials,
        headers=((NODE_HEADER, node or "-"), *target.headers),
        timeout=EXPORT_TIMEOUT_S,
        compression=grpc.Compression.Gzip if target.gzip else grpc.Compression.NoCompression,
        channel_options=(("grpc.ssl_target_name_override", target.server_name),) if target.server_name else None,
    )
