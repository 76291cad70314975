"""Whatever happens in whatever order, the books balance: credits, holds, commits, usage, ends, in two currencies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.type.v1.money_pb2 import METER_CPU_US, METER_MEMORY_MIB_S, Price
from suanmesh_accounting.domain.commands import CreditAccount, OpenAccount, PublishBook
from suanmesh_accounting.domain.ledger import Account, AccountKind, PlacementStatus
from suanmesh_accounting.domain.queries import Accounts, Bill, Cut, Holds, Postings, StandingHolds, Usage
from suanmesh_accounting.holding import Holding
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.ports import Ledger, accepted
from suanmesh_accounting.reconciler import HoldReconciler
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_accounting.testing import FakeMesh, FakeTokens
from suanmesh_accounting.wire import microseconds
from suanmesh_chassis import FailureBackoff, Signer
from suanmesh_chassis.signing import new_signing_key
from suanmesh_chassis.testing import lasting_key
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.merkle import leaf_hashes, root_hash
from suanmesh_kernel.refusals import Aborted, FailedPrecondition, Refusal, ResourceExhausted
from suanmesh_sdk.values import timestamp

SITE = "sites/a"
SIGNER = Signer(new_signing_key(), "spiffe://test/site/a/agent")
CURRENCIES = ("CNY", "EUR")
PRICES = {METER_CPU_US: Fraction(1, 3), METER_MEMORY_MIB_S: Fraction(7, 10)}
Step = tuple[str, tuple[int, ...]]
ALL = Cut(10_000, "", "")

which = st.integers(0, 2)
amount = st.integers(1, 1000)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("credit"), st.tuples(which, amount)),
        st.tuples(st.just("hold"), st.tuples(which, amount)),
        st.tuples(st.just("place"), st.tuples(which, amount)),
        st.tuples(st.just("commit"), st.tuples(which)),
        st.tuples(st.just("use"), st.tuples(which, amount, amount)),
        st.tuples(st.just("finish"), st.tuples(which, amount)),
        st.tuples(st.just("conclude"), st.tuples(which, amount)),
        st.tuples(st.just("end"), st.tuples(which)),
        st.tuples(st.just("die"), st.tuples(which)),
        st.tuples(st.just("wait"), st.tuples(st.integers(1, 40))),
        st.tuples(st.just("settle"), st.just(())),
    ),
    max_size=30,
)


@dataclass
class Shop:
    """Accounting without a node: an account and a price book in each currency, placements paid in turn by either."""

    ledger: Ledger
    mesh: FakeMesh
    tokens: FakeTokens
    clock: HandClock
    holding: Holding
    metering: Metering
    reconciler: HoldReconciler
    rounds: dict[int, str] = field(default_factory=dict)
    credits: int = 0
    sequence: int = 0

    async def credit(self, number: int, amount: int) -> None:
        self.credits += 1
        name, entry = _account(number), f"credits/{self.credits}"
        now_us = microseconds(self.clock.now())
        await self.ledger.apply([CreditAccount(name, amount, entry, "parties/operator", now_us)])

    async def hold(self, number: int, amount: int) -> None:
        self.rounds[number] = self.tokens.open_round()
        ask = pb.HoldAsk(
            placement=f"placements/{number}", attachment=self.rounds[number], account=_account(number),
            amount_micros=amount, job=f"jobs/{number}", site=SITE,
            price_book=f"priceBooks/{CURRENCIES[number % 2].lower()}",
        )  # fmt: skip
        [placed] = await self.holding.place([ask])
        if isinstance(placed, Refusal):
            assert isinstance(placed, ResourceExhausted | FailedPrecondition | Aborted)  # no money, no or another round

    async def die(self, number: int) -> None:
        """The scheduler dies: what it has not committed evaporates."""
        self.tokens.end_round(self.rounds.get(number, ""))

    async def commit(self, number: int) -> None:
        name = f"placements/{number}"
        if await self.tokens.standing([(name, 0)]) and name not in self.mesh.statuses:
            self.tokens.confirm(name, 0)
            self.mesh.statuses[name] = PlacementStatus(terminal=False, end_time=None, tasks=1)

    async def place(self, number: int, amount: int) -> None:
        await self.hold(number, amount)
        await self.commit(number)

    async def end(self, number: int) -> None:
        name = f"placements/{number}"
        if name in self.mesh.statuses:
            self.mesh.statuses[name] = PlacementStatus(terminal=True, end_time=self.clock.now(), tasks=1)

    async def use(self, number: int, *amounts: int) -> None:
        await self._record(number, amounts, final=False)

    async def finish(self, number: int, *amounts: int) -> None:
        await self._record(number, amounts, final=True)

    async def conclude(self, number: int, amount: int) -> None:
        """The last record comes, the placement ends, and that is noticed."""
        await self.finish(number, amount)
        await self.end(number)
        await self.settle()
        await self.settle()

    async def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    async def settle(self) -> None:
        await self.reconciler.settle(await self.ledger.page(StandingHolds()))

    async def _record(self, number: int, amounts: Sequence[int], *, final: bool) -> None:
        self.sequence += 1
        readings = [usage_pb2.MeterReading(meter=m, quantity=q) for m, q in zip(PRICES, amounts, strict=False)]
        record = usage_pb2.UsageRecord(
            site=SITE, epoch="e", sequence=self.sequence, placement=f"placements/{number}", readings=readings,
            final=final,
        )  # fmt: skip
        raw = record.SerializeToString()
        root, at = root_hash(leaf_hashes([raw])), timestamp(self.clock.now())
        batch = usage_pb2.UsageBatch(site=SITE, tree_size=1, root_hash=root, sign_time=at)
        signed = SIGNER.sign(usage_pb2.UsageBatch.DESCRIPTOR.full_name, batch.SerializeToString())
        await self.metering.record(pb.RecordUsageRequest(batch=signed, records=[raw]), SITE)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Shop]:
    ledger, mesh, tokens, clock = open_ledger(f"sqlite:///{folder}/l"), FakeMesh(), FakeTokens(), HandClock()
    mesh.keys[SITE] = [lasting_key(SIGNER)]
    metering = Metering(ledger, mesh, clock, AccountingSettings().room())
    backoff = FailureBackoff("settle hold", clock)
    reconciler = HoldReconciler(ledger, mesh, tokens, clock, AccountingSettings(), backoff, metering)
    shop = Shop(ledger, mesh, tokens, clock, Holding(ledger, tokens, clock), metering, reconciler)
    for currency in CURRENCIES:
        await _found(ledger, currency, clock)
    await shop.credit(0, 1000)
    await shop.credit(1, 1000)
    yield shop
    metering.close()
    await ledger.close()


@given(steps)
@settings(max_examples=40, deadline=None)
async def test_no_order_of_events_brings_the_books_out_of_balance(happening: list[Step]) -> None:
    """A micro that appears or vanishes is found by an auditor years later, when nobody can say whose it was."""
    with TemporaryDirectory() as folder:
        async with opened(Path(folder)) as shop:
            for name, facts in happening:
                await getattr(shop, name)(*facts)
                await _assert_sound(shop.ledger)


async def _assert_sound(ledger: Ledger) -> None:
    """What must hold after every step."""
    accounts = {account.name: account for account in (await ledger.page(Accounts(ALL, ""))).items}
    entries: Counter[tuple[str, str]] = Counter()
    balances: Counter[str] = Counter()
    for posted in (await ledger.page(Postings(ALL, ""))).items:
        assert posted.currency == accounts[posted.account].currency
        entries[posted.entry, posted.currency] += posted.amount_micros
        balances[posted.account] += posted.amount_micros
    assert not any(entries.values())
    assert {name: account.balance_micros for name, account in accounts.items()} == {n: balances[n] for n in accounts}
    for currency in CURRENCIES:
        assert sum(account.balance_micros for account in accounts.values() if account.currency == currency) == 0
    await _assert_held(ledger, accounts)
    await _assert_recomputes(ledger, accounts)


async def _assert_held(ledger: Ledger, accounts: dict[str, Account]) -> None:
    """What accounts say is held of them is what their holds promise, and never more than they have."""
    promised: Counter[str] = Counter()
    for hold in (await ledger.page(Holds(ALL, "", ""))).items:
        promised[hold.account] += hold.promised_micros
    for account in accounts.values():
        assert account.held_micros == promised[account.name]
        assert account.kind is AccountKind.FUNDING or account.free_micros >= 0


async def _assert_recomputes(ledger: Ledger, accounts: dict[str, Account]) -> None:
    """Every charge is its record's reading at the price, less what was waived; a hold covers its charges."""
    stored = (await ledger.page(Usage(ALL, "", ""))).items
    records = [usage_pb2.UsageRecord.FromString(each.record) for each in stored]
    by_reference = {f"{record.site}/{record.epoch}/{record.sequence}": record for record in records}
    spent: Counter[str] = Counter()
    used: dict[tuple[str, int], Fraction] = defaultdict(Fraction)
    rated: Counter[tuple[str, int]] = Counter()
    for account in accounts:
        bill = await ledger.page(Bill(ALL, account, "", "", 0, 2**62))
        charges = [usage_pb2.Charge.FromString(document) for document in bill.charges.items]
        assert bill.total_micros == sum(charge.amount_micros for charge in charges)
        for charge in charges:
            record = by_reference[charge.usage]
            [quantity] = [reading.quantity for reading in record.readings if reading.meter == charge.meter]
            assert (charge.quantity, charge.placement) == (quantity, record.placement)
            work = (charge.placement, charge.meter)
            used[work] += quantity * PRICES[charge.meter]
            rated[work] += charge.amount_micros + charge.waived_micros
            assert used[work] - rated[work] == Fraction(charge.remainder_out, charge.price.per_quantity)
            assert abs(used[work] - rated[work]) <= Fraction(1, 2)
            assert min(charge.amount_micros, charge.waived_micros) >= 0
            spent[charge.placement] += charge.amount_micros
    for hold in (await ledger.page(Holds(ALL, "", ""))).items:
        assert hold.charged_micros == spent[hold.placement] <= hold.amount_micros


async def _found(ledger: Ledger, currency: str, clock: HandClock) -> None:
    name, now_us = currency.lower(), microseconds(clock.now())
    account = OpenAccount(f"accounts/{name}", "parties/acme", currency, AccountKind.CONSUMER, now_us)
    [opened] = await ledger.apply([account])
    accepted(opened)
    prices = [
        Price(meter=meter, amount_micros=price.numerator, per_quantity=price.denominator)
        for meter, price in PRICES.items()
    ]
    book = PriceBook(name=f"priceBooks/{name}", party="parties/p", currency=currency, prices=prices)
    await ledger.apply([PublishBook(book.name, book.SerializeToString())])


def _account(number: int) -> str:
    return f"accounts/{CURRENCIES[number % 2].lower()}"
