"""A ledger of an older version opens as one of this version, with everything that was in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine, inspect

from suanmesh.accounting.v1.usage_pb2 import Charge, UsageRecord
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_accounting.domain.commands import ExpireUsage, Recorded, RecordUsage, SignedBatch
from suanmesh_accounting.domain.queries import (
    AccountNamed,
    Bill,
    ChargeGroup,
    Cut,
    Postings,
    StandingHolds,
    SummedCharges,
    Usage,
)
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_accounting.wire import measured_from
from suanmesh_chassis.signing import verify
from suanmesh_store.soundness import StoreCorrupt

FIRST, THIRD, FOURTH = ((Path(__file__).parent / f"ledger_of_version_{number}.sql").read_text() for number in (1, 3, 4))
SITE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
"""Of the site whose usage is in the third."""
ALL = Cut(100, "", "")
ACCOUNT = "INSERT INTO accounts VALUES ('accounts/a', 'parties/a', 'CNY', 'CONSUMER', 1000, 1)"
HOLD = "INSERT INTO holds VALUES (?, 'accounts/a', ?, 0, 'jobs/j', 'sites/a', ?, ?, ?, 0, x'', 1, '', 1)"
HOLDS = [("h1", "p1", 100, 30, "COMMITTED"), ("h2", "p2", 50, 0, "HELD"), ("h3", "p3", 70, 0, "RELEASED")]


@contextmanager
def edited(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


async def test_what_the_first_version_kept_is_there_and_counted(tmp_path: Path) -> None:
    """A customer's money must not be free to spend twice because the program was brought up to date."""
    with edited(tmp_path / "old") as connection:
        connection.executescript(FIRST)
        connection.execute(ACCOUNT)
        connection.executemany(HOLD, HOLDS)
    for _ in range(2):
        ledger = open_ledger(f"sqlite:///{tmp_path}/old")
        account = await ledger.page(AccountNamed("accounts/a"))
        assert (account.balance_micros, account.held_micros) == (1000, 70 + 50)
        assert len(await ledger.page(StandingHolds())) == 2
        await ledger.close()


async def test_usage_that_was_signed_record_by_record_is_there_and_proved(tmp_path: Path) -> None:
    """A bill of last year must still be proved by what the site signed then, and be posted as it was."""
    with edited(tmp_path / "old") as connection:
        connection.executescript(THIRD)
    ledger = open_ledger(f"sqlite:///{tmp_path}/old")
    usage = (await ledger.page(Usage(ALL, "", ""))).items
    for stored in usage:
        signed = Signed.FromString(stored.signed)
        assert verify(signed, SITE_KEY)
        assert (signed.payload, stored.leaf_index, stored.audit_path) == (stored.record, 0, ())
    assert [UsageRecord.FromString(stored.record).sequence for stored in usage] == [1, 2, 3]
    mine = (await ledger.page(Usage(ALL, "jobs/j", "parties/acme"))).items
    assert [UsageRecord.FromString(stored.record).sequence for stored in mine] == [1, 2]
    bill = await ledger.page(Bill(ALL, "accounts/acme", "", "", 0, 2**62))
    charges = [Charge.FromString(document) for document in bill.charges.items]
    assert [(charge.entry, charge.amount_micros) for charge in charges] == [
        ("charges/a-e-1-0", 40), ("charges/a-e-2-0", 60),
    ]  # fmt: skip
    entries = {posted.entry for posted in (await ledger.page(Postings(ALL, ""))).items}
    assert {charge.entry for charge in charges} < entries
    await ledger.close()


async def test_usage_goes_on_in_an_old_ledger(tmp_path: Path) -> None:
    """A record that was charged before the program was brought up to date must not be charged again after it."""
    with edited(tmp_path / "old") as connection:
        connection.executescript(THIRD)
    ledger = open_ledger(f"sqlite:///{tmp_path}/old")
    usage = (await ledger.page(Usage(ALL, "", ""))).items
    records = tuple(measured_from(each.record, UsageRecord.FromString(each.record), n) for n, each in enumerate(usage))
    batch = SignedBatch(b"", b"")
    room = AccountingSettings().room()
    [outcomes] = await ledger.apply([RecordUsage("sites/a", records, batch, {}, frozenset(), room, 1)])
    assert [each if isinstance(each, Recorded) else each.reason for each in outcomes] == [
        Recorded(1, again=True), Recorded(1, again=True), "USAGE_NOT_RATABLE",
    ]  # fmt: skip
    assert (await ledger.page(AccountNamed("accounts/acme"))).balance_micros == 900
    [dropped] = await ledger.apply([ExpireUsage(2**62, 10)])
    assert dropped == {"sites/a": 1}
    await ledger.close()


@pytest.mark.parametrize("old", [THIRD, FOURTH], ids=["3", "4"])
async def test_what_was_charged_before_is_summed_with_the_rest(tmp_path: Path, old: str) -> None:
    """The report of a year in which the program was brought up to date must have both halves of it."""
    with edited(tmp_path / "old") as connection:
        connection.executescript(old)
    ledger = open_ledger(f"sqlite:///{tmp_path}/old")
    bill = await ledger.page(Bill(ALL, "accounts/acme", "", "", 0, 2**62))
    charges = [Charge.FromString(document) for document in bill.charges.items]
    assert bill.total_micros == sum(charge.amount_micros for charge in charges) == 100
    for group, key in ((ChargeGroup.SITE, "sites/a"), (ChargeGroup.METER, 1)):
        summed = await ledger.page(SummedCharges(ALL, "accounts/acme", "", group, 0, 2**62, 0))
        [one] = summed.sums.items
        waived = sum(charge.waived_micros for charge in charges)
        assert (one.key, one.charges, one.amount_micros, one.waived_micros) == (key, len(charges), 100, waived)
    assert (await ledger.page(AccountNamed("accounts/acme"))).close_us == 0
    await ledger.close()


@pytest.mark.parametrize("old", [FIRST, THIRD, FOURTH], ids=["1", "3", "4"])
async def test_an_old_ledger_becomes_like_a_new_one(tmp_path: Path, old: str) -> None:
    """A table or index that only new ledgers have is missed at night, by one customer."""
    with edited(tmp_path / "old") as connection:
        connection.executescript(old)
    for name in ("old", "new"):
        await open_ledger(f"sqlite:///{tmp_path}/{name}").close()
    assert shape(tmp_path / "old") == shape(tmp_path / "new")


async def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    """An older program would write what the newer one can no longer read."""
    await open_ledger(f"sqlite:///{tmp_path}/ledger").close()
    with edited(tmp_path / "ledger") as connection:
        connection.execute("UPDATE schema_version SET version = version + 1")
    with pytest.raises(StoreCorrupt, match="bring back a copy from before"):
        open_ledger(f"sqlite:///{tmp_path}/ledger")


def shape(path: Path) -> dict[str, Any]:
    """Tables with their columns, keys and indexes."""
    engine = create_engine(f"sqlite:///{path}")
    found = inspect(engine)
    tables = {
        name: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(name)},
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(str(index["column_names"]) for index in found.get_indexes(name)),
            sorted(str(unique["column_names"]) for unique in found.get_unique_constraints(name)),
        )
        for name in found.get_table_names()
    }
    engine.dispose()
    return tables
