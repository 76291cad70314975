"""What can go wrong between a client and etcd.

EtcdError
├── Unavailable       no member answered; the call was surely not carried out
├── OutcomeUnknown    a write was sent and its answer lost: it may or may not have been carried out
├── Compacted         the revision asked for is gone; `compact_revision` is the first that is not
├── LeaseNotFound     the lease has lapsed or was revoked
├── TooManyOperations the transaction is larger than the server's --max-txn-ops
├── TooLarge          the request is larger than the server takes
├── NoSpace           the server's quota is used up
├── CopyTorn          a copy of the store is not what its member sent
├── AlreadyThere      a user or role of that name, or a member at that address, is there
└── Denied            the certificate's user may not do this
"""

from __future__ import annotations

import enum
import re

import grpc


class EtcdError(Exception):
    """etcd refused or could not be asked."""


class Unavailable(EtcdError):
    """No member answered; the call was surely not carried out, or it was a read."""


class OutcomeUnknown(EtcdError):
    """A write was sent and its answer lost: it may or may not have been carried out."""


class Compacted(EtcdError):
    """The revision asked for is gone."""

    def __init__(self, compact_revision: int = 0) -> None:
        super().__init__(f"compacted up to revision {compact_revision}" if compact_revision else "compacted")
        self.compact_revision = compact_revision


class LeaseNotFound(EtcdError):
    """The lease has lapsed or was revoked."""


class TooManyOperations(EtcdError):
    """The transaction has more operations than the server's --max-txn-ops."""


class TooLarge(EtcdError):
    """The request is larger than the server takes."""


class NoSpace(EtcdError):
    """The server's quota is used up; compact and defragment it."""


class CopyTorn(EtcdError):
    """A copy of the store is not what its member sent: it is cut off, or its bytes are others."""


class AlreadyThere(EtcdError):
    """A user or role of that name, or a member at that address, is there."""


class Denied(EtcdError):
    """The certificate's user may not do this."""


class Verdict(enum.Enum):
    """What a failed attempt means."""

    NOT_CARRIED_OUT = "not carried out"
    UNKNOWN = "unknown"
    FINAL = "final"


_NEVER_SENT = re.compile(
    r"failed to connect to all addresses|connections to all backends failing|empty address list|dns resolution failed",
    re.IGNORECASE,
)
"""What gRPC's picker says when it had no connection to send on; a broken connection says something else."""
_UNSURE = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
)
_DROPPED_BY_SERVER = (
    "etcdserver: no leader",
    "etcdserver: not leader",
    "etcdserver: too many requests",
    "etcdserver: revision of auth store is old",  # users or roles were changed while it was on its way
    "etcdserver: rpc not supported for learner",
    "etcdserver: unhealthy cluster",
)
_FINAL: tuple[tuple[str, type[EtcdError]], ...] = (
    ("required revision has been compacted", Compacted),
    ("requested lease not found", LeaseNotFound),
    ("too many operations", TooManyOperations),
    ("request is too large", TooLarge),
    ("larger than max", TooLarge),
    ("database space exceeded", NoSpace),
    ("name already exists", AlreadyThere),
    ("member ID already exist", AlreadyThere),
    ("Peer URLs already exists", AlreadyThere),
)


def verdict_of(error: grpc.aio.AioRpcError) -> Verdict:
    """Whether a failed attempt was surely not carried out, may have been, or is an answer."""
    code, details = error.code(), error.details() or ""
    if any(text in details for text in _DROPPED_BY_SERVER):
        return Verdict.NOT_CARRIED_OUT
    if code is grpc.StatusCode.UNAVAILABLE:
        return Verdict.NOT_CARRIED_OUT if _NEVER_SENT.search(details) else Verdict.UNKNOWN
    return Verdict.UNKNOWN if code in _UNSURE else Verdict.FINAL


def error_of(error: grpc.aio.AioRpcError) -> EtcdError:
    """The typed error of an answer that will not change by asking again."""
    details = error.details() or ""
    for text, kind in _FINAL:
        if text in details:
            return kind() if kind is Compacted else kind(details)
    if error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return Denied(details)
    return EtcdError(f"{error.code().name}: {details}")


def first_of(group: ExceptionGroup[Exception]) -> Exception:
    """The etcd error a group of tasks failed with; the group itself where it is something else.

    In place of `except*`: what that raises is wrapped in a group anew before Python 3.11.4.
    """
    errors = group.subgroup(EtcdError)
    return group if errors is None else errors.exceptions[0]
