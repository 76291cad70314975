"""The keyspace on a real etcd, and the store over it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from suanmesh.etcdwire.v1 import etcdwire_pb2 as wire
from suanmesh_etcd3 import (
    Client,
    Election,
    EtcdError,
    Event,
    KeyValue,
    LeaseNotFound,
    NoSpace,
    Op,
    OutcomeUnknown,
    RangeResult,
    TooLarge,
    TooManyOperations,
    Unavailable,
)
from suanmesh_etcd3 import Compare as Condition
from suanmesh_etcd3 import Leadership as Elected
from suanmesh_etcd3 import Lease as KeptLease
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_store.keyspace import (
    Compare,
    Created,
    Entry,
    Events,
    KeyspaceError,
    KeyspaceErrorKind,
    Listing,
    Modified,
    Outcome,
    Put,
    Remove,
    Unlease,
    Write,
)
from suanmesh_store.layout import election_key
from suanmesh_store.ports import Leadership
from suanmesh_store.store import KeyspaceStore

LEASE_MARGIN = 0.1
"""Part of its time by which a lease that is not kept counts as gone early, for what clocks may differ."""


class EtcdLease:
    """A lease in etcd, whether or not it is kept alive."""

    def __init__(self, client: Client, number: int, deadline: float, kept: KeptLease | None) -> None:
        """`deadline` is for one that is not kept, on the client's monotonic clock."""
        self._client = client
        self._deadline = deadline
        self._kept = kept
        self.id = number
        self.lost = asyncio.Event() if kept is None else kept.lost

    @property
    def alive(self) -> bool:
        """Whether it surely still stands."""
        return self._client.clock.monotonic() < self._deadline if self._kept is None else self._kept.alive

    async def revoke(self) -> None:
        """End it; where etcd cannot be asked it ends by itself."""
        self._deadline = -math.inf
        self.lost.set()
        with suppress(EtcdError):
            await (self._client.revoke(self.id) if self._kept is None else self._kept.revoke())

    async def __aenter__(self) -> Self:
        """The lease itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Revoke it."""
        await self.revoke()


@dataclass(frozen=True, slots=True)
class EtcdTerm:
    """A term of leading."""

    key: str
    elected: Elected

    @property
    def fence(self) -> int:
        """create_revision of the election key."""
        return self.elected.fence

    @property
    def alive(self) -> bool:
        """Whether the term surely still runs."""
        return self.elected.alive

    @property
    def lost(self) -> asyncio.Event:
        """Set as soon as it may be over."""
        return self.elected.lost

    async def resign(self) -> None:
        """Let the next one lead at once."""
        with _as_keyspace_errors():
            await self.elected.resign()


