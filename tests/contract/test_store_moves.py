"""Stores in files, moved into PostgreSQL so that services on other machines share them: nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_commands import ACME, ALL, assert_sound, found, hold_of, one, usage_of
from postgres import Postgres
from record_datasets import DATASETS, OTHERS, PARTIES, a_dataset, names, put

from suanmesh.accounting.v1.usage_pb2 import Charge
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.commands import ClaimLedger, MarkLedger
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.ledger.sql import SqlLedger
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_local.store_copies import Place, places
from suanmesh_local.store_moves import ASIDE, MoveFailed, move_stores, require_room, set_aside, take_back
from suanmesh_store.agreement import Belonging
from suanmesh_store.records import Write, open_records

KINDS = (DATASETS, OTHERS)
FAR_US = 1 << 60
MANY = 2_500
"""More than are moved at a time."""


@pytest.fixture
def lying(tmp_path: Path) -> list[Place]:
    """Where the records of transport and the ledger lie, in files."""
    there = [place for place in places(tmp_path, {}) if place.area in ("transport", "accounting")]
    for place in there:
        assert place.path is not None
        place.path.parent.mkdir(parents=True)
    return there


async def filled(lying: list[Place]) -> None:
    records = open_records(lying[0].url, "transport", KINDS, HandClock(), seeded_rng(1))
    await records.claim(Belonging("", "home", "id", "g", 4), 5, over=0)
    puts = [put(a_dataset(f"d{number:05}", PARTIES[number % 3], number)) for number in range(MANY)]
    await records.apply([Write(puts)], fence=5)
    await records.close()
    ledger = open_ledger(lying[1].url)
    await ledger.apply([ClaimLedger("home", "l0")])
    await ledger.apply([MarkLedger("id", "g", 9)])
    await found(ledger)
    await one(ledger, hold_of("p1", 100))
    await one(ledger, usage_of(1, "p1", 30))
    await ledger.close()


async def test_what_moved_is_all_there_and_goes_on(lying: list[Place], postgres: Postgres) -> None:
    """Jobs that wait, datasets and money are in these stores; a node that grows must not lose or double any."""
    await filled(lying)
    url = postgres.new_database()
    before = open_ledger(lying[1].url)
    balance, charges = await balance_of(before), await charges_of(before)
    await before.close()
    require_room(lying, url)

    move_stores(lying, url)

    clock, rng = HandClock(), seeded_rng(1)
    moved = open_records(url, "transport", KINDS, clock, rng)
    try:
        assert await names(moved, limit=MANY) == [f"datasets/d{number:05}" for number in range(MANY)]
        assert len(await names(moved, "party", PARTIES[1], limit=MANY)) == len(range(1, MANY, 3))
        identity = await moved.identity()
        assert (identity.node, identity.node_id, identity.number) == ("home", "id", 4)
        await moved.apply([Write([put(a_dataset("later"))])], fence=5)
        assert "datasets/later" in await names(moved, "party", PARTIES[0], limit=MANY)
    finally:
        await moved.close()
    ledger = open_ledger(url)
    try:
        assert (await balance_of(ledger), await charges_of(ledger)) == (balance, charges)
        assert charges == [30]
        await one(ledger, usage_of(1, "p1", 30))
        assert await charges_of(ledger) == [30], "the same usage again is charged once"
        await one(ledger, usage_of(2, "p1", 12))
        assert sorted(await charges_of(ledger)) == [12, 30], "rows are numbered on after those that came"
        await assert_sound(ledger)
    finally:
        await ledger.close()


async def test_a_database_that_is_in_use_is_left_alone(lying: list[Place], postgres: Postgres) -> None:
    """Whoever names the database of another node must not have either lose anything."""
    await filled(lying)
    url = postgres.new_database()
    other = open_ledger(url)
    await other.apply([ClaimLedger("other", "l1")])
    await other.close()

    with pytest.raises(MoveFailed, match="name an empty one"):
        require_room(lying, url)
    with pytest.raises(MoveFailed, match="holds the ledger already"):
        move_stores(lying, url)

    ledger = open_ledger(url)
    [own] = await ledger.apply([ClaimLedger("x", "x")])
    await ledger.close()
    assert not isinstance(own, Exception)
    assert own.ledger == "l1"
    require_room(lying[:1], url)  # the records that had been moved before are taken back
    assert lying[0].path is not None
    assert lying[0].path.exists()


async def test_a_move_that_is_taken_back_can_be_made_again(lying: list[Place], postgres: Postgres) -> None:
    """A node that could not start with moved stores goes on with its files, and may try again with this database."""
    await filled(lying)
    url = postgres.new_database()
    move_stores(lying, url)

    take_back(lying, url)
    require_room(lying, url)
    move_stores(lying, url)
    set_aside(lying)

    for place in lying:
        assert place.path is not None
        assert not place.path.exists()
        assert place.path.with_name(place.path.name + ASIDE).exists()


def test_a_database_that_is_not_reached_is_told_of(lying: list[Place], tmp_path: Path) -> None:
    """An operator who mistyped it must be told so before anything stands still."""
    with pytest.raises(MoveFailed, match="connection"):
        require_room(lying, f"postgresql://suanmesh@/none?host={tmp_path}")


async def balance_of(ledger: SqlLedger) -> int:
    return (await ledger.page(q.AccountNamed(ACME))).balance_micros


async def charges_of(ledger: SqlLedger) -> list[int]:
    page = (await ledger.page(q.Bill(ALL, ACME, "", "", 0, FAR_US))).charges
    return [Charge.FromString(document).quantity for document in page.items]
