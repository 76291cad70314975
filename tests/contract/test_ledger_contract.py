"""What every ledger does: the same on SQLite and on PostgreSQL, also when several processes write at once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from ledger_commands import (
    ACME,
    ALL,
    BOOK,
    MANY_ROOM,
    OpenLedger,
    account_named,
    applied,
    assert_sound,
    batch_of,
    found,
    hold_of,
    one,
    refused,
    usage_of,
    used,
    with_book,
)

from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.accounting.v1.usage_pb2 import Charge
from suanmesh.type.v1.money_pb2 import METER_CPU_US, Price
from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import Account, AccountKind, Hold, HoldState
from suanmesh_accounting.domain.quarantine import Room
from suanmesh_accounting.ledger.sql import SqlLedger
from suanmesh_accounting.ports import Ledger
from suanmesh_kernel.merkle import leaf_hashes, root_of_path
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store import group_commit


@pytest.fixture
async def ledger(opening: OpenLedger) -> Ledger:
    """With one account of 1000, and a book by which a microsecond of a core costs a micro."""
    ledger = opening()
    await found(ledger)
    return ledger


async def test_what_is_paid_in_is_owed_by_the_funding_account(ledger: Ledger) -> None:
    """Money that comes from nowhere is found by an auditor, and nobody can say whose it is."""
    account = await one(ledger, c.CreditAccount(ACME, 5, "credits/2", "parties/operator", 4))
    assert (account.balance_micros, account.held_micros) == (1005, 0)
    assert (await account_named(ledger, "accounts/operator-funding-cny")).balance_micros == -1005
    assert account == await account_named(ledger)
    await assert_sound(ledger)


async def test_commands_of_one_call_see_each_other_in_order(ledger: Ledger) -> None:
    """Who opens an account, pays in and holds money at once must not have to wait for three answers."""
    book = PriceBook(name="priceBooks/new", party="parties/n", currency="EUR")
    results = await ledger.apply(
        [
            c.OpenAccount("accounts/new", "parties/new", "EUR", AccountKind.CONSUMER, 1),
            c.CreditAccount("accounts/new", 10, "credits/new", "parties/operator", 1),
            c.PublishBook(book.name, book.SerializeToString()),
            c.PublishBook(book.name, book.SerializeToString()),
            with_book(hold_of("n", 7, account="accounts/new"), book.name),
            with_book(hold_of("m", 4, account="accounts/new"), book.name),
        ]
    )
    assert [r.reason if isinstance(r, Refusal) else type(r) for r in results] == [
        Account, Account, c.Published, c.Published, Hold, "BALANCE_INSUFFICIENT",
    ]  # fmt: skip
    assert results[4].price_version == results[3].version == 2
    assert (await account_named(ledger, "accounts/new")).free_micros == 3
    await assert_sound(ledger)


async def test_a_command_that_is_refused_leaves_no_trace(ledger: Ledger) -> None:
    """One job without money must not cost the others of its round theirs, nor keep what it did not get."""
    results = await ledger.apply([hold_of("p", 700), hold_of("q", 301), hold_of("r", 300)])
    assert [isinstance(result, Hold) for result in results] == [True, False, True]
    assert results[1].facts["missing_micros"] == "1"
    assert await refused(ledger, c.OpenAccount(ACME, "parties/x", "EUR", AccountKind.CONSUMER, 1)) == "ACCOUNT_EXISTS"
    assert await refused(ledger, c.CreditAccount("accounts/none", 1, "e", "parties/operator", 1)) == "ACCOUNT_UNKNOWN"
    assert await refused(ledger, with_book(hold_of("s", 0), "priceBooks/none")) == "PRICE_UNKNOWN"
    assert (await account_named(ledger)).held_micros == 1000
    await assert_sound(ledger)


async def test_a_hold_that_stands_is_given_again_and_one_given_back_is_made_anew(ledger: Ledger) -> None:
    """A scheduler that lost the answer must not take the money twice, and one that tries again must get it."""
    first = await one(ledger, hold_of("p", 700))
    assert await one(ledger, hold_of("p", 600)) == first
    await one(ledger, c.MoveHold(first.name, HoldState.RELEASED))
    again = await one(ledger, hold_of("p", 600, create_us=9))
    assert (again.amount_micros, again.state, again.create_us) == (600, HoldState.HELD, 9)
    await one(ledger, c.MoveHold(first.name, HoldState.COMMITTED))
    await one(ledger, c.MoveHold(first.name, HoldState.RELEASED))
    await one(ledger, c.MoveHold(first.name, HoldState.COMMITTED, seen=HoldState.HELD))  # by a look that came late
    assert await refused(ledger, hold_of("p", 600)) == "HOLD_LAPSED"
    assert (await account_named(ledger)).held_micros == 0
    await assert_sound(ledger)


async def test_usage_is_charged_once_however_often_it_comes(ledger: Ledger) -> None:
    """A site that got no answer sends again, perhaps within one call; the customer pays once."""
    await one(ledger, hold_of("p", 100))
    batch = batch_of(usage_of(1, "p", 40), usage_of(1, "p", 40), usage_of(1, "p", 41), usage_of(2, "p", 70))
    first, again, other, more = await one(ledger, batch)
    assert (first, again) == (c.Recorded(1, again=False), c.Recorded(1, again=True))
    assert other.reason == "USAGE_CONFLICT"
    assert await one(ledger, usage_of(1, "p", 40)) == (again,)
    bill = await ledger.page(q.Bill(ALL, ACME, "", "", 0, 2**62))
    assert (bill.total_micros, bill.held_micros, len(bill.charges.items)) == (100, 0, 2)
    part = await ledger.page(q.Bill(q.cut_of(1, "", "b"), ACME, "", "", 0, 2**62))
    assert (len(part.charges.items), part.charge_count, part.total_micros, part.waived_micros) == (1, 2, 100, 10)
    assert more == first
    assert (await account_named(ledger, "accounts/a-income-cny")).balance_micros == 100
    await assert_sound(ledger)


async def test_a_job_is_billed_for_what_it_used_however_it_was_reported(opening: OpenLedger) -> None:
    """A thousand readings of a tenth of a micro are a hundred micros, not nothing, also across a restart.

    Nor are they nothing where each is of a task of its own: an array of short tasks is no gift of its provider's.
    """
    ledger = opening()
    await found(ledger)
    tenth = PriceBook(name=BOOK, party="parties/a", currency="CNY")
    tenth.prices.append(Price(meter=METER_CPU_US, amount_micros=1, per_quantity=10))
    await one(ledger, c.PublishBook(BOOK, tenth.SerializeToString()))
    await one(ledger, hold_of("p", 500))
    records = [usage_of(n, "p", 1 + n % 3, task=n // 2) for n in range(1, 301)]
    used = sum(record.measured[0].readings[0].quantity for record in records)
    for start in range(0, 200, 25):
        await ledger.apply(records[start : start + 25])
    await ledger.close()
    again = opening()
    await asyncio.gather(*(again.apply(records[start : start + 7]) for start in range(150, 300, 7)))
    bill = await again.page(q.Bill(ALL, ACME, "", "", 0, 2**62))
    charges = [Charge.FromString(document) for document in bill.charges.items]
    assert abs(sum(charge.amount_micros for charge in charges) - Fraction(used, 10)) <= Fraction(1, 2)
    steps = [(charge.remainder_in, charge.remainder_out) for charge in charges]
    assert [0, *(out for _, out in steps)][:-1] == [before for before, _ in steps]
    await assert_sound(again)


async def test_usage_nobody_pays_for_waits_in_a_bounded_quarantine(ledger: Ledger) -> None:
    """One hostile site must not fill the ledger; an early record is charged once its hold has come."""
    room = Room(2, 1 << 20, MANY_ROOM.age)
    results = await used(ledger, *(usage_of(n, "later", 5, committed=False, room=room) for n in (1, 2, 2, 3)))
    assert [result.reason for result in results] == ["USAGE_NOT_RATABLE"] * 3 + ["QUARANTINE_FULL"]
    assert await ledger.page(q.QuarantineSize()) == 2
    await one(ledger, hold_of("later", 100))
    assert await ledger.page(q.PayableQuarantine(0, 10)) == ()
    assert await one(ledger, replace(usage_of(2, "later", 5), batch=None)) == (c.Recorded(1, again=False),)
    assert [kept.id for kept in await ledger.page(q.PayableQuarantine(0, 10))] != []
    assert await ledger.page(q.QuarantineSize()) == 1
    assert await one(ledger, c.ExpireUsage(4, 10)) == {"sites/a": 1}
    assert await ledger.page(q.QuarantineSize()) == 0
    await assert_sound(ledger)


async def test_a_batch_is_kept_for_as_long_as_a_record_of_it(ledger: Ledger) -> None:
    """An auditor must find what proves a record; a hostile site must not leave behind what proves nothing."""
    await one(ledger, hold_of("p", 100))
    paid, early, late = usage_of(1, "p", 1), usage_of(2, "none", 1), usage_of(3, "none", 1)
    await one(ledger, batch_of(paid, early))
    await one(ledger, batch_of(early, late))
    await one(ledger, replace(usage_of(4, "none", 1), record_us=9))
    proved = (await ledger.page(q.Usage(ALL, "", ""))).items
    for usage in proved:
        leaf, size = leaf_hashes([usage.record])[0], 1 if usage is proved[-1] else 2
        assert root_of_path(leaf, usage.leaf_index, size, usage.audit_path)
    assert [usage.leaf_index for usage in proved] == [0, 1, 1, 0]
    assert len({usage.signed for usage in proved}) == 3
    assert await one(ledger, c.ExpireUsage(4, 10)) == {"sites/a": 2}
    assert [usage.record for usage in (await ledger.page(q.Usage(ALL, "", ""))).items] == [
        paid.measured[0].record, proved[-1].record,
    ]  # fmt: skip


async def test_room_in_quarantine_is_counted_with_what_is_kept_of_batches(ledger: Ledger) -> None:
    """One odd record among a thousand that are refused would else be kept with the hashes of them all."""
    size = len(usage_of(1, "none", 1).measured[0].record)
    room = Room(1000, 10_000, MANY_ROOM.age)
    for first in (1, 1001):
        batch = batch_of(*(usage_of(first + n, "none", 1, room=room) for n in range(1000)))
        leaves = len(batch.batch.leaves)
        refused = sum(outcome.reason == "QUARANTINE_FULL" for outcome in await one(ledger, batch))
        assert refused == 1000
    assert 1000 * 32 == leaves > 10_000 > size
    assert await ledger.page(q.QuarantineSize()) == 0


async def test_an_answer_is_kept_with_its_effect(ledger: Ledger) -> None:
    """A client that repeats a payment because the answer was lost must not pay in twice."""
    request = c.Request("spiffe://test/user", "CreditAccount", "r1")

    def crediting(amount: int) -> c.Once[Account]:
        credit = c.CreditAccount(ACME, amount, f"credits/{amount}", "parties/operator", 1)
        return c.Once(request, credit, lambda account: str(account.balance_micros).encode(), 5)

    assert (await one(ledger, crediting(7))).balance_micros == 1007
    assert await one(ledger, crediting(8)) == c.Replayed(b"1007")
    assert await ledger.page(q.AnswerTo(request)) == b"1007"
    await one(ledger, c.ForgetAnswers(5, 10))
    assert await ledger.page(q.AnswerTo(request)) == b"1007"
    await one(ledger, c.ForgetAnswers(6, 10))
    assert await ledger.page(q.AnswerTo(request)) is None


async def test_a_request_sent_twice_at_once_has_one_effect(opening: OpenLedger) -> None:
    """Two instances may both get the request of an impatient client."""
    ledgers = [opening(), opening()]
    await found(ledgers[0])
    request = c.Request("spiffe://test/user", "CreditAccount", "r1")
    credits = [
        c.Once(request, c.CreditAccount(ACME, 7, f"credits/x{n}", "parties/operator", 1), lambda _: b"done", 5)
        for n in range(20)
    ]
    results = await asyncio.gather(*(one(ledgers[n % 2], credit) for n, credit in enumerate(credits)))
    assert Counter(type(result) for result in results) == {Account: 1, c.Replayed: 19}
    assert (await account_named(ledgers[1])).balance_micros == 1007
    await assert_sound(ledgers[0])


async def test_lists_come_in_pages_and_in_order(ledger: Ledger) -> None:
    """A list that repeats or leaves out a line at a page's end cannot be added up."""
    names = [f"accounts/{name}" for name in ("a-b", "B", "a", "z", "a0")]
    for name in names:
        await one(ledger, c.OpenAccount(name, "parties/p", "CNY", AccountKind.PROVIDER, 1))
    document = PriceBook(name=BOOK, party="parties/a", currency="CNY").SerializeToString()
    for _ in range(10):
        await one(ledger, c.PublishBook(BOOK, document))
    await one(ledger, c.PublishBook("priceBooks/b", document))

    accounts = [account.name for account in await paged(ledger, lambda cut: q.Accounts(cut, "parties/p"))]
    versions = [(book.name, book.version) for book in await paged(ledger, lambda cut: q.Books(cut, True))]
    in_force = [(book.name, book.version) for book in await paged(ledger, lambda cut: q.Books(cut, False))]

    assert accounts == sorted(names)
    assert versions == [*((BOOK, version) for version in range(1, 12)), ("priceBooks/b", 1)]
    assert in_force == [(BOOK, 11), ("priceBooks/b", 1)]
    assert set(await ledger.page(q.BooksInForce(frozenset({BOOK, "priceBooks/none"})))) == {BOOK}


