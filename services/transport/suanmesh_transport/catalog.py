"""Versions, labels and the removal of datasets."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_kernel.names import versioned
from suanmesh_kernel.refusals import NotFound
from suanmesh_store import Author
from suanmesh_store.records import Record
from suanmesh_transport import wire
from suanmesh_transport.dataset_records import DatasetRecords
from suanmesh_transport.domain import datasets
from suanmesh_transport.mirrors import Kept
from suanmesh_transport.ports import Jobs

FILTERED_STEP = 500
FILTERED_MAX = 10_000
"""Datasets that one call looks at with labels, so many at a time."""


class Catalog:
    """What is kept of datasets beside their publication. Removal is the term's: the reads are any instance's."""

    def __init__(self, kept: Kept, records: DatasetRecords, writing: asyncio.Lock) -> None:
        """`writing` orders all writes of datasets in this process."""
        self._kept = kept
        self._records = records
        self._writing = writing

    async def page(
        self, party: str, after: str, most: int, labels: Mapping[str, str]
    ) -> tuple[dict[str, dataset_pb2.Dataset], str]:
        """The next datasets by name that have all of the labels, of one party or, where that is empty, of all.

        And up to where they were looked at, where that is not the end.
        """
        if not labels:
            return await self._records.page(party, after, most), ""
        found: dict[str, dataset_pb2.Dataset] = {}
        for _ in range(FILTERED_MAX // FILTERED_STEP):
            page = await self._records.page(party, after, FILTERED_STEP)
            found |= {name: each for name, each in page.items() if labels.items() <= dict(each.labels).items()}
            if len(page) < FILTERED_STEP or len(found) >= most:
                return dict(list(found.items())[:most]), ""
            after = next(reversed(page))
        return found, after

    async def versions(self, name: str, party: str, below: int, most: int) -> list[dataset_pb2.Dataset]:
        """The versions of a dataset below a number, the newest first; all where it is 0. Raises NotFound."""
        await self._owned(name, party)
        return [self._records.shown(record) for record in await self._records.versions(name, below, most)]

    async def set_labels(self, name: str, party: str, labels: Mapping[str, str], author: Author) -> dataset_pb2.Dataset:
        """Give a version other labels. Raises NotFound, InvalidArgument (`FIELD_INVALID`)."""
        datasets.require_labels(labels)
        async with self._writing:
            record = await self._owned(name, party)
            dataset = replace(wire.dataset_from(record.message), labels=dict(labels))
            if dataset == wire.dataset_from(record.message):
                return self._records.shown(record)
            return await self._records.put_back(record, dataset, author)

    async def remove(self, name: str, party: str, jobs: Jobs, author: Author) -> int:
        """Remove a version, or all of them; how many there were.

        Raises NotFound (`DATASET_UNKNOWN`), FailedPrecondition (`DATASET_IN_USE`) and Unavailable.
        """
        owner = (await self._owned(name, party)).message.party
        datasets.require_unused(name, await jobs.needing(owner, name, self._makers(name)))
        async with self._writing:
            await self._owned(name, owner)
            return await self._records.remove(name, author)

    def copies_of(self, name: str) -> list[str]:
        """Transfers of a dataset, or of one version, that have not ended and serve no placement."""
        live = (held.message for held in self._kept.transfers.values())
        return [
            each.name
            for each in live
            if not each.HasField("end_time") and not each.placement and datasets.covers(name, each.dataset)
        ]

    async def unnamed(self, digests: Collection[str], site: str) -> list[str]:
        """Those of the contents that no dataset has a replica of at the site, and no transfer moves from or to it.

        One that has arrived moves its content until the replica is kept, as long as the dataset stands.
        """
        kept = (held.message for held in self._kept.transfers.values())
        moving = [each for each in kept if each.digest in digests and site in (each.source, each.target)]
        arrived = {each.dataset for each in moving if each.state == Transfer.STATE_DONE}
        standing = await self._records.get_many(arrived) if arrived else {}
        needed = {each.digest for each in moving if not each.HasField("end_time") or each.dataset in standing}
        named = await self._records.named(digests, site)
        return [digest for digest in digests if digest not in named | needed]

    def _makers(self, name: str) -> list[str]:
        """Jobs whose placements have not ended and make it. A job may have ended before its placement has."""
        dataset = versioned(name)[0]
        open_ones = (held.message for held in self._kept.placements.values() if not held.message.HasField("end_time"))
        return [each.job for each in open_ones if dataset in wire.datasets_made(each)]

    async def _owned(self, name: str, party: str) -> Record[dataset_pb2.Dataset]:
        record = await self._records.get(name)
        if record is None or party not in ("", record.message.party):
            raise NotFound("DATASET_UNKNOWN", f"there is no dataset {name}", name=name)
        return record
