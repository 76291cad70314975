"""Budgets of calendar months: exact, and never gone beyond, whoever writes at the same time; on either database."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest
from ledger_commands import (
    ACME,
    ALL,
    OpenLedger,
    account_named,
    applied,
    assert_sound,
    found,
    hold_of,
    one,
    refused,
    usage_of,
)

from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import NO_BUDGET, Account, HoldState
from suanmesh_accounting.ports import Ledger
from suanmesh_accounting.wire import month_at
from suanmesh_kernel.refusals import Refusal


def us(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000


NOVEMBER, LATE, DECEMBER = us(2026, 11, 3), us(2026, 11, 30), us(2026, 12, 1)


def bounded(amount: int, *, hard: bool = True, party: str = "parties/acme", now_us: int = NOVEMBER) -> c.SetBudget:
    return c.SetBudget(ACME, party, amount, hard, now_us)


def charged(number: int, placement: str, quantity: int, at_us: int) -> c.RecordUsage:
    record = usage_of(number, placement, quantity)
    return c.RecordUsage(record.site, record.measured, record.batch, {}, record.committed, record.room, at_us)


@pytest.fixture
async def ledger(opening: OpenLedger) -> Ledger:
    ledger = opening()
    await found(ledger)
    return ledger


async def test_a_hard_budget_refuses_the_hold_that_goes_beyond_it(ledger: Ledger) -> None:
    """A month's money is spent in a night by a sweep that somebody mistyped."""
    await one(ledger, bounded(100))
    await one(ledger, hold_of("a", 60, create_us=NOVEMBER))
    [no] = await ledger.apply([hold_of("b", 41, create_us=NOVEMBER)])
    assert isinstance(no, Refusal)
    assert (no.code, no.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED")
    told = ("missing_micros", "available_micros", "needed_micros", "renew_time")
    assert [no.facts[name] for name in told] == ["1", "40", "41", "2026-12-01T00:00:00Z"]
    await one(ledger, hold_of("c", 40, create_us=NOVEMBER))
    assert await refused(ledger, hold_of("d", 1, create_us=NOVEMBER)) == "BUDGET_EXHAUSTED"
    await assert_sound(ledger)


async def test_what_was_not_used_is_there_again_and_what_was_charged_is_not(ledger: Ledger) -> None:
    """A hold is the most that a job may cost: a month of careful bounds would end on its third day."""
    await one(ledger, bounded(100))
    await one(ledger, hold_of("a", 100, create_us=NOVEMBER))
    await ledger.apply([charged(1, "a", 30, NOVEMBER), c.MoveHold("holds/a-0", HoldState.COMMITTED)])
    assert await refused(ledger, hold_of("b", 1, create_us=NOVEMBER)) == "BUDGET_EXHAUSTED"
    await one(ledger, c.MoveHold("holds/a-0", HoldState.RELEASED))
    assert await refused(ledger, hold_of("b", 71, create_us=LATE)) == "BUDGET_EXHAUSTED"
    await one(ledger, hold_of("b", 70, create_us=LATE))
    account = await account_named(ledger)
    assert (account.month, account.month_spent_micros, account.balance_micros) == (202611, 30, 970)


async def test_a_new_month_begins_with_what_is_still_held(ledger: Ledger) -> None:
    """Charges of the last day would count twice, or a job over the turn of the month in neither."""
    await one(ledger, bounded(100))
    await ledger.apply([hold_of("a", 50, create_us=LATE), charged(1, "a", 20, LATE)])
    assert await refused(ledger, hold_of("b", 60, create_us=LATE)) == "BUDGET_EXHAUSTED"
    await one(ledger, hold_of("b", 60, create_us=DECEMBER))
    await ledger.apply([charged(2, "a", 30, DECEMBER)])
    account = await account_named(ledger)
    assert (account.month, account.month_spent_micros, account.held_micros) == (202612, 30, 60)
    assert await refused(ledger, hold_of("c", 11, create_us=DECEMBER)) == "BUDGET_EXHAUSTED"
    await one(ledger, hold_of("c", 10, create_us=DECEMBER))


async def test_what_was_charged_before_a_budget_was_set_counts(ledger: Ledger) -> None:
    """It would be a budget of the rest of the month, and every change of it a new one."""
    await ledger.apply([hold_of("a", 50, create_us=NOVEMBER), charged(1, "a", 30, NOVEMBER)])
    account = await one(ledger, bounded(60))
    assert (account.budget_micros, account.month_spent_micros, account.held_micros) == (60, 30, 20)
    assert await refused(ledger, hold_of("b", 11, create_us=NOVEMBER)) == "BUDGET_EXHAUSTED"
    both = await ledger.apply([charged(2, "a", 5, NOVEMBER), bounded(70)])
    assert isinstance(both[1], Account)
    assert (both[1].month_spent_micros, (await account_named(ledger)).month_spent_micros) == (35, 35)


async def test_a_soft_budget_and_none_refuse_nothing(ledger: Ledger) -> None:
    """Who only wants to be told would have a queue that stands still."""
    await one(ledger, bounded(10, hard=False))
    await one(ledger, hold_of("a", 60, create_us=NOVEMBER))
    await one(ledger, bounded(0))
    assert await refused(ledger, hold_of("b", 1, create_us=NOVEMBER)) == "BUDGET_EXHAUSTED"
    assert (await one(ledger, bounded(NO_BUDGET, hard=False))).budget_micros == NO_BUDGET
    await one(ledger, hold_of("b", 1, create_us=NOVEMBER))


async def test_nobody_else_sets_it_and_what_pays_for_no_job_has_none(ledger: Ledger) -> None:
    """A stranger would stop the work of another party with one call."""
    assert await refused(ledger, bounded(1, party="parties/other")) == "ACCOUNT_UNKNOWN"
    assert (await one(ledger, bounded(1, party=""))).budget_micros == 1
    funding = c.SetBudget("accounts/operator-funding-cny", "", 1, True, NOVEMBER)
    assert await refused(ledger, funding) == "FIELD_INVALID"
    await one(ledger, c.CloseAccount(ACME, "closures/1", "parties/operator", NOVEMBER))
    assert await refused(ledger, bounded(1)) == "ACCOUNT_CLOSED"


async def test_several_writers_never_go_beyond_it_together(opening: OpenLedger) -> None:
    """Two leaders in a failover, each of which sees half of it left, spend it twice."""
    ledgers = [opening(), opening()]
    await found(ledgers[0], credit=10_000)
    await one(ledgers[0], bounded(700))
    dice = random.Random(3)
    asks = [hold_of(f"p{n}", dice.randint(1, 40), create_us=NOVEMBER) for n in range(200)]

    async def place(ledger: Ledger, mine: list[c.PlaceHold]) -> int:
        granted = 0
        for number, ask in enumerate(mine):
            [placed] = await applied(ledger, [ask])
            if not isinstance(placed, Refusal):
                granted += 1
                used = dice.randint(0, ask.amount_micros)
                usage = charged(asks.index(ask) + 1, ask.placement.removeprefix("placements/"), used, LATE)
                await applied(ledger, [usage])
                if number % 2:
                    await applied(ledger, [c.MoveHold(ask.name, HoldState.RELEASED)])
        return granted

    granted = await asyncio.gather(*(place(ledgers[n % 2], asks[n::4]) for n in range(4)))
    account = await account_named(ledgers[0])
    assert sum(granted) > 20
    assert 600 < account.month_spent_micros + account.held_micros <= 700
    assert account.month_spent_micros == 10_000 - account.balance_micros
    await assert_sound(ledgers[0])


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_spent_in_a_month_is_the_sum_of_its_charges(ledger: Ledger, seed: int) -> None:
    """A figure of its own beside the charges is believed until somebody adds them up."""
    dice, now, by_month = random.Random(seed), NOVEMBER, dict[int, int]()
    for number in range(120):
        now += dice.choice([0, 0, 1, 9]) * 86_400_000_000
        month, amount, which = month_at(now), dice.randint(0, 60), dice.randint(0, 5)
        before = (await account_named(ledger)).balance_micros
        match dice.choice(["hold", "hold", "charge", "charge", "release", "budget"]):
            case "budget":
                await ledger.apply([bounded(amount * 20, now_us=now, hard=number % 4 > 0)])
            case "hold":
                [placed] = await ledger.apply([hold_of(f"p{which}-{number}", amount, create_us=now)])
                account = await account_named(ledger)
                if not isinstance(placed, Refusal) and account.bounded:
                    assert account.spent_in(month) + account.held_micros <= account.budget_micros
            case "charge":
                held = (await ledger.page(q.Holds(ALL, "", ""))).items
                if held:
                    paying = dice.choice(held).placement.removeprefix("placements/")
                    await ledger.apply([charged(number + 1, paying, amount, now)])
            case _:
                for hold in (await ledger.page(q.StandingHolds()))[: which + 1]:
                    await ledger.apply([c.MoveHold(hold.name, HoldState.RELEASED)])
        account = await account_named(ledger)
        by_month[month] = by_month.get(month, 0) + before - account.balance_micros
        assert account.spent_in(month) == by_month[month]
    assert len([spent for spent in by_month.values() if spent]) > 1
    await assert_sound(ledger)