async def paged(ledger: Ledger, query: Callable[[q.Cut], q.Query[q.Page[Any]]]) -> list[Any]:
    """All items of a list, two at a time."""
    items, token = [], ""
    while True:
        page = await ledger.page(query(q.cut_of(2, token, "test")))
        assert 1 <= len(page.items) <= 2
        items += page.items
        token = page.next_page_token
        if not token:
            return items


async def test_holds_of_several_writers_never_promise_the_same_money(opening: OpenLedger) -> None:
    """Two schedulers that both believe their job is paid for leave one provider with nothing."""
    ledgers = [opening(), opening()]
    accounts = [f"accounts/{n}" for n in range(5)]
    await found(ledgers[0], *accounts)
    dice = random.Random(7)
    asks = [hold_of(f"p{n}", dice.randint(1, 60), account=dice.choice(accounts)) for n in range(600)]

    async def place(ledger: Ledger, mine: list[c.PlaceHold]) -> list[Hold | Refusal]:
        results = []
        for start in range(0, len(mine), 10):
            results += await applied(ledger, mine[start : start + 10])
        return results

    shares = [asks[start::8] for start in range(8)]
    placed = await asyncio.gather(*(place(ledgers[n % 2], share) for n, share in enumerate(shares)))

    granted: Counter[str] = Counter()
    for hold in (result for results in placed for result in results if isinstance(result, Hold)):
        granted[hold.account] += hold.amount_micros
    assert all(940 < granted[account] <= 1000 for account in accounts)
    for account in accounts:
        assert (await account_named(ledgers[0], account)).held_micros == granted[account]
    await assert_sound(ledgers[0])


