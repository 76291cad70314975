"""Keys, conditions, operations and results, as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb

Key = str | bytes
Relation = Literal["=", "!=", "<", ">"]

_RELATIONS = {
    "=": pb.Compare.EQUAL,
    "!=": pb.Compare.NOT_EQUAL,
    "<": pb.Compare.LESS,
    ">": pb.Compare.GREATER,
}


# Looked up once: protobuf searches an enum for a value each time it is named.
_DELETE = pb.Event.DELETE
_EQUAL, _MOD, _CREATE = pb.Compare.EQUAL, pb.Compare.MOD, pb.Compare.CREATE


def raw(key: Key) -> bytes:
    """A key as etcd knows it."""
    return key.encode() if isinstance(key, str) else key


def prefix_end(prefix: Key) -> bytes:
    """One past the last key that begins with `prefix`; a zero byte, meaning all, for an empty one."""
    stem = raw(prefix).rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


class KeyValue(NamedTuple):
    """A key as it stood at some revision. A tuple, because there are hundreds of thousands and it is built faster."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Event(NamedTuple):
    """One change of a key; a deletion has no value and its `create_revision`, `version` and `lease` are 0."""

    kind: Literal["put", "delete"]
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int

    def key_value(self) -> KeyValue:
        """The key as it stands after a put."""
        return KeyValue(self.key, self.value, self.create_revision, self.mod_revision, self.version, self.lease)


# Building from a tuple skips the unpacking of named arguments, which costs as much as all else that is done for a key.
_key_value_of = KeyValue._make
_event_of = Event._make


class Compare:
    """Builders of conditions."""

    @staticmethod
    def mod_revision(key: Key, relation: Relation, revision: int) -> pb.Compare:
        """Compare the revision of the key's last change; 0 when it is not there."""
        return pb.Compare(result=_RELATIONS[relation], target=pb.Compare.MOD, key=raw(key), mod_revision=revision)

    @staticmethod
    def create_revision(key: Key, relation: Relation, revision: int) -> pb.Compare:
        """Compare the revision of the key's creation; 0 when it is not there."""
        return pb.Compare(result=_RELATIONS[relation], target=pb.Compare.CREATE, key=raw(key), create_revision=revision)

    @staticmethod
    def version(key: Key, relation: Relation, version: int) -> pb.Compare:
        """Compare how often the key changed; 0 when it is not there."""
        return pb.Compare(result=_RELATIONS[relation], target=pb.Compare.VERSION, key=raw(key), version=version)

    @staticmethod
    def value(key: Key, relation: Relation, value: bytes) -> pb.Compare:
        """Compare the key's value; a key that is not there never compares equal."""
        return pb.Compare(result=_RELATIONS[relation], target=pb.Compare.VALUE, key=raw(key), value=value)

    @staticmethod
    def lease(key: Key, relation: Relation, lease: int) -> pb.Compare:
        """Compare the lease the key lives on; 0 for none."""
        return pb.Compare(result=_RELATIONS[relation], target=pb.Compare.LEASE, key=raw(key), lease=lease)


class Op:
    """Builders of operations."""

    @staticmethod
    def put(
        key: Key, value: bytes = b"", *, lease: int = 0, ignore_value: bool = False, ignore_lease: bool = False
    ) -> pb.RequestOp:
        """Write a key; `ignore_value` with lease 0 detaches it from its lease and keeps what it says."""
        put = pb.PutRequest(
            key=raw(key), value=value, lease=lease, ignore_value=ignore_value, ignore_lease=ignore_lease
        )
        return pb.RequestOp(request_put=put)

    @staticmethod
    def get(key: Key) -> pb.RequestOp:
        """Read a key."""
        return pb.RequestOp(request_range=pb.RangeRequest(key=raw(key)))

    @staticmethod
    def range(prefix: Key, *, limit: int = 0, keys_only: bool = False) -> pb.RequestOp:
        """Read the keys that begin with `prefix`."""
        request = pb.RangeRequest(key=raw(prefix), range_end=prefix_end(prefix), limit=limit, keys_only=keys_only)
        return pb.RequestOp(request_range=request)

    @staticmethod
    def delete(key: Key) -> pb.RequestOp:
        """Delete a key."""
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=raw(key)))

    @staticmethod
    def delete_prefix(prefix: Key) -> pb.RequestOp:
        """Delete the keys that begin with `prefix`."""
        request = pb.DeleteRangeRequest(key=raw(prefix), range_end=prefix_end(prefix))
        return pb.RequestOp(request_delete_range=request)


