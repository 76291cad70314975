"""A ledger of an older version opens as one of this version, with everything that was in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

from suanmesh_accounting.domain.queries import AccountNamed, StandingHolds
from suanmesh_accounting.ledger import open_ledger
from suanmesh_store.soundness import StoreCorrupt

FIRST = (Path(__file__).parent / "ledger_of_version_1.sql").read_text()
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


async def test_an_old_ledger_becomes_like_a_new_one(tmp_path: Path) -> None:
    """A table or index that only new ledgers have is missed at night, by one customer."""
    with edited(tmp_path / "old") as connection:
        connection.executescript(FIRST)
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
