"""What a caller is told about an error of the keyspace."""

from __future__ import annotations

from typing import Any

from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Unavailable
from suanmesh_store.keyspace import KeyspaceError, KeyspaceErrorKind


def refusal_of(error: KeyspaceError) -> Unavailable | FailedPrecondition | InvalidArgument:
    """What a caller is told about an error of the keyspace."""
    domain: dict[str, Any] = {"domain": "mesh.suanmesh"}
    match error.kind:
        case KeyspaceErrorKind.UNREACHABLE:
            return Unavailable("STORE_AWAY", f"etcd cannot be reached: {error}", **domain)
        case KeyspaceErrorKind.UNKNOWN:
            return outcome_unknown()
        case KeyspaceErrorKind.LEASE_GONE:
            return FailedPrecondition("HOLD_LAPSED", "what it was to be attached to is over")
        case KeyspaceErrorKind.FULL:
            return Unavailable("DISK_FULL", f"etcd is out of space: {error}", **domain)
        case KeyspaceErrorKind.REFUSED:
            return Unavailable("STORE_AWAY", f"etcd refuses it: {error}", **domain)
        case KeyspaceErrorKind.TOO_LARGE:
            return InvalidArgument("DOCUMENT_TOO_LARGE", f"too much for one transaction: {error}", **domain)


def outcome_unknown() -> Unavailable:
    """A write of which nobody can say whether it was applied."""
    message = "it is not known whether the write was applied; repeat it with the same request_id"
    return Unavailable("OUTCOME_UNKNOWN", message, domain="mesh.suanmesh")