async def test_usage_sent_to_several_writers_is_charged_once(opening: OpenLedger) -> None:
    """During a failover a site sends the same records to the old leader and to the new one."""
    ledgers = [opening(), opening()]
    await found(ledgers[0])
    await one(ledgers[0], hold_of("p", 500))
    records = [usage_of(n, "p", 3) for n in range(1, 201)]
    batches = [records[start : start + 20] for start in range(0, 200, 20)]
    await asyncio.gather(*(applied(ledger, batch) for batch in batches for ledger in ledgers))
    bill = await ledgers[1].page(q.Bill(ALL, ACME, "", "", 0, 2**62))
    assert (bill.total_micros, len(bill.charges.items)) == (500, 200)
    assert len((await ledgers[0].page(q.Usage(ALL, "", ""))).items) == 200
    await assert_sound(ledgers[0])


async def test_a_cancelled_caller_leaves_no_trace(ledger: SqlLedger) -> None:
    """Who gave up and asked elsewhere must not find both done."""
    async with asyncio.TaskGroup() as tasks:
        before = tasks.create_task(ledger.apply([hold_of(f"b{n}", 1) for n in range(100)]))
        gone = tasks.create_task(ledger.apply([hold_of("gone", 1)]))
        after = tasks.create_task(ledger.apply([hold_of("after", 1)]))
        await asyncio.sleep(0)
        gone.cancel()
    assert gone.cancelled()
    assert not any(isinstance(result, Refusal) for result in [*await before, *await after])
    placements = {hold.placement for hold in (await ledger.page(q.Holds(ALL, "", ""))).items}
    assert "placements/after" in placements
    assert "placements/gone" not in placements
    await assert_sound(ledger)


