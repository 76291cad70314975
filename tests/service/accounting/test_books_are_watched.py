"""Money that appears or is gone is shown at once, whoever wrote it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from suanmesh_accounting.books import Books
from suanmesh_accounting.domain.commands import CreditAccount, OpenAccount
from suanmesh_accounting.domain.ledger import AccountKind
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.ledger.sql import SqlLedger
from suanmesh_kernel.clock import HandClock
from suanmesh_telemetry import names


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    """With one account of a hundred."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    name = "accounts/acme"
    await opened.apply([OpenAccount(name, "parties/acme", "CNY", AccountKind.CONSUMER, 1)])
    await opened.apply([CreditAccount(name, 100_000_000, entry="entry-1", operator="parties/operator", post_us=2)])
    yield opened
    await opened.close()


def shown(books: Books) -> dict[tuple[str, ...], float]:
    return {(each.metric, *each.labels): each.value for each in books.readings()}


async def test_what_does_not_balance_is_shown_to_the_last_micro(ledger: SqlLedger, tmp_path: Path) -> None:
    """An operator who learns of it at the end of the month has paid it out by then."""
    books = Books(ledger, HandClock())
    assert shown(books) == {}
    await books.look()
    sound = shown(books)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute("UPDATE postings SET amount_micros = amount_micros + 1 WHERE amount_micros > 0")
    other.close()
    await books.look()
    wrong = shown(books)

    assert sound[names.IMBALANCE, "CNY", "postings"] == sound[names.IMBALANCE, "CNY", "balances"] == 0
    assert (sound[names.BALANCE, "CNY", "CONSUMER"], sound[names.BALANCE, "CNY", "FUNDING"]) == (100.0, -100.0)
    assert wrong[names.IMBALANCE, "CNY", "postings"] == pytest.approx(1e-6)
    assert wrong[names.IMBALANCE, "CNY", "balances"] == 0
