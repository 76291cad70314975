"""What is stored of datasets: records from their publication on, with the copies that are whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from datetime import datetime

from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_kernel.names import of_version, versioned
from suanmesh_store import Author, Conflict, Delete, Groups, Held, Store
from suanmesh_store.archive import listed
from suanmesh_store.layout import DATASETS_BEFORE
from suanmesh_store.records import ABSENT, Index, Key, Put, Record, RecordKind, Records, Remove, Write, Written, written
from suanmesh_transport import wire
from suanmesh_transport.domain import datasets
from suanmesh_transport.domain.datasets import BYTES_MAX, Dataset, ReplicaState

_BY_PARTY: Index[dataset_pb2.Dataset] = Index("party", lambda dataset: [(dataset.party,)])
_BY_CONTENT: Index[dataset_pb2.Dataset] = Index(
    "content", lambda dataset: [(dataset.digest, replica.site) for replica in dataset.replicas]
)
_BY_SIZE: Index[dataset_pb2.Dataset] = Index("size", lambda dataset: [(dataset.party, -dataset.bytes)])
"""Of a party, the largest first."""
_BY_PLACE: Index[dataset_pb2.Dataset] = Index("place", wire.places_of)
"""Of a party, by the sites that have the whole, the newest first."""
_BY_DATASET: Index[dataset_pb2.Dataset] = Index("dataset", lambda dataset: [(dataset.name, dataset.version)])
DATASETS: RecordKind[dataset_pb2.Dataset] = RecordKind(
    "datasets", dataset_pb2.Dataset, (_BY_PARTY, _BY_CONTENT, _BY_SIZE, _BY_PLACE)
)
"""The newest version of each, by `datasets/{dataset}`."""
VERSIONS: RecordKind[dataset_pb2.Dataset] = RecordKind(
    "dataset_versions", dataset_pb2.Dataset, (_BY_PARTY, _BY_CONTENT, _BY_SIZE, _BY_PLACE, _BY_DATASET)
)
"""Those before it, by `datasets/{dataset}@{version}`."""
REMOVED: RecordKind[dataset_pb2.Dataset] = RecordKind("removed_datasets", dataset_pb2.Dataset)
"""By `datasets/{dataset}`, the number its next version must be greater than: what jobs have named keeps its meaning."""
ENDED_TRANSFERS = listed("transfers", Transfer, wire.place_of)
KINDS = (DATASETS, VERSIONS, REMOVED, ENDED_TRANSFERS)
VERSIONS_AT_ONCE = 1_000
"""Earlier versions of one dataset that are removed in one transaction."""
SIZES_AT_ONCE = 100
COUNTED_MAX = 1_000_000
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
        """Those of the names that stand: the newest version where a name says none."""
        asked = {name: versioned(name) for name in names}
        newest = await self._records.get_many(DATASETS, {dataset for dataset, _ in asked.values()})
        found = {
            name: newest[dataset]
            for name, (dataset, version) in asked.items()
            if dataset in newest and version in (0, _version(newest[dataset]))
        }
        earlier = asked.keys() - found.keys()
        return found | (await self._records.get_many(VERSIONS, earlier) if earlier else {})

    async def versions(self, name: str, below: int, most: int) -> list[Record[dataset_pb2.Dataset]]:
        """The versions of a dataset, the newest first; those before `below`, where that is not 0."""
        newest = await self._records.get_many(DATASETS, [name])
        after = (below, of_version(name, below)) if below else ()
        earlier = await self._records.page(VERSIONS, "dataset", (name,), after=after, limit=most, descending=True)
        return [*([] if below else newest.values()), *earlier][:most]

    async def bytes_of(self, party: str, most: int) -> int:
        """What the datasets of a party, each version counted, have in all; where that is not more than `most`, perhaps
        only a bound of it.

        The largest are read first: few of them, and the number of the others, mostly tell that it is not more.
        """
        kinds = (DATASETS, VERSIONS)
        sizes = [_Sizes(await self._records.count(kind, "party", (party,), most=COUNTED_MAX)) for kind in kinds]
        while sum(each.bound for each in sizes) > most and any(each.left for each in sizes):
            for kind, each in zip(kinds, sizes, strict=True):
                if each.left:
                    page = await self._records.page(kind, "size", (party,), after=each.after, limit=SIZES_AT_ONCE)
                    each.take(page)
        return sum(each.bound for each in sizes)

    async def homes(self, party: str) -> set[str]:
        """Sites that have the whole of a dataset of a party: one lookup for each."""
        found: set[str] = set()
        for kind in (DATASETS, VERSIONS):
            after: Key = ()
            while page := await self._records.page(kind, "place", (party,), after=after, limit=1):
                site = next(site for _, site, _ in wire.places_of(page[0].message) if (site,) > after)
                found.add(site)
                after = (site,)
        return found

    async def digests_at(self, party: str, site: str, most: int) -> list[str]:
        """Contents of the newest datasets of a party that lie there as a whole."""
        found = [
            record.message
            for kind in (DATASETS, VERSIONS)
            for record in await self._records.page(kind, "place", (party, site), limit=most)
        ]
        newest = sorted(found, key=lambda each: each.create_time.ToMicroseconds(), reverse=True)
        return [each.digest for each in newest[:most]]

    async def named(self, digests: Collection[str], site: str) -> set[str]:
        """Those of the contents that a version of some dataset has a replica of at a site."""
        return {digest for digest in digests if await self._is_named(digest, site)}

    async def _is_named(self, digest: str, site: str) -> bool:
        counts = [await self._records.count(kind, "content", (digest, site), most=1) for kind in (DATASETS, VERSIONS)]
        return any(counts)

    async def page(self, party: str, after: str, most: int) -> dict[str, dataset_pb2.Dataset]:
        """The next by name, of one party or, where that is empty, of all."""
        key, behind = ((party,), "party") if party else ((), "")
        found = await self._records.page(DATASETS, behind, key, after=(after,) if after else (), limit=most)
        return {record.name: self.shown(record) for record in found}

    async def count(self, party: str, most: int) -> int:
        """How many a party has, each version counted, told up to `most`."""
        counts = [await self._records.count(kind, "party", (party,), most=most) for kind in (DATASETS, VERSIONS)]
        return min(most, sum(counts))

    async def keep(
        self,
        changed: Sequence[Dataset],
        over: Mapping[str, Record[dataset_pb2.Dataset]],
        author: Author,
        *,
        earlier: Sequence[Dataset] = (),
    ) -> dict[str, Record[dataset_pb2.Dataset]]:
        """Keep datasets in the place of what was read, and the versions that are no longer the newest, all in one
        transaction; the newest as they stand then. Raises Conflict.
        """
        etags = [over[each.name].etag if each.name in over else ABSENT for each in changed]
        puts = [
            Put(DATASETS, each.name, wire.dataset_to(each), etag) for each, etag in zip(changed, etags, strict=True)
        ]
        if not puts:
            return {}
        puts += [Put(VERSIONS, each.pinned, wire.dataset_to(each), ABSENT) for each in earlier]
        return {record.name: record for record in (await self._change(puts, author)).records}

    async def add_replica(self, name: str, digest: str, site: str, now: datetime) -> None:
        """Keep that the whole of a dataset lies at a site; told twice it changes nothing. Raises Conflict.

        One that has been removed meanwhile, and whose name may have come to other content, stays as it is.
        """
        record = await self.get(name)
        if record is None or record.message.digest != digest:
            return
        standing = wire.dataset_from(record.message)
        dataset = datasets.with_replica(standing, site, ReplicaState.COMPLETE, now)
        if dataset != standing:
            await self.put_back(record, dataset)

    async def put_back(
        self, record: Record[dataset_pb2.Dataset], dataset: Dataset, author: Author | None = None
    ) -> dataset_pb2.Dataset:
        """Keep what has become of one version; as it is shown then. Raises Conflict."""
        change = Put(_kind_of(record), record.name, wire.dataset_to(dataset), record.etag)
        return self.shown((await self._change([change], author)).records[0])

    async def remove(self, name: str, author: Author) -> int:
        """Remove one version, or with no version in the name all of them; how many there were. Raises Conflict.

        A crash in between leaves the newest versions. No number is given again, even once the last version is gone.
        """
        dataset, version = versioned(name)
        if version:
            return await self._remove_one(name, author)
        head = await self.get(dataset)
        if head is None:
            return 0
        count = 1
        while earlier := await self.versions(dataset, _version(head), VERSIONS_AT_ONCE):
            await self._change([Remove(VERSIONS, each.name, each.etag) for each in earlier], author)
            count += len(earlier)
        await self._change([Remove(DATASETS, dataset, head.etag), _remembered(head)], author)
        return count

    async def _remove_one(self, name: str, author: Author) -> int:
        record = await self.get(name)
        if record is None:
            return 0
        if record.name == name:
            await self._change([Remove(VERSIONS, name, record.etag)], author)
            return 1
        earlier = await self.versions(record.name, _version(record), 1)
        if not earlier:
            return await self.remove(record.name, author)
        newest = earlier[0].draft()  # the one before it takes its place
        newest.versions = max(record.message.versions, _version(record))
        gone = Remove(VERSIONS, earlier[0].name, earlier[0].etag)
        await self._change([Put(DATASETS, record.name, newest, record.etag), gone], author)
        return 1

    async def _change(self, changes: Sequence[Put[dataset_pb2.Dataset] | Remove], author: Author | None) -> Written:
        [outcome] = await self._records.apply([Write(changes, None, author)], fence=self._fence)
        return written(outcome)

    async def versions_before(self, names: Collection[str]) -> dict[str, int]:
        """The highest version there has been of datasets that have been removed since."""
        removed = await self._records.get_many(REMOVED, names)
        return {name: record.message.versions for name, record in removed.items()}

    def shown(self, record: Record[dataset_pb2.Dataset]) -> dataset_pb2.Dataset:
        """A dataset as its readers see it, with its etag and the copies that are under way."""
        dataset = wire.dataset_from(record.message)
        copies: Mapping[str, Held[Transfer]] = self._copies[dataset.pinned]
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


class _Sizes:
    """What is known of the sizes of many datasets when the largest have been looked at."""

    def __init__(self, count: int) -> None:
        self.left = count
        """How many have not been looked at."""
        self.after: Key = ()
        """Where the next stand."""
        self._seen_bytes = 0
        self._largest_bytes = BYTES_MAX

    @property
    def bound(self) -> int:
        """What all have at most; exact once none is left."""
        return self._seen_bytes + self.left * self._largest_bytes

    def take(self, page: Sequence[Record[dataset_pb2.Dataset]]) -> None:
        """The next, the largest first; those that were published or removed meanwhile do not count."""
        self._seen_bytes += sum(record.message.bytes for record in page)
        self.left = max(0, self.left - len(page)) if page else 0
        if page:
            self._largest_bytes = page[-1].message.bytes
            self.after = (-page[-1].message.bytes, page[-1].name)


def _version(record: Record[dataset_pb2.Dataset]) -> int:
    """Datasets of an earlier version of the mesh have one version each, and do not say so."""
    return max(1, record.message.version)


def _kind_of(record: Record[dataset_pb2.Dataset]) -> RecordKind[dataset_pb2.Dataset]:
    return VERSIONS if versioned(record.name)[1] else DATASETS


def _remembered(head: Record[dataset_pb2.Dataset]) -> Put[dataset_pb2.Dataset]:
    """What stays of a dataset that is removed."""
    highest = max(head.message.versions, _version(head))
    return Put(REMOVED, head.name, dataset_pb2.Dataset(name=head.name, versions=highest))


def _whole(message: dataset_pb2.Dataset) -> dataset_pb2.Dataset:
    """The dataset with the copies that are whole."""
    dataset = wire.dataset_from(message)
    kept = [replica for replica in message.replicas if replica.site in dataset.complete_sites]
    whole = dataset_pb2.Dataset()
    whole.CopyFrom(message)
    del whole.replicas[:]
    whole.replicas.extend(kept)
    return whole
