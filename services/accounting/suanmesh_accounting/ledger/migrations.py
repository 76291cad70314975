"""What made the tables of each version of the ledger out of those of the one before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Inspector, Row, insert, inspect, text

from suanmesh.accounting.v1.usage_pb2 import Charge
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_accounting.ledger import tables as t
from suanmesh_store.migrations import Step, made_anew


def unnumbered(tables: Inspector) -> int:
    """Which version's tables are there where no number is kept; 0 for none."""
    if not tables.has_table("accounts"):
        return 0
    return 2 if "held_micros" in {column["name"] for column in tables.get_columns("accounts")} else 1


def _as_it_was(_: Connection) -> None:
    """Version 1: accounts, postings, price books, holds, usage, charges, answers to requests."""


def _count_held(connection: Connection) -> None:
    """Version 2: accounts know what is held of them."""
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN held_micros BIGINT NOT NULL DEFAULT 0")
    connection.exec_driver_sql(
        "UPDATE accounts SET held_micros = COALESCE((SELECT SUM(amount_micros - charged_micros) FROM holds"
        " WHERE account = accounts.name AND state IN ('HELD', 'COMMITTED') AND amount_micros > charged_micros), 0)"
    )
    connection.exec_driver_sql("CREATE INDEX accounts_by_party ON accounts (party, kind, currency)")


def _carry_on(connection: Connection) -> None:
    """Version 3: what rounding leaves over is carried on, and the ledger has a name."""
    t.remainders.create(connection, checkfirst=True)
    t.identity.create(connection, checkfirst=True)


def _batch_usage(connection: Connection) -> None:
    """Version 4: usage comes in batches; a record that was signed by itself is one. Charges name their entries."""
    t.usage_batches.create(connection)
    connection.exec_driver_sql("CREATE INDEX holds_by_job ON holds (job)")
    connection.exec_driver_sql("ALTER TABLE postings DROP COLUMN charge")
    made_anew(connection, t.usage, ("usage_by_quarantine", "usage_by_job", "usage_by_placement"), _batched)
    made_anew(connection, t.charges, ("charges_by_usage", "charges_by_account"), _with_entry)


def _batched(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    """A record with a batch of its own."""
    batch = insert(t.usage_batches).values(signed=row.signed, leaves=b"", kept=1).returning(t.usage_batches.c.id)
    lines = "SELECT COUNT(*) FROM charges WHERE usage = :usage"
    usage = f"{row.site}/{row.epoch}/{row.sequence}"
    return {
        **{name: getattr(row, name) for name in ("site", "epoch", "sequence", "placement", "task", "transfer")},
        **{name: getattr(row, name) for name in ("final", "ratable", "record_us")},
        "lines": connection.execute(text(lines), {"usage": usage}).scalar_one(),
        "record": Signed.FromString(row.signed).payload,
        "batch": connection.execute(batch).scalar_one(),
        "leaf_index": 0,
    }


def _with_entry(_: Connection, row: Row[Any]) -> dict[str, Any]:
    """A charge that names its entry, which had its name."""
    entry = Charge(entry=row.name if row.amount_micros else "").SerializeToString()
    return _summable(row, row.document + entry)


def _sum_charges(connection: Connection) -> None:
    """Version 5: charges can be summed by what they are for, and accounts can be closed."""
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN close_us BIGINT NOT NULL DEFAULT 0")
    if "site" not in {column["name"] for column in inspect(connection).get_columns(t.charges.name)}:
        made_anew(connection, t.charges, ("charges_by_account",), lambda _, row: _summable(row, row.document))


def _summable(row: Row[Any], document: bytes) -> dict[str, Any]:
    """A charge with what it is summed by beside its document."""
    charge = Charge.FromString(document)
    kept = {name: getattr(row, name) for name in ("account", "job", "amount_micros", "create_us")}
    site = charge.usage.rpartition("/")[0].rpartition("/")[0]
    sums = {"site": site, "meter": charge.meter, "waived_micros": charge.waived_micros, "dataset": ""}
    return {**kept, **sums, "document": document}


def _index_jobs(connection: Connection) -> None:
    """Version 6: the charges of a job are found without those of all others; an older step may have made the table."""
    connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS charges_by_job ON charges (account, job, create_us)")


def _budget_months(connection: Connection) -> None:
    """Version 7: accounts have budgets; what was charged in a month before is counted when one is set."""
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN budget_micros BIGINT NOT NULL DEFAULT -1")
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN budget_hard BOOLEAN NOT NULL DEFAULT FALSE")
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN month INTEGER NOT NULL DEFAULT 0")
    connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN month_spent_micros BIGINT NOT NULL DEFAULT 0")


def _belong(connection: Connection) -> None:
    """Version 8: the ledger knows its node by more than the name; an older step may have made the table."""
    if "node_id" in {column["name"] for column in inspect(connection).get_columns(t.identity.name)}:
        return
    for column in ("node_id", "generation"):
        kind = t.identity.c[column].type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE identity ADD COLUMN {column} {kind} NOT NULL DEFAULT ''")
    connection.exec_driver_sql("ALTER TABLE identity ADD COLUMN number BIGINT NOT NULL DEFAULT 0")


def _name_datasets(connection: Connection) -> None:
    """Version 9: charges can be summed by what was moved, from now on; an older step may have made the table."""
    if "dataset" in {column["name"] for column in inspect(connection).get_columns(t.charges.name)}:
        return
    kind = t.charges.c.dataset.type.compile(connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE charges ADD COLUMN dataset {kind} NOT NULL DEFAULT ''")


def _bound_parties(connection: Connection) -> None:
    """Version 10: parties have budgets over all their accounts."""
    t.party_budgets.create(connection, checkfirst=True)


STEPS: tuple[Step, ...] = (
    _as_it_was,
    _count_held,
    _carry_on,
    _batch_usage,
    _sum_charges,
    _index_jobs,
    _budget_months,
    _belong,
    _name_datasets,
    _bound_parties,
)
