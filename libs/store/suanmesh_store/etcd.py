"""The keyspace on etcd: the only module of the store that knows the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from types import TracebackType
from typing import Self

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import Client, Election, EtcdError, Event, KeyValue, Lease, Op, RangeResult
from suanmesh_etcd3 import Compare as Condition
from suanmesh_etcd3 import Leadership as Term
from suanmesh_etcd3.errors import LeaseNotFound, NoSpace, OutcomeUnknown, TooLarge, TooManyOperations
from suanmesh_etcd3.watch import Batch, Reset
from suanmesh_store.keyspace import (
    Compare,
    Created,
    Entry,
    Events,
    KeyspaceTrouble,
    Listing,
    Modified,
    Outcome,
    Present,
    Put,
    Remove,
    Trouble,
    Unlease,
    Write,
)
from suanmesh_store.ports import Leadership, RoundLease

_TROUBLES: tuple[tuple[type[EtcdError], Trouble], ...] = (
    (OutcomeUnknown, Trouble.UNKNOWN),
    (LeaseNotFound, Trouble.LEASE_GONE),
    (NoSpace, Trouble.FULL),
    (TooLarge, Trouble.TOO_LARGE),
    (TooManyOperations, Trouble.TOO_LARGE),
)


class EtcdKeyspace:
    """Keys of one etcd cluster."""

    def __init__(self, client: Client) -> None:
        """Over a client that is open."""
        self._client = client

    async def get(self, key: str) -> Entry | None:
        """One key as it is now."""
        with _troubles():
            found = await self._client.get(key)
        return None if found is None else _entry(found)

    async def scan(self, prefix: str) -> Listing:
        """All keys under a prefix at one revision."""
        with _troubles():
            snapshot = await self._client.snapshot(prefix)
        return Listing(snapshot.revision, [_entry(kv) for kv in snapshot.kvs])

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Outcome:
        """Do all writes if all comparisons hold, else read what is there."""
        keys = [compare.key for compare in compares]
        with _troubles():
            result = await self._client.txn(
                [_condition(compare) for compare in compares],
                [_operation(write) for write in writes],
                [Op.get(key) for key in keys],
            )
        if result.succeeded:
            return Outcome(True, result.revision, {})
        found: dict[str, Entry | None] = {}
        for key, answer in zip(keys, result.responses, strict=True):
            assert isinstance(answer, RangeResult)
            found[key] = _entry(answer.kvs[0]) if answer.kvs else None
        return Outcome(False, result.revision, found)

    async def watch(self, prefix: str, after_revision: int) -> AsyncGenerator[Events, None]:
        """Whole revisions in order, none lost, none twice; a compacted gap comes as one difference."""
        with _troubles():
            known = await self._known(prefix, after_revision)
            async for batch in self._client.watch(prefix, after_revision=after_revision, known=known):
                for events in _revisions(batch):
                    yield events

    async def _known(self, prefix: str, revision: int) -> dict[bytes, int]:
        """What stood at the revision a watch begins after, so that a relist can tell what is gone since."""
        try:
            snapshot = await self._client.snapshot(prefix, revision=revision) if revision else None
        except EtcdError:
            return {}
        return {kv.key: kv.mod_revision for kv in snapshot.kvs} if snapshot else {}

    async def lease(self, ttl_s: float, *, kept: bool) -> RoundLease:
        """A new lease, kept alive or not."""
        ttl = max(1, ceil(ttl_s))
        with _troubles():
            if kept:
                return EtcdLease(self._client, await self._client.lease(ttl), None, 0.0)
            began = self._client.clock.monotonic()
            return EtcdLease(self._client, None, await self._client.grant(ttl), began + ttl)

    async def campaign(self, prefix: str, value: bytes, ttl_s: float) -> Leadership:
        """Wait until this candidate leads."""
        with _troubles():
            return EtcdTerm(await Election(self._client, prefix, value, max(1, ceil(ttl_s))).campaign())


class EtcdLease:
    """One lease, kept alive by the client or left to lapse."""

    def __init__(self, client: Client, kept: Lease | None, granted: int | None, until: float) -> None:
        self._client = client
        self._kept = kept
        self._until = until
        self._revoked = False
        self.id: int = kept.id if kept else granted or 0
        """What others attach their tokens to."""

    @property
    def alive(self) -> bool:
        """Whether it surely still stands."""
        if self._kept:
            return self._kept.alive
        return not self._revoked and self._client.clock.monotonic() < self._until

    async def revoke(self) -> None:
        """End it; where etcd cannot be asked it lapses by itself."""
        if self._revoked:
            return
        self._revoked = True
        if self._kept:
            await self._kept.revoke()
            return
        try:
            await self._client.revoke(self.id)
        except EtcdError:
            return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.revoke()


class EtcdTerm:
    """One term of leading."""

    def __init__(self, term: Term) -> None:
        self._term = term
        self.key = term.key.decode()
        """The election key."""
        self.fence = term.fence
        """Its create_revision."""
        self.lost = term.lost
        """Set as soon as the term may be over."""

    @property
    def alive(self) -> bool:
        """Whether the term surely still runs."""
        return self._term.alive

    async def resign(self) -> None:
        """Let the next one lead at once."""
        await self._term.resign()


@contextmanager
def _troubles() -> Iterator[None]:
    try:
        yield
    except EtcdError as error:
        trouble = next((t for kind, t in _TROUBLES if isinstance(error, kind)), Trouble.UNREACHABLE)
        if "key not found" in str(error):
            trouble = Trouble.KEY_GONE
        raise KeyspaceTrouble(trouble, str(error)) from error


def _entry(kv: KeyValue) -> Entry:
    return Entry(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision, kv.lease)


def _condition(compare: Compare) -> pb.Compare:
    match compare:
        case Created(key, revision):
            return Condition.create_revision(key, "=", revision)
        case Modified(key, revision):
            return Condition.mod_revision(key, "=", revision)
        case Present(key):
            return Condition.create_revision(key, ">", 0)


def _operation(write: Write) -> pb.RequestOp:
    match write:
        case Put(key, value, lease):
            return Op.put(key, value, lease=lease)
        case Unlease(key):
            return Op.put(key, ignore_value=True)
        case Remove(key):
            return Op.delete(key)


def _revisions(batch: Batch | Reset) -> list[Events]:
    """A batch cut into revisions; a reset's difference stands as one."""
    if isinstance(batch, Reset):
        return [Events(batch.revision, [_change(event) for event in batch.events])]
    found: list[Events] = []
    for event in batch.events:
        if not found or found[-1].revision != event.mod_revision:
            found.append(Events(event.mod_revision, []))
        found[-1].changes.append(_change(event))
    return found


def _change(event: Event) -> tuple[str, Entry | None]:
    key = event.key.decode()
    if event.kind == "delete":
        return key, None
    return key, Entry(key, event.value, event.create_revision, event.mod_revision, event.lease)
