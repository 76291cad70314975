"""Accounting as its main builds it, behind the real wrapper, over the store's twin in memory and over a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import account_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh.type.v1.money_pb2 import METER_CPU_US, METER_TRANSFER_BYTES, Price
from suanmesh_accounting.main import build
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import Common, ServiceContext, Signer
from suanmesh_chassis.identity import agent_id, service_id, user_id
from suanmesh_chassis.signing import new_signing_key, window_to
from suanmesh_chassis.testing import NODE, OPERATOR, USER, LoopbackNode, lasting_key
from suanmesh_kernel import merkle
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of
from suanmesh_sdk.values import timestamp
from suanmesh_store import Create, Kind, Update, attachment_of, confirmed
from suanmesh_store.layout import PLACEMENTS, SITES, TRANSFERS, M
from suanmesh_store.store import KeyspaceStore

AREA = "accounting"
PATIENCE_S = 60.0
SETTINGS = AccountingSettings(
    resync_s=0.05, housekeeping_s=0.05, quarantine_records_max=100, usage_burst=3000, usage_records_per_s=1.0
)
MIB = 1 << 20
State = usage_pb2.Hold.State
Stores = Callable[[str], KeyspaceStore]
Told = str | Refusal
"""What became of a usage record: the name of an outcome, or why it was refused."""


@dataclass
class Books:
    """A running accounting and everybody who talks to it."""

    stores: Stores
    clock: HandClock
    address: str
    node: LoopbackNode
    signers: Mapping[str, Signer]
    sequences: dict[str, int] = field(default_factory=dict)

    @property
    def operator(self) -> Mesh:
        return self.as_(OPERATOR)

    @property
    def user(self) -> Mesh:
        return self.as_(USER)

    @property
    def stranger(self) -> Mesh:
        return self.as_(user_id(NODE, "rival", "rob"))

    @property
    def scheduler(self) -> Mesh:
        return self.as_(service_id(NODE, "scheduler"))

    def agent(self, site: str) -> Mesh:
        return self.as_(agent_id(NODE, site))

    def as_(self, caller: str) -> Mesh:
        return self.node.mesh(self.address, caller=caller)

    async def open_account(
        self, account_id: str = "acme", *, party: str = "acme", currency: str = "CNY", credit: int = 0
    ) -> account_pb2.Account:
        """An account with money in it."""
        account = account_pb2.Account(
            party=f"parties/{party}", currency=currency, kind=account_pb2.Account.KIND_CONSUMER
        )
        request = pb.CreateAccountRequest(account_id=account_id, account=account, request_id=f"open-{account_id}")
        opened = await self.operator.accounting.CreateAccount(request)
        return await self.credit(account_id, credit) if credit else opened

    async def credit(self, account_id: str, amount: int, request_id: str = "") -> account_pb2.Account:
        request = pb.CreditAccountRequest(
            name=f"accounts/{account_id}", amount_micros=amount, request_id=request_id or f"credit-{account_id}"
        )
        return await self.operator.accounting.CreditAccount(request)

    async def publish(
        self, book: str = "a", *, cpu: int = 1, per: int = 1, currency: str = "CNY", request_id: str = ""
    ) -> PriceBook:
        """The prices of the provider of a site: `cpu` micros for `per` microseconds of a core."""
        prices = [Price(meter=METER_CPU_US, amount_micros=cpu, per_quantity=per)]
        message = PriceBook(party=f"parties/{book}-power", currency=currency, prices=prices)
        request = pb.PublishPriceBookRequest(
            price_book_id=book, price_book=message, request_id=request_id or f"{book}-{cpu}-{per}-{currency}"
        )
        return await self.operator.accounting.PublishPriceBook(request)

    async def account(self, account_id: str = "acme") -> account_pb2.Account:
        return await self.operator.accounting.GetAccount(pb.GetAccountRequest(name=f"accounts/{account_id}"))

    async def hold(self, placement: str, amount: int, attachment: str, **more: object) -> pb.MoneyHoldResult:
        facts = {
            "account": "accounts/acme",
            "job": f"jobs/{placement}",
            "site": "sites/a",
            "price_book": "priceBooks/a",
        }
        ask = pb.HoldAsk(
            placement=f"placements/{placement}", amount_micros=amount, attachment=attachment, **(facts | more)
        )
        return (await self.scheduler.accounting.PlaceHolds(pb.PlaceHoldsRequest(items=[ask]))).results[0]

    async def lease(self) -> str:
        """The attachment of a round of the scheduler."""
        return attachment_of(await self.stores("scheduler").open_lease(60))

    async def place(self, placement: str, amount: int, *, tasks: int = 1, **more: object) -> pb.MoneyHold:
        """Hold and commit, as the scheduler does it."""
        result = await self.hold(placement, amount, await self.lease(), **more)
        assert result.HasField("hold"), result.error
        await self.commit(placement, result.hold, tasks=tasks)
        return result.hold

    async def commit(self, placement: str, hold: pb.MoneyHold, *, tasks: int = 1) -> None:
        """Confirm the hold and write the placement, all at once."""
        message = Placement(name=f"placements/{placement}", state=Placement.STATE_COMMITTED)
        message.work.count = tasks
        await self.stores("scheduler").commit(confirmed(hold.token), Create(PLACEMENTS, message.name, message))

    async def end(self, placement: str, state: Placement.State.ValueType = Placement.STATE_DONE) -> None:
        """The placement is over."""

        def ended(message: Placement) -> None:
            message.state = state
            message.end_time.FromDatetime(self.clock.now())

        await self._change("scheduler", PLACEMENTS, f"placements/{placement}", ended)

    async def move(self, transfer: str, source: str, target: str, placement: str) -> None:
        """As transport writes it."""
        message = Transfer(
            name=f"transfers/{transfer}", source=f"sites/{source}", target=f"sites/{target}",
            placement=f"placements/{placement}",
        )  # fmt: skip
        await self.stores("transport").commit(Create(TRANSFERS, message.name, message))

    async def deliver(self, transfer: str, source: str, target: str, placement: str, *, received: int) -> None:
        """A result has reached its target, as transport and scheduler write it; `received` is what the target got."""
        message = Transfer(
            name=f"transfers/{transfer}", source=f"sites/{source}", target=f"sites/{target}", account="accounts/acme",
            placement=f"placements/{placement}", state=Transfer.STATE_DONE,
        )  # fmt: skip
        message.receipt.bytes_received = received
        await self.stores("transport").commit(Create(TRANSFERS, message.name, message))

        def noted(changed: Placement) -> None:
            changed.output_transfers.append(message.name)

        await self._change("scheduler", PLACEMENTS, message.placement, noted)

    def record(self, site: str, placement: str, cpu: int = 0, **more: object) -> usage_pb2.UsageRecord:
        """The next record of a site's meter."""
        self.sequences[site] = self.sequences.get(site, 0) + 1
        readings = [usage_pb2.MeterReading(meter=METER_CPU_US, quantity=cpu)]
        facts = {"epoch": "e1", "sequence": self.sequences[site], "readings": readings, "final": False}
        return usage_pb2.UsageRecord(site=f"sites/{site}", placement=f"placements/{placement}", **(facts | more))

    def batch(self, site: str, *records: usage_pb2.UsageRecord | bytes, by: str = "") -> pb.RecordUsageRequest:
        """Records as a site signs them together, or `by` another."""
        raw = [each if isinstance(each, bytes) else each.SerializeToString(deterministic=True) for each in records]
        root, at = merkle.root_hash(merkle.leaf_hashes(raw)), timestamp(self.clock.now())
        batch = usage_pb2.UsageBatch(site=f"sites/{site}", tree_size=len(raw), root_hash=root, sign_time=at)
        signed = self.signers[by or site].sign(usage_pb2.UsageBatch.DESCRIPTOR.full_name, batch.SerializeToString())
        return pb.RecordUsageRequest(batch=signed, records=raw)

    async def send(self, site: str, *records: usage_pb2.UsageRecord | bytes) -> list[Told]:
        """As the agent of a site does it: what became of each record."""
        answer = await self.agent(site).accounting.RecordUsage(self.batch(site, *records))
        told: list[Told] = [pb.RecordUsageResponse.Outcome.Name(each) for each in answer.outcomes]
        for refused in answer.refusals:
            for index in refused.records:
                assert told[index] == "OUTCOME_REFUSED"
                told[index] = refusal_of(refused.error)
        assert "OUTCOME_REFUSED" not in told
        return told

    async def use(self, site: str, placement: str, cpu: int = 0, **more: object) -> Told:
        """One more record of a site, signed and sent."""
        return (await self.send(site, self.record(site, placement, cpu, **more)))[0]

    async def moved(self, site: str, placement: str, transfer: str, size: int) -> Told:
        """The record of a transfer that a site has received."""
        readings = [usage_pb2.MeterReading(meter=METER_TRANSFER_BYTES, quantity=size)]
        return await self.use(site, placement, readings=readings, transfer=f"transfers/{transfer}", final=True)

    async def bill(self, account_id: str = "acme", **more: object) -> usage_pb2.Bill:
        return await self.operator.accounting.GetBill(pb.GetBillRequest(account=f"accounts/{account_id}", **more))

    async def holds(self) -> dict[str, usage_pb2.Hold]:
        """By placement."""
        answer = await self.operator.accounting.ListHolds(pb.ListHoldsRequest(page_size=1000))
        return {hold.placement.removeprefix("placements/"): hold for hold in answer.holds}

    async def until(self, placement: str, state: State.ValueType) -> usage_pb2.Hold:
        """Ask until the hold of a placement is where it should be."""
        async with asyncio.timeout(PATIENCE_S):
            while (hold := (await self.holds())[placement]).state != state:
                pass
        return hold

    async def assert_balanced(self) -> None:
        """Every entry and every currency sums to zero; balances are the sums of their postings."""
        listed = await self.operator.accounting.ListPostings(pb.ListPostingsRequest(page_size=1000))
        accounts = (await self.operator.accounting.ListAccounts(pb.ListAccountsRequest(page_size=1000))).accounts
        entries: dict[str, int] = {}
        balances = {account.name: 0 for account in accounts}
        for posting in listed.postings:
            entries[posting.entry] = entries.get(posting.entry, 0) + posting.amount_micros
            balances[posting.account] += posting.amount_micros
        assert set(entries.values()) <= {0}
        assert {account.name: account.balance_micros for account in accounts} == balances

    async def _change(self, area: str, kind: Kind[M], name: str, how: Callable[[M], None]) -> None:
        store = self.stores(area)
        held = await store.get(kind, name)
        assert held is not None
        message = kind.message()
        message.CopyFrom(held.message)
        how(message)
        await store.commit(Update(held, message))


