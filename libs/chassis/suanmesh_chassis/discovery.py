"""How instances find each other: one record each in etcd, on a lease that only a living process keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import structlog

from suanmesh.type.v1 import instance_pb2
from suanmesh_chassis.hello import spoken_by
from suanmesh_chassis.waiting import first_of
from suanmesh_kernel.protocols import OWN, common
from suanmesh_kernel.refusals import FailedPrecondition, Unavailable
from suanmesh_sdk import Instance, InstanceState
from suanmesh_store import LeasedKey, Store
from suanmesh_store.layout import instance_key, instances_of
from suanmesh_store.ports import RoundLease

log = structlog.get_logger()

Record = instance_pb2.Instance
_RETRY_S = 0.5
_STATES = {Record.STATE_DRAINING: InstanceState.DRAINING, Record.STATE_STARTING: InstanceState.STARTING}


class Directory:
    """Every instance of the node that speaks what this process does, watched; what the SDK picks from."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: dict[str, Record] = {}
        self._claims: dict[str, int] = {}
        """Revisions at which instances began to say that they lead."""
        self._by_area: dict[str, list[Instance]] = {}
        self._turn = asyncio.Event()
        self._revision = 0
        self.ready = asyncio.Event()
        """Set once the instances have been read for the first time."""

    async def run(self) -> None:
        """Follow etcd for as long as the process lives; while it cannot be reached, what was known last stands."""
        while True:
            try:
                await self._follow()
            except Unavailable as refusal:
                log.warning("discovery interrupted", reason=refusal.reason, message=refusal.message)
            await asyncio.sleep(_RETRY_S)

    def instances(self, area: str) -> Sequence[Instance]:
        """The instances of `area` known now, by address."""
        return self._by_area.get(area, [])

    def others(self, area: str) -> Sequence[Instance]:
        """The same: the leader is one of them."""
        return self.instances(area)

    async def changed(self, area: str) -> None:
        """Return as soon as the instances of `area` are not what they were."""
        before = self.instances(area)
        while self.instances(area) == before:
            await self._turn.wait()

    def unanswered(self, address: str) -> None:
        """Whoever is gone leaves the records by itself."""

    async def reached(self, revision: int) -> None:
        """Return as soon as every change up to a revision of etcd is known."""
        while self._revision < revision:
            await self._turn.wait()

    def leader(self, area: str) -> str:
        """Address of the leader of `area`; empty where none is known."""
        return next((each.address for each in self.instances(area) if each.leader), "")

    async def _follow(self) -> None:
        prefix = instances_of("").rstrip("/") + "/"
        listing = await self._store.tokens(prefix)
        self._records, self._claims = {}, {}
        for each in listing.tokens:
            self._take(each.key, each)
        self._revision = listing.revision
        self._tell()
        self.ready.set()
        async with aclosing(self._store.watch_tokens(prefix, listing.revision, listing.tokens)) as batches:
            async for batch in batches:
                for key, token in batch.changes:
                    self._take(key, token)
                self._revision = batch.revision
                self._tell()

    def _take(self, key: str, token: LeasedKey | None) -> None:
        record = None if token is None else Record.FromString(token.value)
        if token is None or record is None or not record.leader:
            self._claims.pop(key, None)
        else:
            self._claims.setdefault(key, token.mod_revision)
        if record is None:
            self._records.pop(key, None)
        else:
            self._records[key] = record

    def _tell(self) -> None:
        by_area: dict[str, list[Instance]] = {}
        leading = self._leading()
        for key, record in sorted(self._records.items(), key=lambda each: each[1].address):
            if not common(OWN, spoken_by(record.hello)):
                continue
            state = _STATES.get(record.state, InstanceState.ACTIVE)
            if record.leader and key not in leading and state is InstanceState.ACTIVE:
                state = InstanceState.STARTING  # it does not know yet that it leads no more: perhaps it never will
            by_area.setdefault(record.area, []).append(Instance(record.address, key in leading, state))
        self._by_area = by_area
        self._turn.set()
        self._turn = asyncio.Event()

    def _leading(self) -> set[str]:
        """Of each area the last to say that it leads: one that has frozen says so still when the next one does."""
        newest: dict[str, str] = {}
        for key in sorted(self._claims, key=self._claims.__getitem__):
            newest[self._records[key].area] = key
        return set(newest.values())


class Registration:
    """The record of this process."""

    def __init__(self, store: Store, record: Record, ttl_s: float) -> None:
        self._store = store
        self._record = record
        self._ttl_s = ttl_s
        self._lease: RoundLease | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Keep the record as it should be on a living lease, whatever becomes of etcd meanwhile."""
        while True:
            try:
                if self._lease is None or not self._lease.alive:
                    self._lease = await self._store.open_lease(self._ttl_s, kept=True)
                    await self._put()
                elif self._changed.is_set():
                    await self._put()
            except (Unavailable, FailedPrecondition) as refusal:
                log.warning("registration interrupted", reason=refusal.reason, message=refusal.message)
                self._lease = None
                await asyncio.sleep(_RETRY_S)
            else:
                await first_of(self._changed, self._lease.lost)

    def tell(self, *, leader: bool, state: Record.State.ValueType = Record.STATE_ACTIVE) -> None:
        """Say what has changed; others see it as soon as etcd tells them."""
        self._record.leader = leader
        self._record.state = state
        self._changed.set()

    async def again(self) -> int:
        """Write the record once more, as it is; answers the revision of etcd, 0 where no lease stands.

        Raises Unavailable, FailedPrecondition.
        """
        return 0 if self._lease is None or not self._lease.alive else await self._put()

    async def withdraw(self) -> None:
        """Remove the record."""
        if self._lease is not None:
            await self._lease.revoke()

    async def _put(self) -> int:
        self._changed.clear()
        if self._lease is None:
            return 0
        key, record = instance_key(self._record.area, self._record.id), self._record.SerializeToString()
        return await self._store.put_token(key, record, self._lease.id, must_not_exist=False)
