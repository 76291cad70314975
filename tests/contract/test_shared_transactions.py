"""What shares a transaction of the ledger is as if each command had one of its own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ledger_commands import ALL, BOOK, OpenLedger, account_named, assert_sound, batch_of, found, hold_of, usage_of

from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.accounting.v1.usage_pb2 import Charge
from suanmesh.type.v1.money_pb2 import METER_CPU_US, Price
from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import Account, Hold, HoldState
from suanmesh_kernel.refusals import Refusal


@pytest.mark.parametrize("seed", range(5))
async def test_the_books_do_not_tell_what_shared_a_transaction(opening: OpenLedger, seed: int) -> None:
    """A customer must pay the same for the same whether the ledger was busy or idle when the usage came."""
    ledger = opening()
    whole, apart = ("accounts/whole", "accounts/apart")
    await found(ledger, whole, apart, credit=300)
    together = [_happening(seed, whole, turn) for turn in range(60)]
    singly = [_happening(seed, apart, turn) for turn in range(60)]

    results = await ledger.apply(together)
    again = [(await ledger.apply([command]))[0] for command in singly]

    assert [_outcome(result, whole) for result in results] == [_outcome(result, apart) for result in again]
    accounts = [await account_named(ledger, name) for name in (whole, apart)]
    assert len({(account.balance_micros, account.held_micros) for account in accounts}) == 1
    holds = (await ledger.page(q.Holds(ALL, "", ""))).items
    assert len(holds) > 2
    assert sorted(_facts(hold) for hold in holds if hold.account == whole) == sorted(
        _facts(hold) for hold in holds if hold.account == apart
    )
    await assert_sound(ledger)


def _happening(seed: int, account: str, turn: int) -> c.Command[Any]:
    """The same of one account as of the other: holds, usage in time and late, usage sent twice, holds given back."""
    dice = random.Random(f"{seed} {turn}")
    who, placement = account.removeprefix("accounts/"), dice.randrange(4)
    name = f"{who}{placement}"
    match dice.randrange(8):
        case 0 | 1:
            return hold_of(name, dice.randint(20, 120), account=account)
        case 2:
            return c.MoveHold(f"holds/{name}-0", HoldState.RELEASED)
        case 3:
            return c.CreditAccount(account, 3, f"credits/{who}-{turn}", "parties/operator", 4)
        case _:
            return usage_of(turn - dice.randrange(2), name, 1 + turn % 7, site="sites/a", epoch=who)


def _outcome(result: object, account: str) -> str:
    """What became of a command, without whose it was."""
    if isinstance(result, tuple):
        return " ".join(_outcome(each, account) if isinstance(each, Refusal) else f"{each}" for each in result)
    if isinstance(result, Refusal):
        return result.reason
    if isinstance(result, Account):
        return f"{result.balance_micros} {result.held_micros}"
    return f"{_facts(result)}" if isinstance(result, Hold) else repr(result)


def _facts(hold: Hold) -> tuple[object, ...]:
    return hold.name[-3:], hold.amount_micros, hold.charged_micros, hold.state, hold.committed


@pytest.mark.parametrize("seed", range(5))
async def test_a_bill_does_not_tell_how_usage_was_divided_into_batches(opening: OpenLedger, seed: int) -> None:
    """A site that was cut off sends at once what another sends a record at a time: the same is owed, to the micro."""
    ledger = opening()
    await found(ledger, *ACCOUNTS, credit=300)
    third = PriceBook(name=BOOK, party="parties/a", currency="CNY")
    third.prices.append(Price(meter=METER_CPU_US, amount_micros=2, per_quantity=3))
    await ledger.apply([c.PublishBook(BOOK, third.SerializeToString())])
    for account in ACCOUNTS:
        who = account.removeprefix("accounts/")
        dice = random.Random(seed)
        for placement in range(3):
            await ledger.apply([hold_of(f"{who}{placement}", dice.randint(5, 40), account=account)])
        records = [_record(dice, number, who) for number in range(1, 60)]
        while records:
            count = 1 if account == ACCOUNTS[0] else dice.randint(1, 30)
            await ledger.apply([batch_of(*records[:count])])
            del records[:count]
    bills = [(await ledger.page(q.Bill(ALL, account, "", "", 0, 2**62))).charges.items for account in ACCOUNTS]
    lines = [[_line(Charge.FromString(document)) for document in bill] for bill in bills]
    assert len(lines[0]) > 30
    assert any(waived for _, _, waived, *_ in lines[0])
    assert lines[0] == lines[1]
    await assert_sound(ledger)


ACCOUNTS = ("accounts/whole", "accounts/apart")


def _record(dice: random.Random, number: int, who: str) -> c.RecordUsage:
    """Of one of six tasks; now and then one that was sent before."""
    sequence = number if dice.random() < 0.8 else max(1, number - dice.randint(1, 5))
    own = random.Random(sequence)
    return usage_of(sequence, f"{who}{own.randrange(3)}", own.randint(0, 9), task=own.randrange(2), epoch=who)


def _line(charge: Charge) -> tuple[object, ...]:
    carried = charge.remainder_in, charge.remainder_out
    return charge.usage.rpartition("/")[2], charge.amount_micros, charge.waived_micros, *carried
