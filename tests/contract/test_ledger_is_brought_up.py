"""A ledger of an older version opens as one of this version, with everything that was in it, on either database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import (
    BigInteger,
    Engine,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    inspect,
    make_url,
    select,
    text,
)

from suanmesh.accounting.v1.usage_pb2 import Charge, UsageRecord
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_accounting.domain.commands import ExpireUsage, Recorded, RecordUsage, SignedBatch
from suanmesh_accounting.domain.queries import (
    NO_DATASET,
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
from suanmesh_accounting.ledger.tables import Text
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_accounting.wire import measured_from
from suanmesh_chassis.signing import verify
from suanmesh_store.soundness import StoreCorrupt

FIRST, THIRD, FOURTH, FIFTH, SEVENTH, EIGHTH, NINTH = (
    (Path(__file__).parent / f"ledger_of_version_{number}.sql").read_text() for number in (1, 3, 4, 5, 7, 8, 9)
)
"""As SQLite tells of them; what makes the second is done to the first on the way."""
SITE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
"""Of the site whose usage is in the third."""
ALL = Cut(100, "", "")
ACCOUNT = "INSERT INTO accounts VALUES ('accounts/a', 'parties/a', 'CNY', 'CONSUMER', 1000, 1);"
HOLDS = [
    f"INSERT INTO holds VALUES ('{name}', 'accounts/a', '{placement}', 0, 'jobs/j', 'sites/a', {amount}, {charged},"
    f" '{state}', 0, x'', 1, '', 1);"
    for name, placement, amount, charged, state in (
        ("h1", "p1", 100, 30, "COMMITTED"), ("h2", "p2", 50, 0, "HELD"), ("h3", "p3", 70, 0, "RELEASED"),
    )
]  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where two ledgers may be made."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/first", f"sqlite:///{tmp_path}/second"
    postgres = request.getfixturevalue("postgres")
    return postgres.new_database(), postgres.new_database()


@pytest.fixture
def url(urls: tuple[str, str]) -> str:
    """Where a ledger may be made."""
    return urls[0]


async def test_what_the_first_version_kept_is_there_and_counted(url: str) -> None:
    """A customer's money must not be free to spend twice because the program was brought up to date."""
    keep(url, FIRST + ACCOUNT + "".join(HOLDS))
    for _ in range(2):
        ledger = open_ledger(url)
        account = await ledger.page(AccountNamed("accounts/a"))
        assert (account.balance_micros, account.held_micros) == (1000, 70 + 50)
        assert len(await ledger.page(StandingHolds())) == 2
        await ledger.close()


async def test_usage_that_was_signed_record_by_record_is_there_and_proved(url: str) -> None:
    """A bill of last year must still be proved by what the site signed then, and be posted as it was."""
    keep(url, THIRD)
    ledger = open_ledger(url)
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


async def test_usage_goes_on_in_an_old_ledger(url: str) -> None:
    """A record that was charged before the program was brought up to date must not be charged again after it."""
    keep(url, THIRD)
    ledger = open_ledger(url)
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


@pytest.mark.parametrize("old", [THIRD, FOURTH, FIFTH, SEVENTH, EIGHTH, NINTH], ids=["3", "4", "5", "7", "8", "9"])
async def test_what_was_charged_before_is_summed_with_the_rest(url: str, old: str) -> None:
    """The report of a year in which the program was brought up to date must have both halves of it."""
    keep(url, old)
    ledger = open_ledger(url)
    bill = await ledger.page(Bill(ALL, "accounts/acme", "", "", 0, 2**62))
    charges = [Charge.FromString(document) for document in bill.charges.items]
    assert bill.total_micros == sum(charge.amount_micros for charge in charges) == 100
    for group, key in ((ChargeGroup.SITE, "sites/a"), (ChargeGroup.METER, 1)):
        summed = await ledger.page(SummedCharges(ALL, "accounts/acme", "", group, 0, 2**62, 0))
        [one] = summed.sums.items
        waived = sum(charge.waived_micros for charge in charges)
        assert (one.key, one.charges, one.amount_micros, one.waived_micros) == (key, len(charges), 100, waived)
    of_data = await ledger.page(SummedCharges(ALL, "accounts/acme", "", ChargeGroup.DATASET, 0, 2**62, 0))
    assert [(each.key, each.charges, each.amount_micros) for each in of_data.sums.items] == [
        (NO_DATASET, len(charges), 100)
    ]
    assert (await ledger.page(AccountNamed("accounts/acme"))).close_us == 0
    await ledger.close()


