"""Client spans by the OpenTelemetry database conventions, only where the caller is being traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from suanmesh_etcd3.errors import EtcdError

_tracer = trace.get_tracer("suanmesh_etcd3")


def traced() -> bool:
    """Whether the caller's span is recorded."""
    return trace.get_current_span().is_recording()


@contextmanager
def client_span(operation: str, key: bytes) -> Iterator[None]:
    """A CLIENT span `etcd.<operation>` around one call."""
    attributes = {
        "db.system.name": "etcd",
        "db.operation.name": operation,
        "db.query.summary": f"{operation} {_collection(key)}",
    }
    span = _tracer.start_span(f"etcd.{operation}", kind=SpanKind.CLIENT, attributes=attributes)
    try:
        yield
    except EtcdError as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR, str(error)))
        raise
    finally:
        span.end()


def _collection(key: bytes) -> str:
    """The first three parts of a key: enough to tell keys apart by kind, few enough to count."""
    return "/".join(key.decode(errors="replace").split("/")[:4])
