"""What the ledger does at every hold and every pass costs the same however old it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from suanmesh_accounting import ledger as sql
from suanmesh_accounting import tables as t
from suanmesh_accounting.domain.ledger import AccountKind, HoldState

STEPS = 10
"""SQLite's own steps between two counts."""


@pytest.mark.parametrize(
    "look_up", [lambda c: sql.held_on(c, "accounts/a"), sql.standing_holds], ids=["held on an account", "standing"]
)
def test_holds_that_were_given_back_cost_nothing(tmp_path: Path, look_up: Callable[[Connection], object]) -> None:
    """After a year of jobs each new one would wait for all that ever ran to be read."""
    engine = sql.open_ledger(f"sqlite:///{tmp_path}/ledger")
    with engine.begin() as c:
        sql.add_account(c, "accounts/a", "parties/a", "CNY", AccountKind.CONSUMER, datetime(2026, 1, 1, tzinfo=UTC))
        c.execute(insert(t.holds), [_hold(number, HoldState.HELD) for number in range(3)])
        young = _work(c, look_up)
        c.execute(insert(t.holds), [_hold(number, HoldState.RELEASED) for number in range(3, 3000)])
        assert _work(c, look_up) <= 2 * young
    engine.dispose()


def _work(c: Connection, look_up: Callable[[Connection], object]) -> int:
    """How many steps SQLite takes."""
    counts: list[int] = []
    sqlite = c.connection.driver_connection
    assert sqlite is not None
    sqlite.set_progress_handler(lambda: counts.append(STEPS), STEPS)
    look_up(c)
    sqlite.set_progress_handler(None, 0)
    return sum(counts)


def _hold(number: int, state: HoldState) -> dict[str, object]:
    return {
        "name": f"holds/{number}-0", "account": "accounts/a", "placement": f"placements/{number}", "position": 0,
        "job": "jobs/j", "site": "sites/a", "amount_micros": 10, "charged_micros": 3, "state": state,
        "committed": state is HoldState.RELEASED, "ask": b"", "price_version": 1, "trace_id": "", "create_us": number,
    }  # fmt: skip
