"""The store over a keyspace: the same code on etcd and on its twin in memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

from suanmesh.type.v1.document_pb2 import RequestRecord
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Unavailable
from suanmesh_store import documents, plan
from suanmesh_store.documents import Stamp
from suanmesh_store.keyspace import (
    Created,
    Entry,
    Events,
    Keyspace,
    KeyspaceError,
    KeyspaceErrorKind,
    Outcome,
    Put,
    Remove,
)
from suanmesh_store.keyspace_errors import outcome_unknown, refusal_of
from suanmesh_store.layout import Kind, M, election_key, request_key
from suanmesh_store.plan import Fence, Plan
from suanmesh_store.ports import Leadership, RoundLease
from suanmesh_store.values import (
    AlreadyAnswered,
    Answered,
    Author,
    Batch,
    Change,
    Changed,
    Committed,
    Conflict,
    Create,
    Guard,
    Held,
    IdempotencyKey,
    IdempotencyRecord,
    LeasedKey,
    LeasedKeyBatch,
    LeasedKeys,
    Listing,
)

REQUEST_MEMORY_S = 3600
"""How long an answer is remembered at least: every call leaves one, and etcd holds them all."""
REQUEST_LEASE_TURN_S = 600
"""After this long the answers go onto a new lease, so that a store needs few of them."""
UNKNOWN_TRIES = 3
"""How often a commit whose outcome is unknown is repeated to learn it."""
UNKNOWN_PAUSE_S = 0.2
"""Pause before the first repetition; it doubles."""
LEADER_LOOKUP_S = 0.5
"""Longest search for whom to name in a refusal; it is a courtesy, the refusal stands without."""
SCAN_PAGE = 500
"""Documents that a scan reads at a time: at most 4 MiB, at 8 KiB each."""
KEYS_AT_ONCE = 128
"""Keys that are read, or removed, in one transaction: what any etcd takes, and at most 1 MiB of documents."""
BULK_PACK = 200
"""Documents in one transaction of a bulk write."""
BULK_PACK_BYTES = 1_000_000
"""Bytes in one transaction of a bulk write; etcd takes 1.5 MiB."""
BULK_IN_FLIGHT = 8
"""Transactions of a bulk write under way at once."""


class KeyspaceStore:
    """A `Store`. Without a leadership nothing fences its writes: for readers, and for tests."""

    def __init__(self, keys: Keyspace, area: str, clock: Clock, rng: Rng, leadership: Leadership | None = None) -> None:
        """Write the documents of `area` as long as `leadership` lasts."""
        self._keys = keys
        self._area = area
        self._clock = clock
        self._rng = rng
        self._leadership = leadership
        self._last_moment = clock.now()
        self._request_lease = 0
        self._request_lease_until = clock.monotonic()

    @property
    def area(self) -> str:
        """The area it may write."""
        return self._area

    @property
    def leadership(self) -> Leadership | None:
        """The term its writes are fenced by."""
        return self._leadership

    def lead(self, leadership: Leadership | None) -> None:
        """Fence all later writes by a new term."""
        self._leadership = leadership

    async def get(self, kind: Kind[M], name: str) -> Held[M] | None:
        """One document as it is now."""
        try:
            entry = await self._keys.get(kind.key(name))
        except KeyspaceError as error:
            raise refusal_of(error) from error
        return None if entry is None else documents.decoded(kind, entry)

    async def get_each(self, *places: tuple[Kind[Any], str]) -> list[Held[Any] | None]:
        """Documents of several kinds, in the order asked."""
        found = await self._entries([kind.key(name) for kind, name in places])
        there = [(kind, found.get(kind.key(name))) for kind, name in places]
        return [None if entry is None else documents.decoded(kind, entry) for kind, entry in there]

    async def get_many(self, kind: Kind[M], names: Iterable[str]) -> dict[str, Held[M]]:
        """Those of some documents that are there, by name."""
        found = await self._entries([kind.key(name) for name in names])
        return {held.name: held for held in (documents.decoded(kind, entry) for entry in found.values())}

    async def snapshot(self, kind: Kind[M], under: str = "") -> Listing[M]:
        """All documents whose name begins with `under`, at one revision."""
        try:
            listing = await self._keys.scan(kind.key(under))
        except KeyspaceError as error:
            raise refusal_of(error) from error
        return Listing(listing.revision, tuple(documents.decoded(kind, entry) for entry in listing.entries))

    async def scan(
        self, kind: Kind[M], *, under: str = "", after: str = "", limit: int = 0
    ) -> AsyncGenerator[Held[M], None]:
        """Documents in order of their names, read a page at a time; see `Store.scan`."""
        left, behind = limit or math.inf, kind.key(after) if after else ""
        while left > 0:
            most = int(min(left, SCAN_PAGE))
            try:
                page = await self._keys.page(kind.key(under), behind, most)
            except KeyspaceError as error:
                raise refusal_of(error) from error
            for entry in page.entries:
                yield documents.decoded(kind, entry)
            if not page.more:
                return
            left -= len(page.entries)
            behind = page.entries[-1].key

    async def commit(
        self,
        *changes: Change,
        guards: Sequence[Guard] = (),
        remember: IdempotencyRecord | None = None,
        author: Author | None = None,
    ) -> Committed:
        """Apply every change or none; see `Store.commit`."""
        fence = await self._fence()
        stamp = self._stamp(author, fence)
        base = plan.plan(changes, guards, area=self._area, stamp=stamp, new_uid=self._new_uid, fence=fence)
        revision = await self._apply(base, remember)
        return Committed(revision, tuple(documents.at_revision(held, revision) for held in base.held))

    async def watch(
        self, kind: Kind[M], after_revision: int, known: Iterable[Held[M]] = ()
    ) -> AsyncGenerator[Batch[M], None]:
        """Every change after a revision, in order."""
        keys = {held.key: held.mod_revision for held in known}
        async with aclosing(self._watched(kind.prefix, after_revision, keys)) as events:
            async for event in events:
                changes = tuple(
                    Changed(kind.name(key), None if entry is None else documents.decoded(kind, entry))
                    for key, entry in event.changes
                )
                yield Batch(event.revision, changes)

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What was answered to a request before."""
        try:
            entry = await self._keys.get(request_key(self._area, key.principal, key.request_id))
        except KeyspaceError as error:
            raise refusal_of(error) from error
        return None if entry is None else Answered(RequestRecord.FromString(entry.value), entry.mod_revision)

    async def open_lease(self, ttl_s: float, *, kept: bool = False) -> RoundLease:
        """A new lease."""
        try:
            return await self._keys.lease(ttl_s, kept=kept)
        except KeyspaceError as error:
            raise refusal_of(error) from error

    async def put_token(self, key: str, value: bytes, lease_id: int, *, must_not_exist: bool = True) -> int:
        """Attach a bare key to a lease."""
        fence = await self._fence()
        compares = (Created(key, 0),) if must_not_exist else ()
        step = Plan(_fenced(compares, fence), (Put(key, value, lease_id),), (), fence=fence)
        try:
            return await self._apply(step, None)
        except Conflict:
            standing = await self.get_token(key)
            if standing is None or (standing.value, standing.lease) != (value, lease_id):
                raise
            return standing.mod_revision

    async def put_tokens(self, tokens: Mapping[str, bytes], lease_id: int) -> int:
        """Attach bare keys to a lease, all or none."""
        fence = await self._fence()
        compares = tuple(Created(key, 0) for key in tokens)
        puts = tuple(Put(key, value, lease_id) for key, value in tokens.items())
        return await self._apply(Plan(_fenced(compares, fence), puts, (), fence=fence), None)

    async def get_token(self, key: str) -> LeasedKey | None:
        """One bare key as it is now."""
        try:
            entry = await self._keys.get(key)
        except KeyspaceError as error:
            raise refusal_of(error) from error
        return None if entry is None else documents.token(entry)

    async def get_tokens(self, keys: Iterable[str]) -> dict[str, LeasedKey]:
        """Those of some bare keys that are there, by key."""
        return {key: documents.token(entry) for key, entry in (await self._entries(list(keys))).items()}

    async def delete_tokens(self, keys: Iterable[str]) -> None:
        """Remove bare keys."""
        for some in _cut(list(keys)):
            fence = await self._fence()
            await self._apply(Plan(_fenced((), fence), tuple(map(Remove, some)), (), fence=fence), None)

    async def tokens(self, prefix: str) -> LeasedKeys:
        """All bare keys under a prefix, at one revision."""
        try:
            listing = await self._keys.scan(prefix)
        except KeyspaceError as error:
            raise refusal_of(error) from error
        return LeasedKeys(listing.revision, tuple(documents.token(entry) for entry in listing.entries))

    async def watch_tokens(
        self, prefix: str, after_revision: int, known: Iterable[LeasedKey] = ()
    ) -> AsyncGenerator[LeasedKeyBatch, None]:
        """What becomes of the bare keys under a prefix."""
        keys = {standing.key: standing.mod_revision for standing in known}
        async with aclosing(self._watched(prefix, after_revision, keys)) as events:
            async for event in events:
                changes = tuple(
                    (key, None if entry is None else documents.token(entry)) for key, entry in event.changes
                )
                yield LeasedKeyBatch(event.revision, changes)

    async def bulk_put(self, kind: Kind[M], items: Iterable[tuple[str, M]], *, author: Author | None = None) -> int:
        """Create many documents, packed and pipelined."""
        slots = asyncio.Semaphore(BULK_IN_FLIGHT)
        count = 0

        async def send(pack: Plan) -> None:
            try:
                await self._apply(pack, None)
            finally:
                slots.release()

        try:
            async with asyncio.TaskGroup() as tasks:
                async for pack in self._packs(kind, items, author):
                    await slots.acquire()
                    tasks.create_task(send(pack))
                    count += len(pack.held)
        except ExceptionGroup as group:  # not `except*`: what that raises is wrapped anew before Python 3.11.4
            refusals = group.subgroup((Conflict, Unavailable, FailedPrecondition, InvalidArgument))
            if refusals is None:
                raise
            raise refusals.exceptions[0] from None
        return count

    async def leader(self, area: str) -> str:
        """Address of whoever leads an area now."""
        standing = await self.tokens(election_key(area) + "/")
        first = min(standing.tokens, key=lambda token: token.create_revision, default=None)
        return "" if first is None else first.value.decode()

    async def _watched(self, prefix: str, after_revision: int, known: dict[str, int]) -> AsyncGenerator[Events, None]:
        try:
            async with aclosing(self._keys.watch(prefix, after_revision, known)) as events:
                async for event in events:
                    yield event
        except KeyspaceError as error:
            raise refusal_of(error) from error

    async def _entries(self, keys: list[str]) -> dict[str, Entry]:
        """What there is at some keys, by key."""
        found: list[Entry | None] = []
        for some in _cut(keys):
            try:
                found += await self._keys.get_many(some)
            except KeyspaceError as error:
                raise refusal_of(error) from error
        return {entry.key: entry for entry in found if entry is not None}

    async def _packs(self, kind: Kind[M], items: Iterable[tuple[str, M]], author: Author | None) -> AsyncIterator[Plan]:
        """Cut items into transactions by count and bytes; the fence is looked at anew for each."""
        pack: list[Change] = []
        size = 0
        for name, message in items:
            pack.append(Create(kind, name, message))
            size += message.ByteSize() + len(name)
            if len(pack) >= BULK_PACK or size >= BULK_PACK_BYTES:
                yield await self._bulk_plan(pack, author)
                pack, size = [], 0
        if pack:
            yield await self._bulk_plan(pack, author)

    async def _bulk_plan(self, pack: list[Change], author: Author | None) -> Plan:
        fence = await self._fence()
        stamp = self._stamp(author, fence)
        return plan.plan(pack, (), area=self._area, stamp=stamp, new_uid=self._new_uid, fence=fence)

    async def _apply(self, base: Plan, idempotency: IdempotencyRecord | None) -> int:
        """Carry a plan out once; repeat it only to learn an outcome that is unknown.

        Repeating is safe: every put and removal of a document changes the revision that the plan compares, so the plan
        can succeed once only, and a put that stands proves by its bytes that it did.
        """
        unknown = False
        step = await self._with_idempotency(base, idempotency)
        for attempt in range(UNKNOWN_TRIES + 1):
            try:
                outcome = await self._keys.txn(step.compares, step.writes)
            except KeyspaceError as error:
                if error.kind is KeyspaceErrorKind.LEASE_GONE and idempotency is not None and attempt == 0:
                    self._request_lease = 0  # the answers' lease may be the one that is gone
                    step = await self._with_idempotency(base, idempotency)
                    continue
                if error.kind is not KeyspaceErrorKind.UNKNOWN and not unknown:
                    raise refusal_of(error) from error
                unknown = True
                await asyncio.sleep(UNKNOWN_PAUSE_S * 2**attempt)
            else:
                return outcome.revision if outcome.succeeded else await self._settle(step, outcome, unknown)
        raise outcome_unknown()

    async def _settle(self, step: Plan, outcome: Outcome, unknown: bool) -> int:
        """Say why a transaction was not applied, or, after an unknown outcome, that it had been."""
        if unknown and (revision := plan.applied(step, outcome.found)):
            return revision
        if answered := plan.answered(step, outcome.found):
            raise AlreadyAnswered(answered)
        if unknown:
            raise outcome_unknown()
        if plan.fenced_out(step, outcome.found):
            raise await self._not_leader()
        if stale := plan.conflict(step, outcome.found):
            raise stale
        raise outcome_unknown()

    async def _with_idempotency(self, base: Plan, idempotency: IdempotencyRecord | None) -> Plan:
        if idempotency is None:
            return base
        if not self._request_lease or self._clock.monotonic() >= self._request_lease_until:
            lease = await self.open_lease(REQUEST_MEMORY_S + REQUEST_LEASE_TURN_S)
            self._request_lease = lease.id
            self._request_lease_until = self._clock.monotonic() + REQUEST_LEASE_TURN_S
        return plan.remembering(base, idempotency, area=self._area, lease=self._request_lease)

    async def _fence(self) -> Fence | None:
        """The present term, refused at once when it is over by this machine's own clock."""
        term = self._leadership
        if term is None:
            return None
        if not term.alive:
            raise await self._not_leader()
        return Fence(term.key, term.fence)

    async def _not_leader(self) -> Unavailable:
        try:
            async with asyncio.timeout(LEADER_LOOKUP_S):
                leader = await self.leader(self._area)
        except (Unavailable, TimeoutError):
            leader = ""
        message = f"this instance does not lead {self._area}; {leader or 'nobody known'} does"
        return Unavailable("NOT_LEADER", message, domain="mesh.suanmesh", leader=leader)

    def _stamp(self, author: Author | None, fence: Fence | None) -> Stamp:
        """Each commit gets its own moment, so that its bytes are no other commit's."""
        self._last_moment = self._later(self._clock.now())
        traceparent = documents.current_traceparent()
        return Stamp(self._last_moment, author, traceparent, fence.revision if fence else 0)

    def _later(self, now: datetime) -> datetime:
        return max(now, self._last_moment + timedelta(microseconds=1))

    def _new_uid(self) -> str:
        return sortable_id(self._last_moment, self._rng)


def _cut(keys: list[str]) -> Iterator[list[str]]:
    """Distinct keys in parts that one transaction takes."""
    distinct = list(dict.fromkeys(keys))
    return (distinct[start : start + KEYS_AT_ONCE] for start in range(0, len(distinct), KEYS_AT_ONCE))


def _fenced(compares: tuple[Created, ...], fence: Fence | None) -> tuple[Created, ...]:
    return compares if fence is None else (*compares, Created(fence.key, fence.revision))
