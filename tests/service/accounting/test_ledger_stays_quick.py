"""What the ledger does at every hold and every pass costs the same however old it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, insert

from suanmesh_accounting.domain.commands import Measured, MoveHold, RecordUsage, SignedBatch
from suanmesh_accounting.domain.ledger import NO_BUDGET, HoldState
from suanmesh_accounting.domain.quarantine import Room
from suanmesh_accounting.domain.queries import Bill, ChargeGroup, Cut, Holds, HoldStates, StandingHolds, SummedCharges
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.carrying import carry_out
from suanmesh_accounting.ledger.reading import answered
from suanmesh_accounting.settings import AccountingSettings

STEPS = 10
"""SQLite's own steps between two counts."""
ROOM: Room = AccountingSettings().room()

UNBOUNDED = {"budget_micros": NO_BUDGET, "budget_hard": False, "month": 0, "month_spent_micros": 0}


def standing(c: Connection) -> object:
    return answered(c, StandingHolds())


def states(c: Connection) -> object:
    return answered(c, HoldStates(frozenset({"placements/1"})))


def bill(c: Connection) -> object:
    return answered(c, Bill(Cut(100, "", ""), "accounts/a", "", "jobs/mine", 0, 2**62))


def holds(c: Connection) -> object:
    return answered(c, Holds(Cut(3, "", ""), "", ""))


def move(c: Connection) -> object:
    return carry_out(c, [MoveHold("holds/1-0", HoldState.COMMITTED)], {})


def record(c: Connection) -> object:
    measured = Measured("sites/a", "e", 10_000, "placements/none", "", 0, False, (), b"", 0)
    return carry_out(c, [RecordUsage("sites/a", (measured,), SignedBatch(b"", b""), {}, frozenset(), ROOM, 1)], {})


@pytest.mark.parametrize("look_up", [standing, states, bill, holds, move, record])
async def test_what_is_over_costs_nothing(tmp_path: Path, look_up: Callable[[Connection], object]) -> None:
    """After a year of jobs each new one would wait for all that ever ran to be read."""
    url = f"sqlite:///{tmp_path}/ledger"
    await open_ledger(url).close()
    engine = create_engine(url)
    with engine.begin() as c:
        account = {"name": "accounts/a", "party": "parties/a", "currency": "CNY", "kind": "CONSUMER"}
        c.execute(
            insert(t.accounts),
            account | UNBOUNDED | {"balance_micros": 100, "held_micros": 21, "create_us": 1, "close_us": 0},
        )
        c.execute(insert(t.holds), [_hold(number, HoldState.HELD) for number in range(3)])
        c.execute(insert(t.usage), [_usage(number) for number in range(3)])
        c.execute(insert(t.charges), [_charge("jobs/mine")] * 3)
        young = _work(c, look_up)
        c.execute(insert(t.holds), [_hold(number, HoldState.RELEASED) for number in range(3, 3000)])
        c.execute(insert(t.usage), [_usage(number) for number in range(3, 3000)])
        c.execute(insert(t.charges), [_charge("jobs/j")] * 3000)
        assert _work(c, look_up) <= 2 * young
    engine.dispose()


async def test_a_page_of_holds_costs_a_page(tmp_path: Path) -> None:
    """Each page of an old list would sort all of it anew."""
    url = f"sqlite:///{tmp_path}/ledger"
    await open_ledger(url).close()
    engine = create_engine(url)
    with engine.begin() as c:

        def page(c: Connection) -> object:
            return answered(c, Holds(Cut(10, "1holds/5", ""), "", ""))

        c.execute(insert(t.holds), [_hold(number, HoldState.RELEASED) for number in range(1000)])
        young = _work(c, page)
        c.execute(insert(t.holds), [_hold(number, HoldState.RELEASED) for number in range(1000, 9000)])
        assert _work(c, page) <= 2 * young
    engine.dispose()


@pytest.mark.parametrize("group", ChargeGroup)
async def test_a_months_sums_cost_a_month(tmp_path: Path, group: ChargeGroup) -> None:
    """After ten years the report of a day would read ten years of charges, of all accounts."""
    url = f"sqlite:///{tmp_path}/ledger"
    await open_ledger(url).close()
    engine = create_engine(url)
    with engine.begin() as c:
        account = {"party": "parties/a", "currency": "CNY", "kind": "CONSUMER", "close_us": 0, "create_us": 1}
        for name in ("accounts/a", "accounts/b"):
            c.execute(insert(t.accounts), account | UNBOUNDED | {"name": name, "balance_micros": 0, "held_micros": 0})
        c.execute(insert(t.charges), [_charged("accounts/a", 10_000 + number) for number in range(10)])

        def look_up(c: Connection) -> object:
            cut = Cut(100, "", "")
            return answered(c, SummedCharges(cut, "accounts/a", "", group, 10_000, 20_000, 0))

        young = _work(c, look_up)
        c.execute(insert(t.charges), [_charged("accounts/a", number) for number in range(3000)])
        c.execute(insert(t.charges), [_charged("accounts/b", 10_000 + number) for number in range(3000)])
        assert _work(c, look_up) <= 2 * young
    engine.dispose()


def _work(c: Connection, look_up: Callable[[Connection], object]) -> int:
    """How many steps SQLite takes, without leaving a trace."""
    counts: list[int] = []
    sqlite = c.connection.driver_connection
    assert sqlite is not None
    sqlite.set_progress_handler(lambda: counts.append(STEPS), STEPS)
    with c.begin_nested() as savepoint:
        look_up(c)
        savepoint.rollback()
    sqlite.set_progress_handler(None, 0)
    return sum(counts)


def _hold(number: int, state: HoldState) -> dict[str, object]:
    return {
        "name": f"holds/{number}-0", "account": "accounts/a", "placement": f"placements/{number}", "position": 0,
        "job": "jobs/j", "site": "sites/a", "amount_micros": 10, "charged_micros": 3, "state": state,
        "committed": state is HoldState.RELEASED, "ask": b"", "price_version": 1, "trace_id": "", "create_us": number,
    }  # fmt: skip


def _charge(job: str) -> dict[str, object]:
    return {
        "account": "accounts/a", "job": job, "site": "sites/a", "meter": 1, "amount_micros": 1, "waived_micros": 0,
        "create_us": 1, "dataset": "", "document": b"",
    }  # fmt: skip


def _usage(number: int) -> dict[str, object]:
    return {
        "site": "sites/a", "epoch": "e", "sequence": number, "placement": f"placements/{number}", "task": 0,
        "transfer": "", "final": False, "ratable": True, "lines": 1, "record": b"", "batch": 1, "leaf_index": 0,
        "record_us": 1,
    }  # fmt: skip


def _charged(account: str, create_us: int) -> dict[str, object]:
    return {
        "account": account, "job": f"jobs/{create_us}", "site": "sites/a", "meter": 1, "amount_micros": 1,
        "waived_micros": 0, "create_us": create_us, "dataset": "", "document": b"",
    }  # fmt: skip
