"""What shares a transaction of the ledger is as if each command had one of its own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ledger_commands import ALL, OpenLedger, account_named, assert_sound, found, hold_of, usage_of

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
    who = account.removeprefix("accounts/")
    if isinstance(result, Refusal):
        return result.reason
    if isinstance(result, Account):
        return f"{result.balance_micros} {result.held_micros}"
    return f"{_facts(result)}" if isinstance(result, Hold) else repr(result).replace(f"-{who}-", "-")


def _facts(hold: Hold) -> tuple[object, ...]:
    return hold.name[-3:], hold.amount_micros, hold.charged_micros, hold.state, hold.committed
