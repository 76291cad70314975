"""Commands for ledgers under test, and what must hold of a ledger at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from suanmesh.accounting.v1.accounting_service_pb2 import HoldAsk
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.type.v1.money_pb2 import METER_CPU_US, Price
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import Account, AccountKind
from suanmesh_accounting.domain.prices import Reading
from suanmesh_accounting.domain.quarantine import Room
from suanmesh_accounting.ledger.sql import SqlLedger
from suanmesh_accounting.ports import Ledger, accepted
from suanmesh_kernel.merkle import leaf_hashes
from suanmesh_kernel.refusals import Aborted, Refusal

ALL = q.Cut(10_000, "", "")
MANY_ROOM = Room(1000, 1 << 20, timedelta(days=7))
OpenLedger = Callable[[], SqlLedger]
ACME, BOOK = "accounts/acme", "priceBooks/a"


async def found(ledger: Ledger, *accounts: str, credit: int = 1000) -> None:
    book = PriceBook(name=BOOK, party="parties/a", currency="CNY")
    book.prices.append(Price(meter=METER_CPU_US, amount_micros=1, per_quantity=1))
    await one(ledger, c.PublishBook(BOOK, book.SerializeToString()))
    for account in accounts or (ACME,):
        await one(ledger, c.OpenAccount(account, "parties/acme", "CNY", AccountKind.CONSUMER, 1))
        await one(ledger, c.CreditAccount(account, credit, f"credits/{account}", "parties/operator", 1))


async def one(ledger: Ledger, command: c.Command[Any]) -> Any:
    [result] = await applied(ledger, [command])
    return accepted(result)


async def applied(ledger: Ledger, commands: Sequence[c.Command[Any]]) -> list[Any]:
    """What they come to; whoever meets other writers time and again is told to try again, and does."""
    while True:
        with suppress(Aborted):
            return list(await ledger.apply(commands))


def hold_of(placement: str, amount: int, *, account: str = ACME, position: int = 0, create_us: int = 2) -> c.PlaceHold:
    ask = HoldAsk(placement=f"placements/{placement}", account=account, price_book=BOOK, decision="jobs/j/decisions/1")
    return c.PlaceHold(
        name=f"holds/{placement}-{position}", account=account, placement=ask.placement, position=position,
        job="jobs/j", site="sites/a", amount_micros=amount, price_book=BOOK, ask=ask.SerializeToString(),
        trace_id="", create_us=create_us,
    )  # fmt: skip


def usage_of(
    sequence: int, placement: str, quantity: int, *, committed: bool = True, room: Room = MANY_ROOM, **more: Any
) -> c.RecordUsage:
    """A batch of one record."""
    facts = {"site": "sites/a", "epoch": "e", "transfer": "", "task": 0, "final": False}
    says = facts | more | {"sequence": sequence, "placement": f"placements/{placement}"}
    record = repr((says, quantity)).encode()
    readings = (Reading(METER_CPU_US, quantity),)
    measured = c.Measured(**says, readings=readings, record=record, leaf_index=0)
    batch = c.SignedBatch(Signed(payload=record).SerializeToString(), b"".join(leaf_hashes([record])))
    moved = frozenset({measured.placement} if committed else ())
    return c.RecordUsage(measured.site, (measured,), batch, {}, moved, room, record_us=3)


def batch_of(*commands: c.RecordUsage) -> c.RecordUsage:
    """The records of batches of one as one batch; what holds for the first holds for all."""
    records = [command.measured[0] for command in commands]
    measured = tuple(record._replace(leaf_index=index) for index, record in enumerate(records))
    leaves = b"".join(leaf_hashes(record.record for record in records))
    committed = frozenset[str]().union(*(command.committed for command in commands))
    batch = c.SignedBatch(Signed(payload=leaves[:32]).SerializeToString(), leaves)
    return replace(commands[0], measured=measured, batch=batch, committed=committed)


async def used(ledger: Ledger, *records: c.RecordUsage) -> list[c.Outcome]:
    """What became of records, each in a batch of its own, all in one transaction."""
    return [outcome for outcomes in await ledger.apply(records) for outcome in accepted(outcomes)]


async def account_named(ledger: Ledger, name: str = ACME) -> Account:
    return await ledger.page(q.AccountNamed(name))


async def refused(ledger: Ledger, command: c.Command[Any]) -> str:
    [result] = await ledger.apply([command])
    assert isinstance(result, Refusal), result
    return result.reason


async def assert_sound(ledger: Ledger) -> None:
    """Entries and currencies sum to zero, balances are their postings, and what is held is what holds promise."""
    accounts = {account.name: account for account in (await ledger.page(q.Accounts(ALL, ""))).items}
    entries: Counter[str] = Counter()
    balances: Counter[str] = Counter()
    for posted in (await ledger.page(q.Postings(ALL, ""))).items:
        entries[posted.entry] += posted.amount_micros
        balances[posted.account] += posted.amount_micros
    promised: Counter[str] = Counter()
    for hold in (await ledger.page(q.Holds(ALL, "", ""))).items:
        assert 0 <= hold.charged_micros <= hold.amount_micros
        promised[hold.account] += hold.promised_micros
    assert not any(entries.values())
    for name, account in accounts.items():
        assert (account.balance_micros, account.held_micros) == (balances[name], promised[name])
        assert account.kind is AccountKind.FUNDING or account.free_micros >= 0


def with_book(hold: c.PlaceHold, book: str) -> c.PlaceHold:
    return replace(hold, price_book=book)