@dataclass(frozen=True, slots=True)
class PutResult:
    """A write was carried out."""


@dataclass(frozen=True, slots=True)
class RangeResult:
    """What a read found."""

    kvs: tuple[KeyValue, ...]
    count: int
    more: bool


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """How many keys were deleted."""

    deleted: int


OpResult = PutResult | RangeResult | DeleteResult


@dataclass(frozen=True, slots=True)
class TxnResult:
    """Whether the conditions held, at which revision, and one result for each operation carried out."""

    succeeded: bool
    revision: int
    responses: tuple[OpResult, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How one member stands."""

    member_id: int
    leader_id: int
    version: str
    revision: int
    db_bytes: int

    @property
    def leads(self) -> bool:
        """Whether this member is the cluster's leader."""
        return self.member_id == self.leader_id


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a cluster, as the members know it."""

    member_id: int
    name: str
    """Empty until it has begun."""
    peer_urls: tuple[str, ...]
    addresses: tuple[str, ...]
    """`host:port` at which clients reach it; empty until it has begun."""
    learns: bool
    """Whether it only follows, and has no vote."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys under a prefix, sorted, all at one revision."""

    revision: int
    kvs: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some keys under a prefix, sorted, at one revision; `more` follow."""

    revision: int
    kvs: tuple[KeyValue, ...]
    more: bool


def key_value(kv: pb.KeyValue) -> KeyValue:
    """A key's wire form as a value."""
    return _key_value_of((kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease))


def events_after(revision: int, events: Iterable[pb.Event]) -> list[Event]:
    """The changes made after a revision, as values in the order they came."""
    found = []
    for event in events:
        kv = event.kv
        if kv.mod_revision > revision:
            kind = "delete" if event.type == _DELETE else "put"
            fields = (kind, kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
            found.append(_event_of(fields))
    return found


def op_result(response: pb.ResponseOp) -> OpResult:
    """An operation's answer as a value."""
    if response.HasField("response_range"):
        found = response.response_range
        return RangeResult(tuple(key_value(kv) for kv in found.kvs), found.count, found.more)
    if response.HasField("response_delete_range"):
        return DeleteResult(response.response_delete_range.deleted)
    return PutResult()


def guards_itself(compare: Sequence[pb.Compare], success: Sequence[pb.RequestOp]) -> bool:
    """Whether the transaction can be carried out once only, however often it is sent.

    That is so when it writes or deletes a key whose mod_revision it compares, or deletes one whose create_revision it
    compares: revisions never come back. A version may, and so may the absence of a key that somebody else deletes.
    """
    pinned = [c for c in compare if _pins_a_revision(c)]
    if not pinned:
        return False
    written = {op.request_put.key for op in success if op.HasField("request_put")}
    deleted = {
        op.request_delete_range.key
        for op in success
        if op.HasField("request_delete_range") and not op.request_delete_range.range_end
    }
    return any(c.key in deleted or (c.target == _MOD and c.key in written) for c in pinned)


def _pins_a_revision(c: pb.Compare) -> bool:
    """Whether the condition holds at one revision of one key that is there."""
    if c.result != _EQUAL or c.range_end:
        return False
    return c.mod_revision != 0 if c.target == _MOD else c.target == _CREATE and c.create_revision != 0