@pytest.mark.parametrize(
    "old", [FIRST, THIRD, FOURTH, FIFTH, SEVENTH, EIGHTH, NINTH], ids=["1", "3", "4", "5", "7", "8", "9"]
)
async def test_an_old_ledger_becomes_like_a_new_one(urls: tuple[str, str], old: str) -> None:
    """A table or index that only new ledgers have is missed at night, by one customer."""
    keep(urls[0], old)
    for each in urls:
        await open_ledger(each).close()
    assert shape(urls[0]) == shape(urls[1])


async def test_a_newer_ledger_is_left_alone(url: str) -> None:
    """An older program would write what the newer one can no longer read."""
    await open_ledger(url).close()
    engine = engine_at(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_version SET version = version + 1"))
    engine.dispose()
    with pytest.raises(StoreCorrupt, match="bring back a copy from before"):
        open_ledger(url)


def keep(url: str, script: str) -> None:
    """Have at `url` what the SQL of SQLite tells of: in PostgreSQL with the types that it had there."""
    source = engine_at(url if url.startswith("sqlite") else "sqlite://")
    raw: Any = source.raw_connection()
    raw.driver_connection.executescript(script)
    if not url.startswith("sqlite"):
        found = MetaData()
        found.reflect(source)
        _copy(source, engine_at(url), found)
    raw.close()
    source.dispose()


def _copy(source: Engine, target: Engine, found: MetaData) -> None:
    rows = {}
    with source.connect() as connection:
        for table in found.sorted_tables:
            rows[table.name] = [dict(row) for row in connection.execute(select(table)).mappings()]
    for table in found.sorted_tables:
        _as_in_postgres(table)
    found.create_all(target)
    with target.begin() as connection:
        for table in found.sorted_tables:
            if rows[table.name]:
                connection.execute(table.insert(), rows[table.name])
            if "id" in table.c and table.name != "identity":
                last = func.setval(
                    func.pg_get_serial_sequence(table.name, "id"), func.coalesce(func.max(table.c.id), 1)
                )
                connection.execute(select(last))
    target.dispose()


def _as_in_postgres(table: Table) -> None:
    for column in table.columns:
        if isinstance(column.type, String):
            column.type = Text
        elif isinstance(column.type, LargeBinary):
            column.type = LargeBinary()
        elif column.name == "id" and table.name != "identity":
            column.type = BigInteger()
    for index in table.indexes:
        if index.dialect_options["sqlite"]["where"] is not None:
            index.dialect_options["postgresql"]["where"] = text("NOT ratable")


def engine_at(url: str) -> Engine:
    """For what a test itself does to a database."""
    made = make_url(url)
    return create_engine(made.set(drivername="postgresql+psycopg") if made.drivername == "postgresql" else made)


def shape(url: str) -> dict[str, Any]:
    """Tables with their columns, keys and indexes."""
    engine = engine_at(url)
    found = inspect(engine)
    tables = {
        name: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(name)},
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(map(_columns, found.get_indexes(name))),
            sorted(map(_columns, found.get_unique_constraints(name))),
        )
        for name in found.get_table_names()
    }
    engine.dispose()
    return tables


def _columns(of: Any) -> str:
    return str(of["column_names"])
