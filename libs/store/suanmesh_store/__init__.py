"""Documents in etcd: one writer per prefix, always against what was read; mirrors, leases, holds, elections."""

from __future__ import annotations

from suanmesh_store.holds import Holds, NewHold, attachment_of, confirmed
from suanmesh_store.keyspace import Keyspace, KeyspaceError, KeyspaceErrorKind
from suanmesh_store.layout import Kind
from suanmesh_store.memory import MemoryKeyspace, MemoryStore
from suanmesh_store.mirror import Mirror, open_mirror
from suanmesh_store.ports import NOT_LEADING, Leadership, RoundLease, Store
from suanmesh_store.projections import Groups, Projection, Tally
from suanmesh_store.values import (
    AlreadyAnswered,
    Answered,
    Author,
    Batch,
    Change,
    Changed,
    Committed,
    Confirm,
    Conflict,
    Create,
    Delete,
    Guard,
    Held,
    IdempotencyKey,
    IdempotencyRecord,
    LeasedKey,
    LeasedKeyBatch,
    LeasedKeys,
    Listing,
    Unchanged,
    Update,
)
from suanmesh_store.work_queue import WorkQueue

__all__ = [
    "NOT_LEADING",
    "AlreadyAnswered",
    "Answered",
    "Author",
    "Batch",
    "Change",
    "Changed",
    "Committed",
    "Confirm",
    "Conflict",
    "Create",
    "Delete",
    "Groups",
    "Guard",
    "Held",
    "Holds",
    "IdempotencyKey",
    "IdempotencyRecord",
    "Keyspace",
    "KeyspaceError",
    "KeyspaceErrorKind",
    "Kind",
    "Leadership",
    "LeasedKey",
    "LeasedKeyBatch",
    "LeasedKeys",
    "Listing",
    "MemoryKeyspace",
    "MemoryStore",
    "Mirror",
    "NewHold",
    "Projection",
    "RoundLease",
    "Store",
    "Tally",
    "Unchanged",
    "Update",
    "WorkQueue",
    "attachment_of",
    "confirmed",
    "open_mirror",
]
