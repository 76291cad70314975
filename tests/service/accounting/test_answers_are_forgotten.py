"""Answers to requests are kept as long as the node promises, and not for ever."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from suanmesh_accounting.domain.commands import Once, OpenAccount, Request
from suanmesh_accounting.domain.ledger import AccountKind
from suanmesh_accounting.domain.queries import AnswerTo
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.ports import Ledger
from suanmesh_accounting.reconciler import FORGET_MAX, REQUEST_MEMORY_S, HoldReconciler
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_accounting.testing import FakeMesh, FakeTokens
from suanmesh_accounting.wire import microseconds
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import InvalidArgument


async def test_an_answer_is_remembered_for_a_day_and_then_forgotten(books: Any) -> None:
    """A ledger that keeps every answer grows without end; one that forgets too early credits twice."""
    await books.credit("acme", 5, "daily")
    books.clock.advance(REQUEST_MEMORY_S)
    with pytest.raises(InvalidArgument, match="REQUEST_ID_REUSED"):
        await books.credit("acme", 6, "daily")
    books.clock.advance(1)
    async with asyncio.timeout(60):
        while (await _credited(books)) is None:
            pass
    assert (await books.account()).balance_micros == 1011


async def test_a_pass_forgets_no_more_than_it_has_time_for(tmp_path: Path) -> None:
    """After a busy day the holds of the next must not wait for its tidying."""
    clock, ledger = HandClock(), open_ledger(f"sqlite:///{tmp_path}/ledger")
    mesh, settings = FakeMesh(), AccountingSettings()
    metering = Metering(ledger, mesh, clock, settings.room())
    backoff = FailureBackoff("settle hold", clock)
    reconciler = HoldReconciler(ledger, mesh, FakeTokens(), clock, settings, backoff, metering)
    old = clock.now() - timedelta(seconds=REQUEST_MEMORY_S)

    answers = [_answered(number, old - timedelta(seconds=1 + number)) for number in range(FORGET_MAX + 2)]
    await ledger.apply([*answers, _answered(-1, old)])
    await reconciler.forget()
    assert await _numbers(ledger) == {0, 1, -1}
    await reconciler.forget()
    assert await _numbers(ledger) == {-1}
    await ledger.close()


async def _credited(books: Any) -> Any:
    try:
        return await books.credit("acme", 6, "daily")
    except InvalidArgument:
        return None


def _request(number: int) -> Request:
    return Request("spiffe://test/party/operator/user/olga", "CreateAccount", str(number))


def _answered(number: int, moment: datetime) -> Once[Any]:
    """A request that was answered at a moment."""
    opening = OpenAccount(f"accounts/{number}", f"parties/{number}", "CNY", AccountKind.CONSUMER, 0)
    return Once(_request(number), opening, lambda _: b"answer", microseconds(moment))


async def _numbers(ledger: Ledger) -> set[int]:
    asked = (-1, *range(FORGET_MAX + 2))
    return {number for number in asked if await ledger.page(AnswerTo(_request(number))) is not None}
