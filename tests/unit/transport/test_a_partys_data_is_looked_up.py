"""What an upload has to know of a party's data is found by looking up, not by reading all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh.transport.v1 import dataset_pb2
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_store.records import MemoryRecords, Put, Record, RecordKind, Write
from suanmesh_transport.dataset_records import DATASETS, VERSIONS, DatasetRecords

SITES = ("sites/a", "sites/ab", "sites/b", "sites/z")
Kind = RecordKind[dataset_pb2.Dataset]


class CountedRecords(MemoryRecords):
    """Tells how many records were read."""

    read = 0

    async def page(self, kind: RecordKind[Any], *args: Any, **more: Any) -> list[Record[Any]]:
        found = await super().page(kind, *args, **more)
        self.read += len(found)
        return found


def a_dataset(number: int, size: int, sites: tuple[str, ...], party: str = "parties/p") -> dataset_pb2.Dataset:
    made = dataset_pb2.Dataset(name=f"datasets/d{number}", party=party, digest=f"{number:064x}", bytes=size, version=1)
    made.create_time.FromSeconds(1_000 + number)
    for site in sites:
        made.replicas.add(site=site, state=dataset_pb2.Replica.STATE_COMPLETE)
    return made


async def kept(*made: dataset_pb2.Dataset, earlier: int = 0) -> tuple[CountedRecords, DatasetRecords]:
    records = CountedRecords(HandClock(), seeded_rng(1))
    kinds = [VERSIONS if number < earlier else DATASETS for number in range(len(made))]
    names = [f"{each.name}@1" if kind is VERSIONS else each.name for kind, each in zip(kinds, made, strict=True)]
    puts = [Put(kind, name, each) for kind, name, each in zip(kinds, names, made, strict=True)]
    await records.apply([Write([put]) for put in puts])
    return records, DatasetRecords(records, {})  # type: ignore[arg-type]


def played(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sets(st.sampled_from(SITES))), max_size=12),
    st.integers(0, 12),
    st.integers(0, 80),
)
def test_what_is_looked_up_is_what_reading_all_would_tell(
    made: list[tuple[int, set[str]]], earlier: int, most: int
) -> None:
    """Data would be brought to a far site, or more of it than the party may have."""

    async def scene() -> None:
        own = [a_dataset(number, size, tuple(sites)) for number, (size, sites) in enumerate(made)]
        other = [a_dataset(100 + number, 50, SITES, party="parties/pp") for number in range(3)]
        _, datasets = await kept(*own, *other, earlier=earlier)
        sizes = sum(each.bytes for each in own)
        told = await datasets.bytes_of("parties/p", most)
        assert sizes <= told <= most if sizes <= most else told == sizes
        assert await datasets.homes("parties/p") == {site for _, sites in made for site in sites}
        for site in SITES:
            there = [each.digest for each in own if site in {replica.site for replica in each.replicas}]
            assert await datasets.digests_at("parties/p", site, 3) == there[::-1][:3]

    played(scene())


def test_a_party_with_thousands_of_datasets_waits_no_longer() -> None:
    """A put of one file would take as long as the list of all that was ever put."""

    async def scene() -> None:
        records, datasets = await kept(*(a_dataset(number, 1 << 20, SITES[:2]) for number in range(3000)))
        assert await datasets.bytes_of("parties/p", 1 << 40) <= 1 << 40
        assert await datasets.homes("parties/p") == set(SITES[:2])
        assert len(await datasets.digests_at("parties/p", SITES[0], 16)) == 16
        assert records.read <= 200

    played(scene())
