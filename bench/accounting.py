"""What the ledger bears, durable on disk, on SQLite and on PostgreSQL: `make bench AREA=accounting`.

`ingest_rate`: one accounting process behind the real wrapper and TLS, and a site in a process of its own that sends
usage in signed batches of 1000. One record in ten is sent twice. What was stored and charged is counted afterwards:
every record once. `overspent`: two processes that write to one PostgreSQL, 64 clients that race for the
money of a hundred accounts, and the accounts that have promised more than they had. One JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from postgres import ABSENT, binaries, running

from suanmesh.accounting.v1 import account_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.type.v1.money_pb2 import METER_CPU_US, METER_MEMORY_MIB_S, Price
from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import AccountKind, Hold
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.main import build
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import Common, ServiceContext, Signer
from suanmesh_chassis.identity import agent_id, service_id
from suanmesh_chassis.signing import new_signing_key, window_to
from suanmesh_chassis.testing import NODE, OPERATOR, LoopbackNode, lasting_key
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.merkle import leaf_hashes, root_hash
from suanmesh_sdk import Mesh, Tls
from suanmesh_sdk.resolver import OneAddress
from suanmesh_sdk.values import timestamp
from suanmesh_store import Create, MemoryKeyspace, MemoryStore, attachment_of, confirmed
from suanmesh_store.layout import PLACEMENTS, SITES

BATCH = 1000
AT_ONCE = 4
"""Batches that a site has under way."""
PLACEMENTS_COUNT = 50
AGAIN = 10
"""One record in so many is sent twice."""
RICH = 10**15
RACED, RACED_MICROS = 100, 10_000
"""Accounts that are raced for, and what each of them has."""
WRITERS, CLIENTS = 2, 64
SETTINGS = AccountingSettings(usage_records_per_s=1e9, usage_burst=10**9)


@dataclass(frozen=True)
class Way:
    """How the sending process reaches accounting."""

    address: str
    tls: Tls


@asynccontextmanager
async def accounting(folder: Path, database: str, site: Signer) -> AsyncIterator[tuple[LoopbackNode, str]]:
    """An accounting with money and committed placements, and its address."""
    keys = MemoryKeyspace(SystemClock())
    stores = {area: MemoryStore(area, keys=keys) for area in ("accounting", "registry", "scheduler")}
    key = window_to(lasting_key(site))
    await stores["registry"].commit(Create(SITES, "sites/a", Site(name="sites/a", signing_keys=[key])))
    async with LoopbackNode(folder, sample_reads=0.0) as node:
        process = node.process("accounting")
        context = ServiceContext(
            area="accounting", node=NODE, settings=AccountingSettings(**{**_fields(SETTINGS), "database": database}),
            common=Common(), clock=SystemClock(), rng=system_rng, store=stores["accounting"],
            mesh=node.mesh("127.0.0.1:1"), signer=process.signer, identity=process.identity, leadership=None,
            data_dir=folder,
        )  # fmt: skip
        parts = await build(context)
        assert parts.term is not None
        led = await parts.term(context)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(task()) for task in (*parts.tasks, *led.tasks)]
            address = await node.serve(process, led.servicers, requests=led.requests)
            await found(node, address, stores["scheduler"])
            yield node, address
            for task in background:
                task.cancel()
        await context.closing.aclose()


async def found(node: LoopbackNode, address: str, scheduler: MemoryStore) -> None:
    """A rich account, prices, and placements that are paid for."""
    operator = node.mesh(address, caller=OPERATOR).accounting
    account = account_pb2.Account(party="parties/acme", currency="CNY", kind=account_pb2.Account.KIND_CONSUMER)
    await operator.CreateAccount(pb.CreateAccountRequest(account_id="acme", account=account))
    await operator.CreditAccount(pb.CreditAccountRequest(name="accounts/acme", amount_micros=RICH))
    prices = [
        Price(meter=METER_CPU_US, amount_micros=1, per_quantity=3),
        Price(meter=METER_MEMORY_MIB_S, amount_micros=7, per_quantity=10),
    ]
    book = PriceBook(party="parties/power", currency="CNY", prices=prices)
    await operator.PublishPriceBook(pb.PublishPriceBookRequest(price_book_id="a", price_book=book))
    attachment = attachment_of(await scheduler.open_lease(60))
    asks = [
        pb.HoldAsk(
            placement=f"placements/{number}", account="accounts/acme", amount_micros=RICH // PLACEMENTS_COUNT,
            attachment=attachment, job=f"jobs/{number}", site="sites/a", price_book="priceBooks/a",
        )
        for number in range(PLACEMENTS_COUNT)
    ]  # fmt: skip
    held = await node.mesh(address, caller=service_id(NODE, "scheduler")).accounting.PlaceHolds(
        pb.PlaceHoldsRequest(items=asks)
    )
    for ask, result in zip(asks, held.results, strict=True):
        placement = Placement(name=ask.placement, state=Placement.STATE_RUNNING)
        placement.work.count = 1
        await scheduler.commit(confirmed(result.hold.token), Create(PLACEMENTS, ask.placement, placement))


def send(way: Way, key: Any, records: int, ready: Any, go: Any, told: Any) -> None:
    """The site's process: sign, wait for the start, send all; tells the seconds it took."""
    batches = signed_batches(Signer(key(), agent_id(NODE, "a")), records)
    ready.set()
    go.wait()
    told.put(asyncio.run(sent(way, batches)))


