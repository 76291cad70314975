"""Budgets of a party over all its accounts: exact, and never gone beyond by two of them; on either database."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest
from ledger_commands import ACME, ALL, OpenLedger, applied, assert_sound, found, hold_of, one, refused, usage_of

from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import NO_BUDGET, AccountKind, HoldState, PartyBudget
from suanmesh_accounting.ports import Ledger
from suanmesh_accounting.wire import month_at
from suanmesh_kernel.refusals import Refusal


def us(month: int, day: int = 1) -> int:
    return int(datetime(2026, month, day, tzinfo=UTC).timestamp()) * 1_000_000


NOVEMBER, LATE, DECEMBER = us(11, 3), us(11, 30), us(12)
PARTY, SECOND = "parties/acme", "accounts/second"


def bounded(amount: int, *, hard: bool = True, party: str = PARTY, now_us: int = NOVEMBER) -> c.SetPartyBudget:
    return c.SetPartyBudget(party, "CNY", amount, hard, now_us)


def held(placement: str, amount: int, account: str = ACME, at_us: int = NOVEMBER) -> c.PlaceHold:
    return hold_of(placement, amount, account=account, create_us=at_us)


def charged(number: int, placement: str, quantity: int, at_us: int) -> c.RecordUsage:
    record = usage_of(number, placement, quantity)
    return c.RecordUsage(record.site, record.measured, record.batch, {}, record.committed, record.room, at_us)


async def budget_of(ledger: Ledger) -> PartyBudget:
    [budget] = (await ledger.page(q.PartyBudgets(ALL, PARTY))).items
    return budget


@pytest.fixture
async def ledger(opening: OpenLedger) -> Ledger:
    ledger = opening()
    await found(ledger, ACME, SECOND)
    return ledger


async def test_accounts_together_stay_within_it(ledger: Ledger) -> None:
    """A party with ten accounts would spend its budget ten times."""
    await one(ledger, bounded(100))
    await one(ledger, held("a", 60))
    [no] = await ledger.apply([held("b", 41, SECOND)])
    assert isinstance(no, Refusal)
    assert (no.code, no.reason) == ("RESOURCE_EXHAUSTED", "PARTY_BUDGET_EXHAUSTED")
    told = ("name", "currency", "missing_micros", "available_micros", "needed_micros", "renew_time")
    assert [no.facts[each] for each in told] == [PARTY, "CNY", "1", "40", "41", "2026-12-01T00:00:00Z"]
    await one(ledger, held("c", 40, SECOND))
    assert await refused(ledger, held("d", 1)) == "PARTY_BUDGET_EXHAUSTED"
    assert (await budget_of(ledger)).held_micros == 100
    await assert_sound(ledger)


async def test_holds_of_one_transaction_count_against_each_other(ledger: Ledger) -> None:
    """What comes together is decided from what was read before all of it."""
    await one(ledger, bounded(100))
    asks = [held(f"p{n}", 30, (ACME, SECOND)[n % 2]) for n in range(5)]
    results = await ledger.apply(asks)
    assert [each.reason if isinstance(each, Refusal) else "" for each in results] == [
        "", "", "", "PARTY_BUDGET_EXHAUSTED", "PARTY_BUDGET_EXHAUSTED",
    ]  # fmt: skip
    new = c.OpenAccount("accounts/third", PARTY, "CNY", AccountKind.CONSUMER, NOVEMBER)
    credit = c.CreditAccount("accounts/third", 500, "credits/third", "parties/operator", NOVEMBER)
    *_, beyond, within = await ledger.apply(
        [new, credit, held("q", 11, "accounts/third"), held("r", 10, "accounts/third")]
    )
    assert isinstance(beyond, Refusal)
    assert not isinstance(within, Refusal)
    both = await ledger.apply([bounded(120), held("s", 21), held("t", 20, SECOND)])
    assert [isinstance(each, Refusal) for each in both] == [False, True, False]
    await assert_sound(ledger)


async def test_what_was_not_used_is_there_again_and_what_was_charged_is_not(ledger: Ledger) -> None:
    """A hold is the most that a job may cost: a month of careful bounds would end on its third day."""
    await one(ledger, bounded(100))
    await one(ledger, held("a", 100))
    await ledger.apply([charged(1, "a", 30, NOVEMBER), c.MoveHold("holds/a-0", HoldState.COMMITTED)])
    assert await refused(ledger, held("b", 1, SECOND)) == "PARTY_BUDGET_EXHAUSTED"
    await one(ledger, c.MoveHold("holds/a-0", HoldState.RELEASED))
    assert await refused(ledger, held("b", 71, SECOND, LATE)) == "PARTY_BUDGET_EXHAUSTED"
    await one(ledger, held("b", 70, SECOND, LATE))
    budget = await budget_of(ledger)
    assert (budget.month, budget.spent_micros, budget.held_micros) == (202611, 30, 70)


async def test_a_new_month_begins_with_what_is_still_held(ledger: Ledger) -> None:
    """Charges of the last day would count twice, or a job over the turn of the month in neither."""
    await one(ledger, bounded(100))
    await ledger.apply([held("a", 50, at_us=LATE), charged(1, "a", 20, LATE)])
    assert await refused(ledger, held("b", 60, SECOND, LATE)) == "PARTY_BUDGET_EXHAUSTED"
    await one(ledger, held("b", 60, SECOND, DECEMBER))
    await ledger.apply([charged(2, "a", 30, DECEMBER)])
    budget = await budget_of(ledger)
    assert (budget.month, budget.spent_micros, budget.held_micros) == (202612, 30, 60)
    assert await refused(ledger, held("c", 11, at_us=DECEMBER)) == "PARTY_BUDGET_EXHAUSTED"
    await one(ledger, held("c", 10, at_us=DECEMBER))


async def test_what_was_charged_before_it_was_set_counts_also_to_closed_accounts(ledger: Ledger) -> None:
    """It would be a budget of the rest of the month, and whoever closes an account would begin anew."""
    release = c.MoveHold("holds/a-0", HoldState.RELEASED)
    await ledger.apply([held("a", 50, SECOND), charged(1, "a", 30, NOVEMBER), release])
    await one(ledger, c.CloseAccount(SECOND, "closures/1", "parties/operator", NOVEMBER))
    budget = await one(ledger, bounded(60))
    assert (budget.amount_micros, budget.spent_micros, budget.held_micros) == (60, 30, 0)
    assert await refused(ledger, held("b", 31)) == "PARTY_BUDGET_EXHAUSTED"
    await one(ledger, held("b", 30))
    both = await ledger.apply([charged(2, "b", 5, NOVEMBER), bounded(70)])
    assert both[1] == await budget_of(ledger) == PartyBudget(PARTY, "CNY", 70, True, 202611, 35, 25)


async def test_a_soft_one_and_none_refuse_nothing(ledger: Ledger) -> None:
    """Who only wants to be told would have a queue that stands still."""
    await one(ledger, bounded(10, hard=False))
    await one(ledger, held("a", 60))
    await one(ledger, bounded(0))
    assert await refused(ledger, held("b", 1, SECOND)) == "PARTY_BUDGET_EXHAUSTED"
    await one(ledger, bounded(NO_BUDGET, hard=False))
    assert (await ledger.page(q.PartyBudgets(ALL, ""))).items == ()
    account, none = await ledger.page(q.BoundedAccount(ACME))
    assert (account.name, none) == (ACME, None)
    await one(ledger, held("b", 1, SECOND))


async def test_it_bounds_one_party_in_one_currency(ledger: Ledger) -> None:
    """A sum over currencies is a sum of nothing, and a stranger's work would stop for another's budget."""
    other, dollars = "accounts/other", "accounts/dollars"
    await one(ledger, c.OpenAccount(other, "parties/other", "CNY", AccountKind.CONSUMER, 1))
    await one(ledger, c.OpenAccount(dollars, PARTY, "USD", AccountKind.CONSUMER, 1))
    await one(ledger, c.CreditAccount(other, 100, "credits/o", "parties/operator", 1))
    await one(ledger, bounded(0))
    await one(ledger, held("a", 100, other))
    assert await refused(ledger, held("b", 1)) == "PARTY_BUDGET_EXHAUSTED"
    assert await refused(ledger, bounded(1, party="parties/nobody")) == "ACCOUNT_UNKNOWN"
    await one(ledger, c.SetPartyBudget(PARTY, "USD", 7, False, NOVEMBER))
    await one(ledger, bounded(9, party="parties/other"))
    first = await ledger.page(q.PartyBudgets(q.Cut(2, "", ""), ""))
    assert [(each.party, each.currency) for each in first.items] == [(PARTY, "CNY"), (PARTY, "USD")]
    rest = await ledger.page(q.PartyBudgets(q.Cut(2, f"{PARTY} USD", ""), ""))
    assert [(each.party, each.held_micros) for each in rest.items] == [("parties/other", 100)]
    told = (await ledger.page(q.BoundedAccounts(ALL, PARTY))).items
    assert [(account.name, budget and budget.amount_micros) for account, budget in told] == [
        (ACME, 0), (dollars, 7), (SECOND, 0),
    ]  # fmt: skip


async def test_several_writers_never_go_beyond_it_together(opening: OpenLedger) -> None:
    """Two leaders in a failover, each of which sees another account of the party, spend it twice."""
    ledgers, names = [opening(), opening()], [f"accounts/a{n}" for n in range(4)]
    await found(ledgers[0], *names, credit=10_000)
    await one(ledgers[0], bounded(700))
    dice = random.Random(3)
    asks = [held(f"p{n}", dice.randint(1, 40), names[n % 4]) for n in range(160)]

    async def place(ledger: Ledger, mine: list[c.PlaceHold]) -> int:
        granted = 0
        for number, ask in enumerate(mine):
            [placed] = await applied(ledger, [ask])
            if not isinstance(placed, Refusal):
                granted += 1
                used = dice.randint(0, ask.amount_micros)
                await applied(
                    ledger, [charged(asks.index(ask) + 1, ask.placement.removeprefix("placements/"), used, LATE)]
                )
                if number % 2:
                    await applied(ledger, [c.MoveHold(ask.name, HoldState.RELEASED)])
        return granted

    granted = await asyncio.gather(*(place(ledgers[n % 2], asks[n::4]) for n in range(4)))
    budget = await budget_of(ledgers[0])
    assert sum(granted) > 20
    assert 600 < budget.spent_micros + budget.held_micros <= 700
    accounts = (await ledgers[0].page(q.Accounts(ALL, PARTY))).items
    assert budget.spent_micros == sum(10_000 - each.balance_micros for each in accounts)
    await assert_sound(ledgers[0])


async def test_several_writers_set_and_spend_it(opening: OpenLedger) -> None:
    """The first one to be set, and one that is lowered while holds come, must not be passed by who did not see it."""
    ledgers = [opening(), opening()]
    await found(ledgers[0], ACME, SECOND, credit=100_000)

    async def spend(ledger: Ledger, account: str) -> None:
        for number in range(30):
            await applied(ledger, [held(f"{account[9:]}-{number}", 7, account)])

    async def bound(ledger: Ledger) -> None:
        for amount in (300, 200, 120):
            await one(ledger, bounded(amount))

    await asyncio.gather(spend(ledgers[0], ACME), spend(ledgers[1], SECOND), bound(ledgers[0]), bound(ledgers[1]))
    held_before = (await budget_of(ledgers[0])).held_micros
    await applied(ledgers[0], [held("last", 7)])
    after = await budget_of(ledgers[1])
    assert after.amount_micros == 120
    assert after.held_micros == held_before
    await assert_sound(ledgers[0])


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_spent_in_a_month_is_the_sum_of_the_charges(ledger: Ledger, seed: int) -> None:
    """A figure of its own beside the charges is believed until somebody adds them up."""
    dice, now, by_month = random.Random(seed), NOVEMBER, dict[int, int]()
    await one(ledger, bounded(400))
    for number in range(120):
        now += dice.choice([0, 0, 1, 9]) * 86_400_000_000
        month, amount, account = month_at(now), dice.randint(0, 60), dice.choice([ACME, SECOND])
        before = sum(each.balance_micros for each in (await ledger.page(q.Accounts(ALL, PARTY))).items)
        match dice.choice(["hold", "hold", "charge", "charge", "release", "budget"]):
            case "budget":
                await ledger.apply([bounded(amount * 20, now_us=now, hard=number % 4 > 0)])
            case "hold":
                [placed] = await ledger.apply([held(f"p-{number}", amount, account, now)])
                budget = await budget_of(ledger)
                if not isinstance(placed, Refusal) and budget.bounded:
                    assert budget.left_in(month) >= 0
            case "charge":
                if standing := (await ledger.page(q.Holds(ALL, "", ""))).items:
                    paying = dice.choice(standing).placement.removeprefix("placements/")
                    await ledger.apply([charged(number + 1, paying, amount, now)])
            case _:
                for hold in (await ledger.page(q.StandingHolds()))[:3]:
                    await ledger.apply([c.MoveHold(hold.name, HoldState.RELEASED)])
        after = sum(each.balance_micros for each in (await ledger.page(q.Accounts(ALL, PARTY))).items)
        by_month[month] = by_month.get(month, 0) + before - after
        budget = await budget_of(ledger)
        assert (budget.spent_micros if month <= budget.month else 0) == by_month[month]
    assert len([spent for spent in by_month.values() if spent]) > 1
    await assert_sound(ledger)
