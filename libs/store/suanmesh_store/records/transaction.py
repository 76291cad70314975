"""What a transaction of writes makes of what stands: decided in memory, the same for every database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from suanmesh_kernel.clock import Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_store.agreement import Belonging
from suanmesh_store.documents import request_record
from suanmesh_store.records.rows import Kept, Removal, Row, record_of
from suanmesh_store.records.values import (
    ABSENT,
    Commit,
    Identity,
    Outcome,
    Put,
    Record,
    Remove,
    Write,
    Written,
    not_leading,
)
from suanmesh_store.values import AlreadyAnswered, Answered, Conflict, IdempotencyRecord

RECORD_BYTES_MAX = 1024 * 1024
"""Of one message."""

Name = tuple[str, str]
"""Collection and name of a record."""
Request = tuple[str, str]
"""Principal and request id."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A change as bytes: made once, before the transaction has its turn, however often that is tried."""

    place: Name
    expected: str | None
    message: Message | None
    """None removes the record."""
    payload: bytes = b""
    keys: frozenset[tuple[str, bytes]] = frozenset()


@dataclass(frozen=True, slots=True)
class EncodedWrite:
    """A write as bytes, with what its author's call is traced by."""

    changes: tuple[Encoded, ...]
    remember: IdempotencyRecord | None
    principal: str
    request_id: str
    traceparent: str
    fence: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Begin to lead with a store; see `Records.claim`."""

    own: Belonging
    """What the store is to say of itself; a number that is not greater than that of before leaves it at that."""
    fence: int
    over: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What a transaction meets, as it was read under the lock of whoever writes."""

    identity: Identity
    sequence: int
    rows: Mapping[Name, Row]
    requests: Mapping[Request, Kept]


@dataclass(slots=True)
class Changes:
    """What a transaction leaves, in memory until it is written."""

    identity: Identity
    sequence: int
    now_us: int
    rows: dict[Name, Row | None] = field(default_factory=dict)
    records: dict[Name, Record[Any] | None] = field(default_factory=dict)
    keys: dict[Name, frozenset[tuple[str, bytes]]] = field(default_factory=dict)
    requests: dict[Request, Kept] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)


def encode(write: Write, traceparent: str, fence: int) -> EncodedWrite | Refusal:
    """The bytes of a write, or why it cannot be kept."""
    author, traceparent = write.author, traceparent if write.traceparent is None else write.traceparent
    try:
        changes = tuple(map(_encoded, write.changes))
    except InvalidArgument as refusal:
        return refusal
    principal, request_id = (author.principal, author.request_id) if author else ("", "")
    return EncodedWrite(changes, write.remember, principal, request_id, traceparent, fence)


def request_of(remember: IdempotencyRecord) -> Request:
    """Which request an answer is kept for."""
    return remember.key.principal, remember.key.request_id


def commit_of(stored: Stored, changes: Changes) -> Commit:
    """What followers are told of a transaction."""
    return Commit(stored.sequence, changes.sequence, changes.records)


class Transaction:
    """Carries out writes over what stands, one after the other; each sees those before it."""

    def __init__(self, stored: Stored, now: datetime, rng: Rng) -> None:
        """At the moment `now`; `rng` makes the uids of new records no other transaction's."""
        self._stored = stored
        self._now = now
        self._stem = sortable_id(now, rng)
        self.changes = Changes(stored.identity, stored.sequence, int(now.timestamp() * 1_000_000))

    def claim(self, claim: Claim) -> Refusal | None:
        """Let the store be led by another term; what refuses it else."""
        stored = self.changes.identity
        if claim.fence < stored.fence and stored.fence != claim.over:
            return not_leading(claim.fence, stored.fence)
        own = claim.own
        kept = (stored.node_id, stored.generation, stored.number)
        told = (own.node_id, own.generation, own.number) if own.number > stored.number else kept
        self.changes.identity = Identity(stored.store, stored.node or own.node, claim.fence, *told)
        return None

    def carry_out(self, write: EncodedWrite) -> Outcome:
        """What becomes of it; `changes` is what all have left together."""
        if write.fence != self.changes.identity.fence:
            return not_leading(write.fence, self.changes.identity.fence)
        if write.remember is not None and (answered := self._answered(write.remember)):
            return AlreadyAnswered(answered)
        if stale := self._conflict(write.changes):
            return stale
        records = [record for change in write.changes if (record := self._change(change, write)) is not None]
        if write.remember is not None:
            self.changes.sequence += 1
            kept = Kept(request_record(write.remember), self.changes.sequence, self.changes.now_us)
            self.changes.requests[request_of(write.remember)] = kept
        return Written(self.changes.sequence, tuple(records))

    def _answered(self, remember: IdempotencyRecord) -> Answered | None:
        request = request_of(remember)
        kept = self.changes.requests.get(request) or self._stored.requests.get(request)
        if kept is None or kept.sequence == remember.over:  # one that it completes may be forgotten by now
            return None
        return kept.answered

    def _conflict(self, changes: Sequence[Encoded]) -> Conflict | None:
        stale = [c for c in changes if c.expected is not None and c.expected != _etag(self._row(c.place))]
        if not stale:
            return None
        first = stale[0]
        expected, found = first.expected or "absent", _etag(self._row(first.place)) or "absent"
        names = dict.fromkeys((change.place[1] for change in stale), 0)
        return Conflict(names, name=first.place[1], expected=expected, found=found)

    def _change(self, change: Encoded, write: EncodedWrite) -> Record[Any] | None:
        before = self._row(change.place)
        if change.message is None:
            if before is not None:
                self.changes.sequence += 1
                self._keep(change, None, None)
                self.changes.removals.append(Removal(*change.place, self.changes.sequence))
            return None
        self.changes.sequence += 1
        row = Row(
            *change.place,
            sequence=self.changes.sequence,
            uid=f"{self._stem}{self.changes.sequence:x}" if before is None else before.uid,
            version=1 if before is None else before.version + 1,
            payload=change.payload,
            principal=write.principal or (before.principal if before else ""),
            request_id=write.request_id,
            traceparent=write.traceparent or (before.traceparent if before else ""),
            update_us=self.changes.now_us,
            writer_fence=write.fence,
        )
        record = record_of(row, change.message, self._now)
        self._keep(change, row, record)
        return record

    def _row(self, place: Name) -> Row | None:
        return self.changes.rows[place] if place in self.changes.rows else self._stored.rows.get(place)

    def _keep(self, change: Encoded, row: Row | None, record: Record[Any] | None) -> None:
        self.changes.rows[change.place] = row
        self.changes.records[change.place] = record
        self.changes.keys[change.place] = change.keys


def _etag(row: Row | None) -> str:
    return ABSENT if row is None else row.etag


def _encoded(change: Put[Any] | Remove) -> Encoded:
    place = change.kind.collection, change.name
    if isinstance(change, Remove):
        return Encoded(place, change.expected, None)
    payload = change.message.SerializeToString()
    if len(payload) > RECORD_BYTES_MAX:
        raise InvalidArgument(
            "DOCUMENT_TOO_LARGE",
            f"{change.name} would take {len(payload)} bytes, {RECORD_BYTES_MAX} are allowed",
            domain="mesh.suanmesh",
            name=change.name,
            size_bytes=len(payload),
            limit_bytes=RECORD_BYTES_MAX,
        )
    return Encoded(place, change.expected, change.message, payload, change.kind.keys_of(change.name, change.message))
