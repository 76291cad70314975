"""By what records are found: pages, counts and indexes, the same in every database."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_datasets import BY_PARTY, DATASETS, PARTIES, SITES, Open, a_dataset, apply, names, put

from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh_kernel.refusals import InvalidArgument, Unavailable
from suanmesh_store.records import Index, Put, Records, Remove, SqlRecords
from suanmesh_store.records.kinds import encoded


@pytest.mark.parametrize("seed", range(3))
async def test_pages_and_counts_are_those_of_a_sorted_list(opening: Open, seed: int) -> None:
    """Whoever pages through must see each once and in order, whatever the collation of the database."""
    random_, writer, reader = random.Random(seed), opening(), opening()
    model: dict[str, Dataset] = {}
    for _ in range(12):
        changes: list[Put[Any] | Remove] = []
        for name in random_.sample("abcdefghijäé", random_.randint(1, 5)):
            if random_.random() < 0.3:
                changes.append(Remove(DATASETS, f"datasets/{name}"))
                model.pop(f"datasets/{name}", None)
                continue
            sites = random_.sample(SITES, random_.randint(0, 3))
            dataset = a_dataset(name, random_.choice(PARTIES), random_.randint(0, 2), sites)
            changes.append(put(dataset))
            model[dataset.name] = dataset
        await apply(writer, *changes)
    size, descending = random_.randint(1, 3), random_.random() < 0.5

    def order(keys: list[Any]) -> list[Any]:
        return sorted(keys, reverse=descending)

    assert await _paged(reader, "", (), size, descending) == order([*model])
    for party in PARTIES:
        mine = order([(-d.bytes, name) for name, d in model.items() if d.party == party])
        assert await _paged(reader, "party", (party,), size, descending) == [name for _, name in mine]
        assert await reader.count(DATASETS, "party", (party,), most=2) == min(2, len(mine))
    for site in SITES:
        here = order([name for name, d in model.items() if site in {replica.site for replica in d.replicas}])
        assert await _paged(reader, "site", (site,), size, descending) == here
    everyone = order([(d.party, -d.bytes, name) for name, d in model.items()])
    assert await _paged(reader, "party", (), size, descending) == [name for _, _, name in everyone]


async def _paged(records: Records, index: str, equals: tuple[str, ...], size: int, descending: bool) -> list[str]:
    seen: list[str] = []
    after: tuple[Any, ...] = ()
    keys: Callable[[Dataset], Any] = BY_PARTY.keys if index == "party" else lambda _: [equals]
    while page := await records.page(DATASETS, index, equals, after=after, limit=size, descending=descending):
        assert len(page) <= size
        seen += [record.name for record in page]
        [key] = keys(page[-1].message)
        after = (*key[len(equals) :], page[-1].name)
    return seen


FIELDS = st.one_of(st.text(max_size=4), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(-(2**63), 2**63 - 1), st.text(max_size=3)), max_size=20))
def test_encoded_keys_stand_in_the_order_of_their_values(keys: list[tuple[str, int, str]]) -> None:
    """An index whose bytes stand in another order gives pages that skip records."""
    assert sorted(keys) == sorted(keys, key=encoded)


@given(st.tuples(FIELDS, FIELDS), st.tuples(FIELDS, FIELDS))
def test_no_key_is_the_beginning_of_another(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """A party `a` would else be shown what belongs to a party `ab`."""
    assert one == other or not encoded(other).startswith(encoded(one))


async def test_an_index_that_is_new_finds_what_was_kept_before(opening: Open) -> None:
    """A release that lists by something else must list what older ones have kept, and no longer what they listed."""
    plain = replace(DATASETS, indexes=())
    old = opening(plain)
    if not isinstance(old, SqlRecords):
        return
    await apply(old, *(Put(plain, f"datasets/{n}", a_dataset(str(n), PARTIES[n % 2])) for n in range(3)))
    new = opening(DATASETS)
    assert await names(new, "party", PARTIES[0]) == ["datasets/0", "datasets/2"]
    with pytest.raises(Unavailable, match="another version"):
        await apply(old, Put(plain, "datasets/3", a_dataset("3")))
    by_size: Index[Dataset] = Index("party", lambda dataset: [(dataset.digest,)], version=2)
    newest = opening(replace(DATASETS, indexes=(by_size,)))
    assert await names(newest, "party", PARTIES[0]) == []
    assert len(await names(newest, "party", "")) == 3


async def test_a_key_that_no_database_takes_is_refused(records: Records) -> None:
    """Only PostgreSQL would refuse it, and with it all that shares its transaction."""
    with pytest.raises(InvalidArgument) as refused:
        await apply(records, put(a_dataset("d", party="p" * 3000)))
    assert refused.value.reason == "DOCUMENT_TOO_LARGE"
