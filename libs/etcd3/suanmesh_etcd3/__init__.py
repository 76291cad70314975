"""An asyncio client of etcd's v3 API that never loses a watch event, never lies about a lease or a write."""

from suanmesh_etcd3.access import User, confine
from suanmesh_etcd3.client import Client, connect
from suanmesh_etcd3.cluster import add_learner, announce_peer, members_of, promote, remove_member
from suanmesh_etcd3.election import Election, Leadership
from suanmesh_etcd3.endpoints import Tls
from suanmesh_etcd3.errors import (
    AlreadyThere,
    Compacted,
    CopyTorn,
    Denied,
    EtcdError,
    LeaseNotFound,
    NoSpace,
    OutcomeUnknown,
    TooLarge,
    TooManyOperations,
    Unavailable,
)
from suanmesh_etcd3.leases import Lease
from suanmesh_etcd3.saving import CopyCheck
from suanmesh_etcd3.session import Session
from suanmesh_etcd3.values import (
    Compare,
    DeleteResult,
    Event,
    KeyRange,
    KeyValue,
    Member,
    Op,
    PutResult,
    RangeResult,
    Status,
    TxnResult,
    prefix_end,
)
from suanmesh_etcd3.watch import Batch, Reset

__all__ = [
    "AlreadyThere",
    "Batch",
    "Client",
    "Compacted",
    "Compare",
    "CopyCheck",
    "CopyTorn",
    "DeleteResult",
    "Denied",
    "Election",
    "EtcdError",
    "Event",
    "KeyRange",
    "KeyValue",
    "Leadership",
    "Lease",
    "LeaseNotFound",
    "Member",
    "NoSpace",
    "Op",
    "OutcomeUnknown",
    "PutResult",
    "RangeResult",
    "Reset",
    "Session",
    "Status",
    "Tls",
    "TooLarge",
    "TooManyOperations",
    "TxnResult",
    "Unavailable",
    "User",
    "add_learner",
    "announce_peer",
    "confine",
    "connect",
    "members_of",
    "prefix_end",
    "promote",
    "remove_member",
]
