"""Datasets as records, for the suites of records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh_store import IdempotencyKey, IdempotencyRecord
from suanmesh_store.records import Index, Put, RecordKind, Records, Remove, Write, Written, written

BY_PARTY: Index[Dataset] = Index("party", lambda dataset: [(dataset.party, -dataset.bytes)])
BY_SITE: Index[Dataset] = Index("site", lambda dataset: {(replica.site,) for replica in dataset.replicas})
DATASETS = RecordKind("datasets", Dataset, (BY_PARTY, BY_SITE))
OTHERS = RecordKind("others", Dataset)
PARTIES, SITES = ("parties/a", "parties/ab", "parties/ä"), ("sites/x", "sites/y", "sites/z")
Open = Callable[..., Records]


def a_dataset(name: str, party: str = PARTIES[0], size: int = 0, sites: Sequence[str] = ()) -> Dataset:
    dataset = Dataset(name=f"datasets/{name}", party=party, bytes=size)
    for site in sites:
        dataset.replicas.add(site=site)
    return dataset


def put(dataset: Dataset, expected: str | None = None) -> Put[Dataset]:
    return Put(DATASETS, dataset.name, dataset, expected)


def answer_to(request_id: str, answer: Dataset, over: int = 0) -> IdempotencyRecord:
    return IdempotencyRecord(IdempotencyKey("spiffe://n/u", request_id, "Create"), b"digest", answer, over)


async def apply(records: Records, *changes: Put[Any] | Remove, **more: Any) -> Written:
    fence = more.pop("fence", 0)
    [outcome] = await records.apply([Write(changes, **more)], fence=fence)
    return written(outcome)


async def names(records: Records, index: str = "", *equals: str, **more: Any) -> list[str]:
    return [r.name for r in await records.page(DATASETS, index, equals, **({"limit": 100} | more))]