async def test_what_waits_is_bounded(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that falls behind must say so while there is time, and not when there is no memory."""
    monkeypatch.setattr(group_commit, "WAITING_MAX", 20)
    asks = [ledger.apply([hold_of(f"p{n}-{m}", 1) for m in range(10)]) for n in range(10)]
    answers = await asyncio.gather(*asks, return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    assert refusals
    assert all(isinstance(each, Unavailable) and each.reason == "PROCESS_FULL" for each in refusals)
    assert (await account_named(ledger)).held_micros == 10 * (10 - len(refusals))
    await one(ledger, hold_of("later", 1))


async def test_holds_and_small_sites_do_not_wait_for_a_flood_of_usage(ledger: SqlLedger) -> None:
    """With one hostile site a hold took a second, and jobs of everybody stood still; an honest site was not paid."""
    done: list[str] = []

    async def apply(name: str, commands: list[c.Command[Any]]) -> None:
        await ledger.apply(commands)
        done.append(name)

    flood = [usage_of(n, "none", 1, committed=False, site="sites/hostile") for n in range(1, 12 * 200 + 1)]
    async with asyncio.TaskGroup() as tasks:
        for start in range(0, len(flood), 200):
            tasks.create_task(apply("flood", [batch_of(*flood[start : start + 200])]))
        tasks.create_task(apply("hold", [hold_of("p", 1)]))
        tasks.create_task(apply("honest", [usage_of(1, "p", 1)]))
    assert done.index("hold") <= 3
    assert done.index("honest") <= 4


async def test_one_callers_defect_is_not_the_others(ledger: SqlLedger) -> None:
    """Whoever shares a transaction with a command that cannot be carried out must get what they asked for."""
    async with asyncio.TaskGroup() as tasks:
        busy = tasks.create_task(ledger.apply([hold_of("first", 1)]))
        broken = tasks.create_task(_defect(ledger))
        good = tasks.create_task(ledger.apply([hold_of("good", 1)]))
    assert isinstance((await busy)[0], Hold)
    assert isinstance((await good)[0], Hold)
    assert await broken


async def _defect(ledger: Ledger) -> bool:
    """A hold that would go back where it came from."""
    await ledger.apply([hold_of("odd", 1), c.MoveHold("holds/odd-0", HoldState.COMMITTED)])
    with pytest.raises(ValueError, match="cannot go"):
        await ledger.apply([c.MoveHold("holds/odd-0", HoldState.HELD)])
    return True


async def test_a_ledger_that_is_closed_is_told_as_such(opening: OpenLedger) -> None:
    """Usage that arrives during a failover must be sent again to the next leader, not be answered INTERNAL."""
    ledger = opening()
    await found(ledger)
    await ledger.close()
    with pytest.raises(Unavailable, match="NOT_READY"):
        await ledger.apply([hold_of("p", 1)])
    with pytest.raises(Unavailable, match="NOT_READY"):
        await ledger.page(q.StandingHolds())


async def test_a_ledger_goes_on_from_what_it_holds(opening: OpenLedger) -> None:
    """A restart must find every promise, and who was charged what."""
    before = opening()
    await found(before)
    await before.apply([hold_of("p", 100), hold_of("q", 50)])
    await one(before, usage_of(1, "p", 40, final=True))
    await before.close()
    after = opening()
    assert [hold.placement for hold in await after.page(q.StandingHolds())] == ["placements/p", "placements/q"]
    assert (await after.page(q.FinalUsage(frozenset({"placements/p"}))))["placements/p"].tasks == {0}
    states = await after.page(q.HoldStates(frozenset({"placements/p", "placements/q", "placements/r"})))
    assert states == {"placements/p": HoldState.COMMITTED, "placements/q": HoldState.HELD}
    meter = await after.page(q.UsageOfMeter("sites/a", "e", frozenset({"placements/p"})))
    assert (meter.last_epoch, meter.last_sequence, len(meter.records)) == ("e", 1, 1)
    await assert_sound(after)
