"""What is stored of datasets: records from their publication on, with the copies that are whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from datetime import datetime

from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_store import Author, Conflict, Delete, Groups, Held, Store
from suanmesh_store.archive import listed
from suanmesh_store.layout import DATASETS_BEFORE
from suanmesh_store.records import ABSENT, Index, Put, Record, RecordKind, Records, Write, written
from suanmesh_transport import wire
from suanmesh_transport.domain import datasets
from suanmesh_transport.domain.datasets import Dataset, ReplicaState

DATASETS: RecordKind[dataset_pb2.Dataset] = RecordKind(
    "datasets", dataset_pb2.Dataset, (Index("party", lambda dataset: [(dataset.party,)]),)
)
ENDED_TRANSFERS = listed("transfers", Transfer, wire.place_of)
KINDS = (DATASETS, ENDED_TRANSFERS)
MOVE_AT_ONCE = 200
"""Datasets of an earlier version that leave etcd together."""


class DatasetRecords:
    """Datasets of this node. Copies that are under way are no facts of theirs: they are shown as transfers say."""

    def __init__(self, records: Records, copies: Groups[Transfer], fence: int = 0) -> None:
        """`copies` are the active transfers by dataset; `fence` is the term that writes."""
        self._records = records
        self._copies = copies
        self._fence = fence

    def led_by(self, fence: int) -> DatasetRecords:
        """The same, written by another term."""
        other = copy(self)
        other._fence = fence
        return other

    async def get(self, name: str) -> Record[dataset_pb2.Dataset] | None:
        """One of them."""
        return (await self.get_many([name])).get(name)

    async def get_many(self, names: Collection[str]) -> dict[str, Record[dataset_pb2.Dataset]]:
        """Those of the names that stand."""
        return await self._records.get_many(DATASETS, names)

    async def page(self, party: str, after: str, most: int) -> dict[str, dataset_pb2.Dataset]:
        """The next by name, of one party or, where that is empty, of all."""
        key, behind = ((party,), "party") if party else ((), "")
        found = await self._records.page(DATASETS, behind, key, after=(after,) if after else (), limit=most)
        return {record.name: self.shown(record) for record in found}

    async def count(self, party: str, most: int) -> int:
        """How many a party has, told up to `most`."""
        return await self._records.count(DATASETS, "party", (party,), most=most)

    async def keep(
        self, changed: Sequence[Dataset], over: Mapping[str, Record[dataset_pb2.Dataset]], author: Author
    ) -> dict[str, Record[dataset_pb2.Dataset]]:
        """Keep datasets in the place of what was read, all in one transaction; as they stand then. Raises Conflict."""
        etags = [over[each.name].etag if each.name in over else ABSENT for each in changed]
        puts = [
            Put(DATASETS, each.name, wire.dataset_to(each), etag) for each, etag in zip(changed, etags, strict=True)
        ]
        if not puts:
            return {}
        [outcome] = await self._records.apply([Write(puts, None, author)], fence=self._fence)
        return {record.name: record for record in written(outcome).records}

    async def add_replica(self, name: str, site: str, now: datetime) -> None:
        """Keep that the whole of a dataset lies at a site; told twice it changes nothing. Raises Conflict."""
        record = await self.get(name)
        if record is None:
            return
        standing = wire.dataset_from(record.message)
        dataset = datasets.with_replica(standing, site, ReplicaState.COMPLETE, now)
        if dataset != standing:
            change = Put(DATASETS, name, wire.dataset_to(dataset), record.etag)
            [outcome] = await self._records.apply([Write([change])], fence=self._fence)
            written(outcome)

    def shown(self, record: Record[dataset_pb2.Dataset]) -> dataset_pb2.Dataset:
        """A dataset as its readers see it, with its etag and the copies that are under way."""
        dataset = wire.dataset_from(record.message)
        copies: Mapping[str, Held[Transfer]] = self._copies[record.name]
        for held in copies.values():
            dataset = datasets.with_replica(dataset, held.message.target, ReplicaState.PARTIAL, held.update_time)
        return wire.dataset_to(dataset, record.etag)


async def move_from_etcd(store: Store, records: Records, fence: int) -> None:
    """Keep as records what an earlier version kept in etcd; a crash in between does it again."""
    while held := [each async for each in store.scan(DATASETS_BEFORE, limit=MOVE_AT_ONCE)]:
        moved = [Put(DATASETS, each.name, _whole(each.message), ABSENT) for each in held]
        for outcome in await records.apply([Write([change]) for change in moved], fence=fence):
            if not isinstance(outcome, Conflict):  # one that was moved before stands already
                written(outcome)
        await store.commit(*map(Delete, held))


def _whole(message: dataset_pb2.Dataset) -> dataset_pb2.Dataset:
    """The dataset with the copies that are whole."""
    dataset = wire.dataset_from(message)
    kept = [replica for replica in message.replicas if replica.site in dataset.complete_sites]
    whole = dataset_pb2.Dataset()
    whole.CopyFrom(message)
    del whole.replicas[:]
    whole.replicas.extend(kept)
    return whole
