"""Copies of SQL stores that are taken while somebody writes: of one moment, with its number, of either database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from record_datasets import DATASETS, OTHERS, a_dataset, names, put

from suanmesh_accounting.domain.commands import ClaimLedger, MarkLedger
from suanmesh_accounting.ledger import open_ledger
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_local.store_copies import CopyFailed, Place, bring_back, copy, places, without_password
from suanmesh_store.agreement import Belonging
from suanmesh_store.records import Write, open_records


@pytest.fixture(params=["sqlite", "postgres"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], Place]:
    """Where the store of an area lies, of two nodes."""
    urls: dict[str, str] = {}

    def place(node: str, area: str) -> Place:
        if request.param == "sqlite":
            folder = tmp_path / node
            (folder / "services" / area).mkdir(parents=True, exist_ok=True)
            return next(each for each in places(folder, {}) if each.area == area)
        if node not in urls:
            urls[node] = request.getfixturevalue("postgres").new_database()
        environment = {f"SUANMESH_{area.upper()}_DATABASE": urls[node]}
        return next(each for each in places(tmp_path / node, environment) if each.area == area)

    return place


async def test_records_are_copied_as_of_one_moment_while_they_are_written(
    at: Callable[[str, str], Place], tmp_path: Path
) -> None:
    """A job without its index would be there and never be found; its owner would submit it again."""
    clock, rng = HandClock(), seeded_rng(1)
    there = at("one", "transport")
    records = open_records(there.url, "transport", (DATASETS, OTHERS), clock, rng)
    await records.claim(Belonging("", "home", "id", "g", 4), 5, over=0)

    async def write() -> None:
        number = 0
        while True:
            pair = [put(a_dataset(f"{number}-{half}")) for half in "ab"]
            await records.apply([Write(pair)], fence=5)
            number += 1

    writing = asyncio.create_task(write())
    await records.moved(20)
    copied = await asyncio.to_thread(copy, there, tmp_path / "copy")
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    own = await records.identity()
    await records.close()
    assert copied is not None
    assert (copied.store, copied.number) == (own.store, 4)

    again = at("other", "transport")
    await asyncio.to_thread(bring_back, tmp_path / "copy", again)
    restored = open_records(again.url, "transport", (DATASETS, OTHERS), clock, rng)
    try:
        found = await names(restored, limit=10_000)
        assert len(found) >= 20
        assert {name[:-1] + "a" for name in found} == {name for name in found if name.endswith("a")}
        assert len(found) % 2 == 0, "of a write all or nothing"
        assert await names(restored, "party", "parties/a", limit=10_000) != []
        assert await restored.identity() == own
    finally:
        await restored.close()


async def test_a_ledger_beside_records_is_copied_alone(at: Callable[[str, str], Place], tmp_path: Path) -> None:
    """Where all share one database, restoring the ledger must not need an empty one for each service."""
    clock, rng = HandClock(), seeded_rng(1)
    for area in ("accounting", "transport"):
        place = at("one", area)
        if area == "transport":
            await open_records(place.url, area, (DATASETS,), clock, rng).close()
            continue
        ledger = open_ledger(place.url)
        await ledger.apply([ClaimLedger("home", "l0")])
        await ledger.apply([MarkLedger("id", "g", 9)])
        await ledger.close()
    for area in ("transport", "accounting"):
        copied = await asyncio.to_thread(copy, at("one", area), tmp_path / "copies" / area)
        assert copied is not None
        await asyncio.to_thread(bring_back, tmp_path / "copies" / area, at("other", area))
    assert (copied.store, copied.number) == ("l0", 9)
    ledger = open_ledger(at("other", "accounting").url)
    [own] = await ledger.apply([ClaimLedger("other", "l1")])
    await ledger.close()
    assert not isinstance(own, Exception)
    assert (own.ledger, own.node, own.number) == ("l0", "home", 9)
    with pytest.raises(CopyFailed):
        await asyncio.to_thread(bring_back, tmp_path / "copies" / "accounting", at("other", "accounting"))


def test_a_store_that_is_not_there_has_no_copy(tmp_path: Path) -> None:
    """A node that never led has no ledger; a backup of it is one all the same."""
    assert [copy(place, tmp_path / place.file) for place in places(tmp_path / "node", {})] == [None] * 4
    assert [place.area for place in places(tmp_path / "node", {})][-1] == "accounting"


def test_a_password_is_not_among_the_arguments() -> None:
    """Every user of a machine reads the arguments of all of its processes."""
    assert without_password("postgresql+psycopg://suan:secret@db.example/mesh?sslmode=require") == (
        "postgresql://suan@db.example/mesh?sslmode=require"
    )
