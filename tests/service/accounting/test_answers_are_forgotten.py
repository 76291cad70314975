"""Answers to requests are kept as long as the node promises, and not for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from suanmesh.type.v1.document_pb2 import RequestRecord
from suanmesh_accounting import ledger as sql
from suanmesh_accounting import tables as t
from suanmesh_accounting.ledger import Ledger, open_ledger
from suanmesh_accounting.reconciler import FORGET_MAX, REQUEST_MEMORY_S, HoldReconciler
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_accounting.testing import PaperMesh, PaperTokens
from suanmesh_chassis import Guard
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_store import MemoKey


async def test_an_answer_is_remembered_for_a_day_and_then_forgotten(books: Any) -> None:
    """A ledger that keeps every answer grows without end; one that forgets too early credits twice."""
    await books.credit("acme", 5, "daily")
    books.clock.advance(REQUEST_MEMORY_S)
    with pytest.raises(InvalidArgument, match="REQUEST_ID_REUSED"):
        await books.credit("acme", 6, "daily")
    books.clock.advance(1)
    async with asyncio.timeout(10):
        while (await _credited(books)) is None:
            pass
    assert (await books.account()).balance_micros == 1011


async def test_a_pass_forgets_no_more_than_it_has_time_for(tmp_path: Path) -> None:
    """After a busy day the holds of the next must not wait for its tidying."""
    clock, ledger = HandClock(), Ledger(open_ledger(f"sqlite:///{tmp_path}/ledger"))
    reconciler = HoldReconciler(
        ledger, PaperMesh(), PaperTokens(), clock, AccountingSettings(), Guard("settle hold", clock)
    )
    old = clock.now() - timedelta(seconds=REQUEST_MEMORY_S)

    def remember(c: Connection) -> None:
        for number in range(FORGET_MAX + 2):
            sql.remember(c, _key(number), RequestRecord(), old - timedelta(seconds=1 + number))
        sql.remember(c, _key(-1), RequestRecord(), old)

    await ledger.run(remember)
    await reconciler.forget()
    assert await ledger.run(_numbers) == {0, 1, -1}
    await reconciler.forget()
    assert await ledger.run(_numbers) == {-1}
    assert await ledger.recall(_key(-1)) is not None
    await ledger.close()


async def _credited(books: Any) -> Any:
    try:
        return await books.credit("acme", 6, "daily")
    except InvalidArgument:
        return None


def _key(number: int) -> MemoKey:
    return MemoKey("spiffe://test/party/operator/user/olga", str(number), "CreditAccount")


def _numbers(c: Connection) -> set[int]:
    return {int(found) for found in c.execute(select(t.requests.c.request_id)).scalars()}
