"""A refusal as `google.rpc.Status`, and back: the two halves of what crosses the wire when the answer is no."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from suanmesh_kernel.refusals import BY_CODE, Refusal, Unavailable
from suanmesh_sdk import reasons

M = TypeVar("M", bound=Message)

FACT_LENGTH_MAX = 400
MESSAGE_LENGTH_MAX = 1000
DETAILS_KEY = "grpc-status-details-bin"
MESH_DOMAIN = "mesh.suanmesh"
RETRY_DELAY_S = 0.02
"""What an UNAVAILABLE that says nothing itself asks callers to wait."""
FULL_DELAY_S = 0.5
"""How long to leave a server alone whose core has no room for a call."""
_TOO_LARGE_MARK = "larger than max"
_BROKEN = ("Internal error from Core", "Received RST_STREAM with error code")
"""What gRPC calls INTERNAL where the connection broke under a call: nobody's defect."""


class RemoteDefect(Refusal):
    """The server failed in a way it did not mean to; the fact `trace` helps its owner to find out why."""

    code = "INTERNAL"


def status_of(refusal: Refusal, *, area: str = "") -> status_pb2.Status:
    """The status that carries `refusal` from `area`: ErrorInfo, one further detail, texts in en and zh, help.

    A refusal that came from another service keeps its own domain and texts.
    """
    domain = refusal.domain or _domain(refusal.reason, area)
    message = refusal.message[:MESSAGE_LENGTH_MAX]
    facts = {key[:64]: value[:FACT_LENGTH_MAX] for key, value in refusal.facts.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=refusal.reason, domain=domain, metadata=facts)]
    further = _further(refusal, facts, message, domain)
    if further is not None:
        details.append(further)
    chinese = refusal.localized.get("zh") or reasons.chinese(domain, refusal.reason, facts)
    details.append(error_details_pb2.LocalizedMessage(locale="en", message=refusal.localized.get("en") or message))
    details.append(error_details_pb2.LocalizedMessage(locale="zh", message=chinese))
    link = error_details_pb2.Help.Link(description="What it means and what to do", url=reasons.help_url(refusal.reason))
    details.append(error_details_pb2.Help(links=[link]))
    status = status_pb2.Status(code=code_pb2.Code.Value(refusal.code), message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def refusal_of(status: status_pb2.Status) -> Refusal:
    """The refusal that `status` carries; a code no refusal has becomes a RemoteDefect."""
    info = error_details_pb2.ErrorInfo()
    localized: dict[str, str] = {}
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = _unpacked(detail, error_details_pb2.ErrorInfo())
        elif detail.Is(error_details_pb2.LocalizedMessage.DESCRIPTOR):
            text = _unpacked(detail, error_details_pb2.LocalizedMessage())
            localized[text.locale] = text.message
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = _unpacked(detail, error_details_pb2.RetryInfo())
    code = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    refusal = _built(code, info, status.message)
    refusal.localized = localized
    refusal.retry_delay_s = max(0.0, retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
    return refusal


WRITE_FAILED = "Internal error from Core"
"""What grpc.aio makes of a write to a stream that its server has just ended: nothing went wrong inside the server."""


def refusal_of_call(code: str, message: str, details: bytes | None) -> Refusal:
    """The refusal behind a failed call: from its status details, or where there are none from the code alone."""
    if details:
        status = status_pb2.Status()
        try:
            status.ParseFromString(details)
        except DecodeError:
            status.Clear()
        if status.details:
            return refusal_of(status)
    return _bare(code, message)


def _built(code: str, info: error_details_pb2.ErrorInfo, message: str) -> Refusal:
    if not info.reason:
        return _bare(code, message)
    kind = BY_CODE.get(code, RemoteDefect)
    refusal = kind(info.reason, message, domain=info.domain)
    refusal.facts = dict(info.metadata)
    return refusal


def _bare(code: str, message: str) -> Refusal:
    """What gRPC itself says, without anything of ours."""
    message = message[:MESSAGE_LENGTH_MAX]
    if code == "CANCELLED":
        return Unavailable("NOT_READY", f"the server ended the call: {message}", domain=MESH_DOMAIN)
    if code == "INTERNAL" and message == WRITE_FAILED:
        return Unavailable("NOT_READY", "the server ended the call while it was written to", domain=MESH_DOMAIN)
    if code == "RESOURCE_EXHAUSTED" and _TOO_LARGE_MARK not in message:
        return Unavailable("PROCESS_FULL", message, domain=MESH_DOMAIN, retry_delay_s=FULL_DELAY_S)
    if code == "INTERNAL" and message.startswith(_BROKEN):
        return Unavailable("NOT_READY", f"the connection broke: {message}", domain=MESH_DOMAIN)
    reason = reasons.OF_BARE_CODES.get(code, "DEFECT")
    return BY_CODE.get(code, RemoteDefect)(reason, message, domain=MESH_DOMAIN)


def _domain(reason: str, area: str) -> str:
    if area and (reasons.is_reason(area, reason) or not reasons.is_reason("mesh", reason)):
        return f"{area}.suanmesh"
    return MESH_DOMAIN


def _further(refusal: Refusal, facts: dict[str, str], message: str, domain: str) -> Message | None:
    """The one detail a generic client understands without knowing our reasons."""
    subject = facts.get("name") or facts.get("resource", "")
    detail: Message | None = None
    if refusal.retry_delay_s or refusal.code == "UNAVAILABLE":
        delay = duration_pb2.Duration()
        delay.FromMicroseconds(round((refusal.retry_delay_s or RETRY_DELAY_S) * 1e6))
        detail = error_details_pb2.RetryInfo(retry_delay=delay)
    elif refusal.code == "INVALID_ARGUMENT":
        violation = error_details_pb2.BadRequest.FieldViolation(field=facts.get("field", ""), description=message)
        detail = error_details_pb2.BadRequest(field_violations=[violation])
    elif refusal.code in ("NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED"):
        detail = error_details_pb2.ResourceInfo(resource_name=subject, description=message)
    elif refusal.code in ("FAILED_PRECONDITION", "ABORTED"):
        failed = error_details_pb2.PreconditionFailure.Violation(
            type=refusal.reason, subject=subject or domain, description=message
        )
        detail = error_details_pb2.PreconditionFailure(violations=[failed])
    elif refusal.code == "RESOURCE_EXHAUSTED":
        used_up = error_details_pb2.QuotaFailure.Violation(subject=subject or domain, description=message)
        detail = error_details_pb2.QuotaFailure(violations=[used_up])
    return detail


def _unpacked(detail: any_pb2.Any, into: M) -> M:
    detail.Unpack(into)
    return into