@asynccontextmanager
async def running(folder: Path, stores: Stores, signers: Mapping[str, Signer]) -> AsyncIterator[Books]:
    clock, registry = HandClock(), stores("registry")
    for site, signer in signers.items():
        if await registry.get(SITES, f"sites/{site}") is None:
            message = Site(name=f"sites/{site}", signing_keys=[window_to(lasting_key(signer))])
            await registry.commit(Create(SITES, message.name, message))
    async with LoopbackNode(folder) as node:
        process = node.process(AREA)
        context = ServiceContext(
            area=AREA, node=NODE, settings=SETTINGS, common=Common(), clock=clock,
            rng=seeded_rng(2), store=stores(AREA), mesh=node.mesh("127.0.0.1:1"), signer=process.signer,
            identity=process.identity, leadership=None, data_dir=folder,
        )  # fmt: skip
        parts = await build(context)
        assert parts.term is not None
        led = await parts.term(context)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(task()) for task in (*parts.tasks, *led.tasks)]
            address = await node.serve(process, led.servicers, requests=led.requests)
            try:
                yield Books(stores, clock, address, node, signers)
            finally:
                for task in background:
                    task.cancel()
        await context.closing.aclose()


@pytest.fixture
def opened(tmp_path: Path, stores: Stores) -> Callable[[], AbstractAsyncContextManager[Books]]:
    """Opens accounting with the sites `a`, `a-b` and `b`; opened again it finds what the one before has left."""
    signers = {site: Signer(new_signing_key(), agent_id(NODE, site)) for site in ("a", "a-b", "b")}
    return lambda: running(tmp_path, stores, signers)


@pytest.fixture
async def books(tmp_path: Path, memory_stores: Stores) -> AsyncIterator[Books]:
    """Accounting over the twin in memory, for what has nothing to do with etcd: one account with 1000 and one book."""
    signers = {site: Signer(new_signing_key(), agent_id(NODE, site)) for site in ("a", "a-b", "b")}
    async with running(tmp_path, memory_stores, signers) as books:
        await books.open_account(credit=1000)
        await books.publish()
        yield books
