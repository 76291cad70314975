"""What every ledger says of an account as a whole: what it was charged for, and that it is closed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

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

from suanmesh.accounting.v1.accounting_service_pb2 import HoldAsk
from suanmesh.accounting.v1.usage_pb2 import Charge
from suanmesh.type.v1.money_pb2 import METER_TRANSFER_BYTES, Price
from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import AccountKind, Hold, HoldState, Move
from suanmesh_accounting.domain.prices import Reading
from suanmesh_accounting.ports import Ledger
from suanmesh_kernel.refusals import InvalidArgument, NotFound

HOUR_US = 3_600_000_000
DAYS = 20_000
"""Since 1970, on which the charges begin."""
FUNDING = "accounts/operator-funding-cny"


@pytest.fixture
async def ledger(opening: OpenLedger) -> Ledger:
    """With one account of 1000, and a book by which a microsecond of a core costs a micro."""
    ledger = opening()
    await found(ledger)
    return ledger


@pytest.fixture
async def charged(ledger: Ledger) -> Ledger:
    """With charges of two sites for three jobs over three days, a charge every seven hours."""
    for number, job in enumerate(("a", "b", "c")):
        ask = replace(hold_of(f"p{number}", 60), job=f"jobs/{job}", site=f"sites/{'ab'[number % 2]}")
        await one(ledger, ask)
    for number in range(12):
        placement, site = f"p{number % 3}", f"sites/{'ab'[number % 3 % 2]}"
        used = usage_of(number + 1, placement, 10 + number, site=site)
        await one(ledger, replace(used, record_us=DAYS * q.DAY_US + number * 7 * HOUR_US))
    await one(ledger, hold_with_a_link("p3", 60))
    for number, version in enumerate(("in@1", "out@1", "in@2")):
        await one(ledger, moved(20 + number, "p3", 10 + number, version, DAYS * q.DAY_US + number * 7 * HOUR_US))
    return ledger


def hold_with_a_link(placement: str, amount: int) -> c.PlaceHold:
    """One of which a link has a share of a micro for each byte."""
    hold = hold_of(placement, amount)
    ask = HoldAsk.FromString(hold.ask)
    price = Price(meter=METER_TRANSFER_BYTES, amount_micros=1, per_quantity=1)
    ask.link_prices.add(link="links/l", party="parties/l", price=price, source="sites/s", target="sites/a")
    return replace(hold, ask=ask.SerializeToString())


def moved(sequence: int, placement: str, size: int, version: str, at_us: int) -> c.RecordUsage:
    """What a site reports of a transfer to it."""
    transfer = f"transfers/t{sequence}"
    used = usage_of(sequence, placement, size, transfer=transfer, final=True)
    measured = used.measured[0]._replace(readings=(Reading(METER_TRANSFER_BYTES, size),))
    move = Move("sites/s", "sites/a", f"placements/{placement}", f"datasets/{version}")
    return replace(used, measured=(measured,), moves={transfer: move}, record_us=at_us)


def summed(group: q.ChargeGroup, **more: Any) -> q.SummedCharges:
    asked = {"cut": ALL, "account": ACME, "party": "", "start_us": 0, "end_us": 2**62, "offset_us": 0}
    return q.SummedCharges(**(asked | {"group": group} | more))


async def lines(ledger: Ledger, start_us: int = 0, end_us: int = 2**62) -> list[Charge]:
    bill = await ledger.page(q.Bill(ALL, ACME, "", "", start_us, end_us))
    return [Charge.FromString(document) for document in bill.charges.items]


KEYS: dict[q.ChargeGroup, Callable[[Charge], object]] = {
    q.ChargeGroup.JOB: lambda charge: charge.job,
    q.ChargeGroup.SITE: lambda charge: charge.usage.removesuffix(f"/e/{charge.usage.rpartition('/')[2]}"),
    q.ChargeGroup.METER: lambda charge: charge.meter,
    q.ChargeGroup.DATASET: lambda charge: (
        charge.dataset.partition("@")[0] or (q.NOT_RECORDED if charge.meter == METER_TRANSFER_BYTES else q.NO_DATASET)
    ),
    q.ChargeGroup.DAY: lambda charge: charge.create_time.seconds // 86_400,
}


@pytest.mark.parametrize("group", q.ChargeGroup)
@pytest.mark.parametrize("period", [(0, 2**62), (DAYS * q.DAY_US + 7 * HOUR_US, DAYS * q.DAY_US + 35 * HOUR_US)])
async def test_sums_are_those_of_the_lines(charged: Ledger, group: q.ChargeGroup, period: tuple[int, int]) -> None:
    """Finance adds up the lines of a bill by itself; a sum that differs by a micro is a dispute."""
    expected: dict[object, Counter[str]] = {}
    for charge in await lines(charged, *period):
        sums = expected.setdefault(KEYS[group](charge), Counter())
        sums.update(charges=1, amount=charge.amount_micros, waived=charge.waived_micros)
    found = await charged.page(summed(group, start_us=period[0], end_us=period[1]))
    assert [each.key for each in found.sums.items] == sorted(expected, key=str)
    for each in found.sums.items:
        mine = expected[each.key]
        assert (each.charges, each.amount_micros, each.waived_micros) == (
            mine["charges"], mine["amount"], mine["waived"],
        )  # fmt: skip
        assert period[0] <= each.first_us <= each.last_us < period[1]
    total = sum((each for each in expected.values()), Counter())
    assert (found.charges, found.total_micros, found.waived_micros) == (
        total["charges"], total["amount"], total["waived"],
    )  # fmt: skip


@pytest.mark.parametrize("group", q.ChargeGroup)
async def test_pages_of_sums_are_the_whole(charged: Ledger, group: q.ChargeGroup) -> None:
    """A report of ten thousand jobs comes in pages; each must say the same total, and none may miss a job."""
    whole = await charged.page(summed(group))
    seen: list[q.ChargeSum] = []
    token, total = "", set()
    while True:
        part = await charged.page(summed(group, cut=q.cut_of(1, token, "test")))
        seen += part.sums.items
        total.add((part.charges, part.total_micros, part.waived_micros))
        token = part.sums.next_page_token
        if not token:
            break
    assert tuple(seen) == whole.sums.items
    assert total == {(whole.charges, whole.total_micros, whole.waived_micros)}


@pytest.mark.parametrize("group", [None, *q.ChargeGroup])
async def test_pages_add_up_to_their_total_while_more_is_charged(charged: Ledger, group: q.ChargeGroup | None) -> None:
    """Whoever fetches a long bill of an account whose jobs go on adds up its lines: they must come to its foot."""
    amounts: list[int] = []
    token, told = "", set()
    for number in range(30):
        cut = q.cut_of(1, token, "test")
        if group is None:
            bill = await charged.page(q.Bill(cut, ACME, "", "", 0, 2**62))
            amounts += [Charge.FromString(document).amount_micros for document in bill.charges.items]
            told.add((bill.charge_count, bill.total_micros, bill.waived_micros, bill.held_micros))
            token = bill.charges.next_page_token
        else:
            part = await charged.page(summed(group, cut=cut))
            amounts += [each.amount_micros for each in part.sums.items]
            told.add((part.charges, part.total_micros, part.waived_micros))
            token = part.sums.next_page_token
        if not token:
            break
        at_us = (DAYS + number % 4) * q.DAY_US
        await one(charged, replace(usage_of(100 + number, "p2", 1, site="sites/a"), record_us=at_us))
    assert not token
    [(_, total_micros, *_)] = told
    assert sum(amounts) == total_micros


@pytest.mark.parametrize("token", ["1 2 3", "1 2 3 4 5 x", "1 2 3 4 5 6 7"])
async def test_a_page_token_of_a_bill_that_nobody_gave_is_refused(charged: Ledger, token: str) -> None:
    """What somebody made up must end neither in a defect of the ledger nor in numbers of nothing."""
    with pytest.raises(InvalidArgument):
        await charged.page(q.Bill(q.Cut(1, token, "test"), ACME, "", "", 0, 2**62))


async def test_what_moved_data_cost_is_summed_by_the_data(charged: Ledger) -> None:
    """Whoever brings large data must see which of it costs; what charges do not name must not go missing."""
    unknown = moved(40, "p3", 5, "in@1", DAYS * q.DAY_US)
    await one(charged, replace(unknown, moves={"transfers/t40": Move("sites/s", "sites/a", "placements/p3")}))
    found = await charged.page(summed(q.ChargeGroup.DATASET))
    *of_transfers, others = found.sums.items
    assert [(each.key, each.charges, each.amount_micros) for each in of_transfers] == [
        ("datasets/in", 2, 22), ("datasets/out", 1, 11), (q.NOT_RECORDED, 1, 5),
    ]  # fmt: skip
    assert others.key == q.NO_DATASET
    bill = await charged.page(q.Bill(ALL, ACME, "", "", 0, 2**62))
    assert (found.charges, found.total_micros) == (bill.charge_count, bill.total_micros)


async def test_days_begin_where_the_reader_lives(charged: Ledger) -> None:
    """An accountant in Shanghai closes the day at Shanghai's midnight."""
    found = await charged.page(summed(q.ChargeGroup.DAY, offset_us=8 * HOUR_US))
    expected = Counter((charge.create_time.seconds + 8 * 3600) // 86_400 for charge in await lines(charged))
    assert {each.key: each.charges for each in found.sums.items} == expected
    assert len(expected) == 4


async def test_sums_of_an_account_are_its_partys(charged: Ledger) -> None:
    """What a competitor spends, and where, is nobody else's business."""
    for asked in (summed(q.ChargeGroup.DAY, party="parties/rival"), summed(q.ChargeGroup.DAY, account="accounts/no")):
        with pytest.raises(NotFound, match="ACCOUNT_UNKNOWN"):
            await charged.page(asked)
    nothing = await charged.page(summed(q.ChargeGroup.JOB, end_us=1))
    assert (nothing.sums.items, nothing.charges, nothing.total_micros) == ((), 0, 0)


@pytest.mark.parametrize(("account", "party"), [("", ""), (ACME, ""), ("", "parties/acme"), ("accounts/none", "")])
async def test_holds_come_in_pages_those_that_stand_first(ledger: Ledger, account: str, party: str) -> None:
    """What money is promised to now must not be looked for behind what was given back last year."""
    for number in range(7):
        await one(ledger, hold_of(f"p{number}", 10))
        if number % 2:
            await one(ledger, c.MoveHold(f"holds/p{number}-0", HoldState.RELEASED))
    await one(ledger, c.MoveHold("holds/p4-0", HoldState.COMMITTED))
    seen: list[str] = []
    token = ""
    while True:
        page = await ledger.page(q.Holds(q.cut_of(2, token, "test"), account, party))
        assert len(page.items) <= 2
        seen += [hold.name for hold in page.items]
        token = page.next_page_token
        if not token:
            break
    expected = [f"holds/p{number}-0" for number in (0, 2, 4, 6, 1, 3, 5)]
    assert seen == ([] if account == "accounts/none" else expected)


async def test_a_closed_account_is_paid_out_and_takes_nothing_more(ledger: Ledger) -> None:
    """A customer who leaves wants the rest back; a job must not go on spending what is no longer there."""
    closed = await one(ledger, close(ACME))
    assert (closed.balance_micros, closed.held_micros, closed.close_us) == (0, 0, 9)
    assert closed == await account_named(ledger)
    assert (await account_named(ledger, FUNDING)).balance_micros == 0
    for command in (
        hold_of("p", 0),
        hold_of("p", 5),
        c.CreditAccount(ACME, 5, "credits/9", "parties/operator", 4),
        close(ACME),
    ):
        assert await refused(ledger, command) == "ACCOUNT_CLOSED"
    assert (
        await refused(ledger, c.OpenAccount(ACME, "parties/acme", "CNY", AccountKind.CONSUMER, 1)) == "ACCOUNT_EXISTS"
    )
    await assert_sound(ledger)


async def test_an_account_with_holds_is_not_closed(ledger: Ledger) -> None:
    """A site that runs a job would not be paid for it."""
    await one(ledger, hold_of("p", 100))
    assert await refused(ledger, close(ACME)) == "ACCOUNT_IN_USE"
    await one(ledger, usage_of(1, "p", 40, final=True))
    await one(ledger, c.MoveHold("holds/p-0", HoldState.RELEASED))
    assert (await one(ledger, close(ACME))).close_us == 9
    assert (await account_named(ledger, FUNDING)).balance_micros == -40
    assert await one(ledger, usage_of(2, "p", 7)) == (c.Recorded(1, again=False),)
    assert [charge.waived_micros for charge in await lines(ledger)] == [0, 7]
    assert await refused(ledger, close(FUNDING)) == "FIELD_INVALID"
    await assert_sound(ledger)


async def test_what_is_earned_after_an_account_was_closed_finds_another(ledger: Ledger) -> None:
    """A provider is paid out at the end of a year and goes on to earn in the next."""
    await one(ledger, hold_of("p", 100))
    await one(ledger, usage_of(1, "p", 40))
    first, second = "accounts/a-income-cny", "accounts/a-income-cny-2"
    results = await ledger.apply([close(first), usage_of(2, "p", 10)])
    assert results[0].balance_micros == 0
    assert (await account_named(ledger, first)).balance_micros == 0
    assert (await account_named(ledger, second)).balance_micros == 10
    await assert_sound(ledger)


async def test_closing_and_spending_at_once_leave_the_books_sound(opening: OpenLedger) -> None:
    """Two instances may each believe that they were first."""
    ledgers = [opening(), opening()]
    names = [f"accounts/{number}" for number in range(20)]
    await found(ledgers[0], *names)
    asks = [applied(ledgers[0], [hold_of(name.replace("/", "-"), 10, account=name)]) for name in names]
    placed, closed = await asyncio.gather(
        asyncio.gather(*asks), asyncio.gather(*(applied(ledgers[1], [close(name)]) for name in names))
    )
    for [hold], [account] in zip(placed, closed, strict=True):
        held = isinstance(hold, Hold)
        assert (hold.state if held else hold.reason, account.reason if held else account.balance_micros) in {
            (HoldState.HELD, "ACCOUNT_IN_USE"), ("ACCOUNT_CLOSED", 0),
        }  # fmt: skip
    await assert_sound(ledgers[0])


def close(name: str) -> c.CloseAccount:
    return c.CloseAccount(name, f"closures/{name}", "parties/operator", 9)


async def test_a_whole_ledger_comes_to_nothing_in_every_currency(charged: Ledger) -> None:
    """Whoever watches the books sees money that appears or is gone at once, and not at the end of a month."""
    sums = await charged.page(q.SummedBooks())
    account = await charged.page(q.AccountNamed(ACME))
    standing = await charged.page(q.StandingHolds())

    assert set(sums.postings_micros.values()) == {0}
    assert sum(sums.balances_micros.values()) == 0
    assert sums.balances_micros[account.currency, AccountKind.CONSUMER] == account.balance_micros
    assert sums.held_micros[account.currency] == account.held_micros
    assert sums.standing_holds == Counter(hold.state for hold in standing)