def signed_batches(site: Signer, records: int) -> list[pb.RecordUsageRequest]:
    """Records of many tasks, one in ten of them twice, in batches."""
    dice = random.Random(1)
    items: list[bytes] = []
    for sequence in range(1, records + 1):
        record = usage_pb2.UsageRecord(
            site="sites/a", epoch="e", sequence=sequence, placement=f"placements/{dice.randrange(PLACEMENTS_COUNT)}",
            readings=[
                usage_pb2.MeterReading(meter=METER_CPU_US, quantity=dice.randint(1, 5_000_000)),
                usage_pb2.MeterReading(meter=METER_MEMORY_MIB_S, quantity=dice.randint(1, 5_000)),
            ],
        )  # fmt: skip
        record.start_time.FromSeconds(1_800_000_000 + 5 * (sequence // 1000))
        record.end_time.FromSeconds(1_800_000_005 + 5 * (sequence // 1000))
        items.append(record.SerializeToString(deterministic=True))
    for place in range(0, records, AGAIN):
        items.insert(min(len(items), place + dice.randrange(3 * BATCH)), items[place])
    return [signed_batch(site, items[start : start + BATCH]) for start in range(0, len(items), BATCH)]


def signed_batch(site: Signer, records: Sequence[bytes]) -> pb.RecordUsageRequest:
    """A call with some records, as an agent makes it."""
    root = root_hash(leaf_hashes(records))
    at = timestamp(SystemClock().now())
    batch = usage_pb2.UsageBatch(site="sites/a", tree_size=len(records), root_hash=root, sign_time=at)
    signed = site.sign(usage_pb2.UsageBatch.DESCRIPTOR.full_name, batch.SerializeToString())
    return pb.RecordUsageRequest(batch=signed, records=records)


async def sent(way: Way, batches: Sequence[pb.RecordUsageRequest]) -> float:
    """Send all; the seconds it took until the last answer."""
    mesh = Mesh(node=NODE, tls=way.tls, resolver=OneAddress(way.address), hook=None)
    waiting = list(reversed(batches))

    async def deliver() -> None:
        while waiting:
            answer = await mesh.accounting.RecordUsage(waiting.pop(), timeout=60)
            assert not answer.refusals, answer.refusals[0]

    begun = time.perf_counter()
    await asyncio.gather(*(deliver() for _ in range(AT_ONCE)))
    took = time.perf_counter() - begun
    await mesh.close()
    return took


async def ingest(folder: Path, database: str, name: str, records: int) -> None:
    """Measure exactly-once ingest into one database."""
    key = new_signing_key()
    site = Signer(key, agent_id(NODE, "a"))
    async with accounting(folder, database, site) as (node, address):
        issued = node.ca.issue(agent_id(NODE, "a"))
        way = Way(address, Tls(ca=issued.ca, cert=issued.certificate, key=issued.key))
        spawn = multiprocessing.get_context("spawn")
        ready, go, told = spawn.Event(), spawn.Event(), spawn.Queue()
        child = spawn.Process(target=send, args=(way, partial(_key, key.private_bytes_raw()), records, ready, go, told))
        child.start()
        await asyncio.to_thread(ready.wait)
        begun = time.process_time()
        go.set()
        took = await asyncio.to_thread(told.get)
        busy = time.process_time() - begun
        child.join()
        await check(node.mesh(address, caller=OPERATOR), records)
    tell(name, records * (1 + 1 / AGAIN) / took, "records/s")
    tell(f"{name}.server_cpu_per_record", 1e6 * busy / (records * (1 + 1 / AGAIN)), "us")


async def check(mesh: Mesh, records: int) -> None:
    """Every record is there once and charged once; the bill is what its lines add up to, and nothing was waived."""
    usage: set[str] = set()
    lines = total = 0
    request = pb.GetBillRequest(account="accounts/acme")
    while True:
        bill = await mesh.accounting.GetBill(request, timeout=60)
        usage |= {charge.usage for charge in bill.charges}
        lines += len(bill.charges)
        total += sum(charge.amount_micros for charge in bill.charges)
        assert not any(charge.waived_micros for charge in bill.charges)
        if not bill.next_page_token:
            break
        request.page_token = bill.next_page_token
    account = await mesh.accounting.GetAccount(pb.GetAccountRequest(name="accounts/acme"))
    assert (len(usage), lines) == (records, 2 * records), (len(usage), lines)
    assert total == bill.total_micros == RICH - account.balance_micros


async def race(url: str, holds: int) -> None:
    """Measure how many accounts two writing processes overspend, and how fast they place holds."""
    ledger = open_ledger(url)
    book = PriceBook(name="priceBooks/a", party="parties/power", currency="CNY")
    await ledger.apply([c.PublishBook(book.name, book.SerializeToString())])
    for number in range(RACED):
        name = f"accounts/{number}"
        await ledger.apply(
            [
                c.OpenAccount(name, f"parties/{number}", "CNY", AccountKind.CONSUMER, 1),
                c.CreditAccount(name, RACED_MICROS, f"credits/{number}", "parties/operator", 1),
            ]
        )
    spawn = multiprocessing.get_context("spawn")
    begun = time.perf_counter()
    told = spawn.Queue()
    racers = [spawn.Process(target=racer, args=(url, number, holds // WRITERS, told)) for number in range(WRITERS)]
    for process in racers:
        process.start()
    granted = sum([await asyncio.to_thread(told.get) for _ in racers], Counter[str]())
    took = time.perf_counter() - begun
    for process in racers:
        process.join()
    accounts = (await ledger.page(q.Accounts(q.Cut(2 * RACED, "", ""), ""))).items
    await ledger.close()
    kept = {account.name: account.held_micros for account in accounts if account.kind is AccountKind.CONSUMER}
    assert kept == {name: granted[name] for name in kept}
    overspent = sum(held > RACED_MICROS for held in kept.values())
    tell("overspent", overspent, "accounts")
    tell("overspent.spent", 100 * sum(kept.values()) / (RACED * RACED_MICROS), "%")
    tell("overspent.asked_rate", holds / took, "holds/s")


def racer(url: str, number: int, holds: int, told: Any) -> None:
    """A writing process: its clients ask for holds one after the other; tells what was granted of each account."""
    told.put(asyncio.run(raced(url, number, holds)))


async def raced(url: str, number: int, holds: int) -> Counter[str]:
    """What the holds of one process were granted."""
    ledger = open_ledger(url)
    granted: Counter[str] = Counter()
    waiting = iter(range(holds))

    async def client(seat: int) -> None:
        dice = random.Random(f"{number}-{seat}")
        for turn in waiting:
            account = f"accounts/{dice.randrange(RACED)}"
            ask = c.PlaceHold(
                name=f"holds/{number}-{turn}", account=account, placement=f"placements/{number}-{turn}", position=0,
                job="jobs/j", site="sites/a", amount_micros=dice.randint(1, 40), price_book="priceBooks/a", ask=b"",
                trace_id="", create_us=1,
            )  # fmt: skip
            [result] = await ledger.apply([ask])
            if isinstance(result, Hold):
                granted[account] += result.amount_micros
            elif result.reason != "BALANCE_INSUFFICIENT":
                raise result

    await asyncio.gather(*(client(seat) for seat in range(CLIENTS // WRITERS)))
    await ledger.close()
    return granted


def tell(name: str, value: float, unit: str) -> None:
    """One figure."""
    print(json.dumps({"name": name, "value": round(value, 1), "unit": unit}), flush=True)


def _key(raw: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(raw)


def _fields(settings: AccountingSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in AccountingSettings.__slots__}


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="different records to send")
    parser.add_argument("--holds", type=int, default=100_000, help="holds to ask for")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="where the ledger lies: a real disk")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-accounting-") as folder:
        asyncio.run(ingest(Path(folder), "", "ingest_rate", options.records))
    found = binaries()
    if found is None:
        print(ABSENT, file=sys.stderr)
        return
    with running(found) as server:
        with tempfile.TemporaryDirectory() as folder:
            database = server.new_database()
            asyncio.run(ingest(Path(folder), database, "ingest_rate_postgres", options.records))
        asyncio.run(race(server.new_database(), options.holds))


if __name__ == "__main__":
    main()
