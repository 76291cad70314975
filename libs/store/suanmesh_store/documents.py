"""Documents as bytes and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry import trace

from suanmesh.type.v1.document_pb2 import Document, RequestRecord
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_store.keyspace import Entry
from suanmesh_store.layout import Kind, M
from suanmesh_store.values import Author, Held, IdempotencyRecord, LeasedKey

DOCUMENT_BYTES_MAX = 8 * 1024
"""A larger one belongs into the owner's archive (architecture, decision 7)."""


class Unreadable(Exception):
    """A value is not the document it should be: somebody else wrote there, or wrote another contract."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is the same in every document of one commit."""

    moment: datetime
    author: Author | None
    traceparent: str
    fence: int


def encoded(held: Held[M], fence: int) -> bytes:
    """The bytes of a document.

    Raises InvalidArgument (`DOCUMENT_TOO_LARGE`).
    """
    document = Document(
        kind=held.message.DESCRIPTOR.full_name,
        payload=held.message.SerializeToString(),
        uid=held.uid,
        etag=held.version,
        principal=held.principal,
        request_id=held.request_id,
        traceparent=held.traceparent,
        update_time=_timestamp(held.update_time),
        writer_fence=fence,
    )
    data = document.SerializeToString()
    if len(data) > DOCUMENT_BYTES_MAX:
        raise InvalidArgument(
            "DOCUMENT_TOO_LARGE",
            f"{held.name} would take {len(data)} bytes, {DOCUMENT_BYTES_MAX} are allowed",
            domain="mesh.suanmesh",
            name=held.name,
            size_bytes=len(data),
            limit_bytes=DOCUMENT_BYTES_MAX,
        )
    return data


def decoded(kind: Kind[M], entry: Entry) -> Held[M]:
    """The document at a key.

    Raises Unreadable if it is not of this kind.
    """
    message = kind.message()
    try:
        document = Document.FromString(entry.value)
        message.ParseFromString(document.payload)
    except DecodeError as error:
        raise Unreadable(f"{entry.key}: {error}") from error
    if document.kind != message.DESCRIPTOR.full_name:
        raise Unreadable(f"{entry.key} is a {document.kind or 'bare value'}, not a {message.DESCRIPTOR.full_name}")
    return Held(
        kind=kind,
        name=kind.name(entry.key),
        message=message,
        uid=document.uid,
        version=document.etag,
        mod_revision=entry.mod_revision,
        lease=entry.lease,
        principal=document.principal,
        request_id=document.request_id,
        traceparent=document.traceparent,
        update_time=_moment(document.update_time),
    )


def created(kind: Kind[M], name: str, message: M, uid: str, lease: int, stamp: Stamp) -> Held[M]:
    """The first version of a document; its revision is known once it is committed."""
    return Held(
        kind=kind,
        name=name,
        message=message,
        uid=uid,
        version=1,
        mod_revision=0,
        lease=lease,
        principal=stamp.author.principal if stamp.author else "",
        request_id=stamp.author.request_id if stamp.author else "",
        traceparent=stamp.traceparent,
        update_time=stamp.moment,
    )


def updated(held: Held[M], message: M, stamp: Stamp) -> Held[M]:
    """The next version. A reconciler writes on behalf of whoever wrote before, and goes on in the same trace."""
    return Held(
        kind=held.kind,
        name=held.name,
        message=message,
        uid=held.uid,
        version=held.version + 1,
        mod_revision=0,
        lease=held.lease,
        principal=stamp.author.principal if stamp.author else held.principal,
        request_id=stamp.author.request_id if stamp.author else "",
        traceparent=stamp.traceparent or held.traceparent,
        update_time=stamp.moment,
    )


def at_revision(held: Held[M], revision: int) -> Held[M]:
    """The same document once it is known when it was committed."""
    return Held(
        held.kind,
        held.name,
        held.message,
        held.uid,
        held.version,
        revision,
        held.lease,
        held.principal,
        held.request_id,
        held.traceparent,
        held.update_time,
    )


def request_record(idempotency: IdempotencyRecord) -> bytes:
    """The bytes of a remembered answer."""
    return RequestRecord(
        method=idempotency.key.method,
        body_digest=idempotency.body_digest,
        answer_kind=idempotency.answer.DESCRIPTOR.full_name,
        answer=idempotency.answer.SerializeToString(),
    ).SerializeToString()


def token(entry: Entry) -> LeasedKey:
    """A bare key as its reader sees it."""
    return LeasedKey(entry.key, entry.value, entry.create_revision, entry.mod_revision, entry.lease)


def current_traceparent() -> str:
    """W3C trace context of the current span; empty outside of any."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def _timestamp(moment: datetime) -> Timestamp:
    seconds = int(moment.timestamp())
    return Timestamp(seconds=seconds, nanos=moment.microsecond * 1000)


def _moment(timestamp: Timestamp) -> datetime:
    return datetime.fromtimestamp(timestamp.seconds, UTC).replace(microsecond=timestamp.nanos // 1000)