class EtcdKeyspace:
    """A `Keyspace` on a client that somebody else opened and closes."""

    def __init__(self, client: Client) -> None:
        """Use this client for everything."""
        self._client = client
        self._led: dict[str, Elected] = {}

    async def get(self, key: str) -> Entry | None:
        """One key as it is now."""
        with _as_keyspace_errors():
            found = await self._client.get(key)
        return None if found is None else _entry(found)

    async def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """Some keys at one revision, in their order."""
        with _as_keyspace_errors():
            result = await self._client.txn([], [Op.get(key) for key in keys])
        return [_read(response) for response in result.responses]

    async def scan(self, prefix: str) -> Listing:
        """All keys under a prefix at one revision."""
        with _as_keyspace_errors():
            snapshot = await self._client.snapshot(prefix)
        return Listing(snapshot.revision, [_entry(kv) for kv in snapshot.kvs])

    async def page(self, prefix: str, after: str, limit: int) -> Listing:
        """The first `limit` keys under a prefix behind one, as they are now."""
        with _as_keyspace_errors():
            page = await self._client.page(prefix, after=after, limit=limit)
        return Listing(page.revision, [_entry(kv) for kv in page.kvs], page.more)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Outcome:
        """Do all writes if all comparisons hold, else read what is there."""
        conditions = [_condition(compare) for compare in compares]
        otherwise = [Op.get(compare.key) for compare in compares]
        with _as_keyspace_errors():
            result = await self._client.txn(conditions, [_operation(write) for write in writes], otherwise)
        if result.succeeded:
            return Outcome(True, result.revision, {})
        read = zip(compares, result.responses, strict=True)
        return Outcome(False, result.revision, {compare.key: _read(response) for compare, response in read})

    async def watch(
        self, prefix: str, after_revision: int, known: Mapping[str, int] | None = None
    ) -> AsyncGenerator[Events, None]:
        """Whole revisions in order, none lost, none twice."""
        remembered = {key.encode(): revision for key, revision in (known or {}).items()}
        with _as_keyspace_errors():
            async with aclosing(self._client.watch(prefix, after_revision=after_revision, known=remembered)) as batches:
                async for batch in batches:
                    yield Events(batch.revision, [_change(event) for event in batch.events])

    async def lease(self, ttl_s: float, *, kept: bool) -> EtcdLease:
        """A new lease, kept alive or not; etcd counts in whole seconds, at least one."""
        whole_s = max(1, math.ceil(ttl_s))
        with _as_keyspace_errors():
            if kept:
                lease = await self._client.lease(whole_s)
                return EtcdLease(self._client, lease.id, math.inf, lease)
            sent = self._client.clock.monotonic()
            number = await self._client.grant(whole_s)
        return EtcdLease(self._client, number, sent + whole_s * (1 - LEASE_MARGIN), None)

    async def campaign(self, prefix: str, value: bytes, ttl_s: float) -> EtcdTerm:
        """Wait until this candidate leads. A term of its own that it does not count on any more, it puts the next in
        the place of; what else it led before, it gives up first.

        A term that its own clock calls lost may stand in etcd for long: a new leader of the cluster begins by
        prolonging every lease.
        """
        with _as_keyspace_errors():
            election = Election(self._client, prefix, value, max(1, math.ceil(ttl_s)))
            earlier = self._led.get(prefix)
            if earlier is not None and (earlier.alive or earlier.resigned):
                await earlier.resign()
            elected = await election.campaign(over=earlier)
        self._led[prefix] = elected
        return EtcdTerm(elected.key.decode(), elected)

    async def depose(self, prefix: str, value: bytes) -> None:
        """End the term of whoever leads with `value`; its lease ends with it."""
        with _as_keyspace_errors(), suppress(LeaseNotFound):
            leader = await Election(self._client, prefix, value, 1).leader()
            if leader is not None and leader.value == value:
                await self._client.revoke(leader.lease)


class EtcdStore(KeyspaceStore):
    """A store on etcd."""

    def __init__(self, client: Client, area: str, clock: Clock, rng: Rng, leadership: Leadership | None = None) -> None:
        """Write the documents of `area` as long as `leadership` lasts."""
        super().__init__(EtcdKeyspace(client), area, clock, rng, leadership)


async def elect(client: Client, area: str, address: str, ttl_s: float) -> EtcdTerm:
    """Wait until this process leads an area; others read `address` of it."""
    return await EtcdKeyspace(client).campaign(election_key(area), address.encode(), ttl_s)


@contextmanager
def _as_keyspace_errors() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise KeyspaceError(KeyspaceErrorKind.UNREACHABLE, str(error)) from error
    except OutcomeUnknown as error:
        raise KeyspaceError(KeyspaceErrorKind.UNKNOWN, str(error)) from error
    except LeaseNotFound as error:
        raise KeyspaceError(KeyspaceErrorKind.LEASE_GONE, str(error)) from error
    except NoSpace as error:
        raise KeyspaceError(KeyspaceErrorKind.FULL, str(error)) from error
    except (TooLarge, TooManyOperations) as error:
        raise KeyspaceError(KeyspaceErrorKind.TOO_LARGE, str(error)) from error
    except EtcdError as error:  # denied, compacted, or what a later etcd says
        raise KeyspaceError(KeyspaceErrorKind.REFUSED, str(error)) from error


def _entry(found: KeyValue | Event) -> Entry:
    return Entry(found.key.decode(), found.value, found.create_revision, found.mod_revision, found.lease)


def _read(response: object) -> Entry | None:
    assert isinstance(response, RangeResult)
    return _entry(response.kvs[0]) if response.kvs else None


def _change(event: Event) -> tuple[str, Entry | None]:
    return event.key.decode(), _entry(event) if event.kind == "put" else None


def _condition(compare: Compare) -> wire.Compare:
    match compare:
        case Created(key, revision):
            return Condition.create_revision(key, "=", revision)
        case Modified(key, revision):
            return Condition.mod_revision(key, "=", revision)


def _operation(write: Write) -> wire.RequestOp:
    match write:
        case Put(key, value, lease):
            return Op.put(key, value, lease=lease)
        case Unlease(key):
            return Op.put(key, ignore_value=True)
        case Remove(key):
            return Op.delete(key)
