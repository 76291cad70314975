"""How fast jobs are decided and placed: `python bench/scheduler.py [--jobs N]`.

Prints one JSON object a line, {"name", "value", "unit", "state"}:

- `round_rate`: jobs that `decide_round` decides in a second of one processor: 5,000 jobs of 50 classes over 10,000
  hosts, each seeing what those before it took. The first round knows nothing yet (`round_rate_first`); the later ones
  find the fleet as it was at first.
- `round_rate_full`: the same of one job a class where no host has room: with the change that would admit each.
- `round_rate_moving`: the same of 500 jobs of 50 classes that move data over links they share.
- `durable_cpu`: processor time of this process for each job of `durable_rate`, clients and stand-in included.
- `durable_rate`: jobs a second from the first submission until a watcher has seen the placement of the last. The
  scheduler as its main builds it, behind the real wrapper, over etcd with fsync; four clients submit batches of a
  hundred over TLS. Money is held by a stand-in for accounting in this process, whose holds are real ones in etcd.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path as FilePath
from random import Random

from suanmesh.accounting.v1 import account_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import capacity_pb2
from suanmesh_chassis import Common, ServiceContext
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_etcd3 import Client, connect
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.names import last
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.refusals import NotFound, Refusal
from suanmesh_local.etcd import EtcdCluster
from suanmesh_scheduler.domain.classes import Classes
from suanmesh_scheduler.domain.round import Turn, decide_round
from suanmesh_scheduler.domain.values import Ask, Host, JobSpec, Need, Offer, Path, Pool, Quote, Situation
from suanmesh_scheduler.main import build
from suanmesh_scheduler.ports import Hold
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_sdk import Mesh
from suanmesh_store import Create, Holds, NewHold, Store
from suanmesh_store.etcd import EtcdStore, elect
from suanmesh_store.layout import PLACEMENTS, POOLS, SITES

ROUNDS = 5
POOLS_MADE = 100
HOSTS_OF_POOL = 100
CLASSES = 50
MOVING = 500
BATCH = 100
CLIENTS = 4
SITES_MADE = 10
HOSTS = 20
GIB = 1 << 30
PATIENCE_S = 120.0


class Owners:
    """`Peers`: one account without end, one price for all, nothing that moves; a hold is a key in etcd."""

    def __init__(self, store: Store, pools: Sequence[str]) -> None:
        self._holds = Holds(store)
        self._pools = [pool_pb2.PoolState(name=pool) for pool in pools]
        self._account = account_pb2.Account(name="accounts/a", party="parties/acme", balance_micros=1 << 60)

    async def pool_states(self, resume_token: str) -> registry.ReadPoolStatesResponse:
        states = () if resume_token else self._pools
        return registry.ReadPoolStatesResponse(reset=not resume_token, states=states, resume_token="1")

    async def account(self, name: str) -> account_pb2.Account:
        return self._account

    async def spent(self, account: str, job: str) -> int:
        return 0

    async def dataset(self, name: str) -> dataset_pb2.Dataset:
        raise NotFound("DATASET_UNKNOWN", name, name=name)

    async def links(self) -> Sequence[link_pb2.Link]:
        return ()

    async def find_paths(self, queries: Sequence[network.PathQuery]) -> network.FindPathsResponse:
        raise AssertionError("nothing moves")

    async def quote(self, asks: Sequence[accounting.QuoteAsk]) -> Sequence[accounting.QuoteResult]:
        results = [accounting.QuoteResult() for _ in asks]
        for ask, result in zip(asks, results, strict=True):
            result.quote.amount_micros = int(last(ask.price_book)[1:]) + 1
        return results

    async def hold_money(self, asks: Sequence[accounting.HoldAsk]) -> Sequence[Hold | Refusal]:
        wanted = [NewHold(ask.placement, ask.index, b"{}", ask.attachment) for ask in asks]
        answers = zip(asks, await self._holds.put_many(wanted), strict=True)
        return [t if isinstance(t, Refusal) else Hold(f"holds/{last(ask.placement)}-0", t) for ask, t in answers]

    async def hold_paths(self, asks: Sequence[network.PathAsk]) -> Sequence[Hold | Refusal]:
        raise AssertionError("nothing moves")

    async def create_transfers(self, asks: Sequence[transport.TransferAsk]) -> Sequence[transfer_pb2.Transfer]:
        raise AssertionError("nothing moves")

    async def read_log(
        self, address: str, site: str, placement: str, task: int, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        raise AssertionError("nothing is read")
        yield b""


async def durable(jobs: int, folder: FilePath) -> float:
    """Jobs a second, submitted to seen placed."""
    async with (
        EtcdCluster(folder) as cluster,
        connect(cluster.endpoints, timeout_s=30.0) as client,
        LoopbackNode(folder) as node,
        asyncio.TaskGroup() as tasks,
    ):
        pools = await describe_sites(EtcdStore(client, "registry", SystemClock(), system_rng))
        store = await scheduler_store(client)
        process = node.process("scheduler")
        settings = SchedulerSettings(live_jobs_max=1 << 30, jobs_per_s=1e6, jobs_burst=1 << 30, resync_s=3600)
        context = ServiceContext(
            area="scheduler", node=NODE, settings=settings, common=Common(), clock=SystemClock(), rng=system_rng,
            store=store, mesh=node.mesh("127.0.0.1:1"), signer=process.signer, identity=process.identity,
            leadership=store.leadership, data_dir=folder,
        )  # fmt: skip
        parts = await build(context, Owners(EtcdStore(client, "accounting", SystemClock(), system_rng), pools))
        assert parts.term is not None
        led = await parts.term(context)
        background = [tasks.create_task(task()) for task in (*parts.tasks, *led.tasks)]
        address = await node.serve(process, led.servicers, requests=led.requests)
        await place(node.mesh(address, caller=USER), store, BATCH)  # warm
        begun, begun_cpu = time.perf_counter(), time.process_time()
        await place(node.mesh(address, caller=USER), store, jobs)
        took_s = time.perf_counter() - begun
        tell("durable_cpu", 1000 * (time.process_time() - begun_cpu) / jobs, "ms/job", "durable")
        for task in background:
            task.cancel()
    await context.closing.aclose()
    return jobs / took_s


async def describe_sites(store: Store) -> list[str]:
    """Sites with one pool of hosts each, and room for every job."""
    names = []
    for number in range(SITES_MADE):
        site, pool = f"sites/s{number}", f"sites/s{number}/pools/cpu"
        document = pool_pb2.Pool(
            name=pool, architecture="x86_64", phase=pool_pb2.Pool.PHASE_ACTIVE,
            hosts=[pool_pb2.Host(name=f"h{host}") for host in range(HOSTS)],
            offers=[pool_pb2.Offer(name=f"{pool}/offers/o", price_book=f"priceBooks/b{number}")],
            host_capacity=capacity_pb2.Capacity(cpu_milli=128_000, memory_bytes=512 * GIB, scratch_bytes=GIB),
        )  # fmt: skip
        await store.commit(
            Create(SITES, site, site_pb2.Site(name=site, liveness=site_pb2.Site.LIVENESS_ALIVE)),
            Create(POOLS, pool, document),
        )
        names.append(pool)
    return names


async def scheduler_store(client: Client) -> EtcdStore:
    """Fenced as a leader's is."""
    term = await elect(client, "scheduler", "127.0.0.1:0", 60)
    return EtcdStore(client, "scheduler", SystemClock(), system_rng, term)


async def place(user: Mesh, store: Store, jobs: int) -> None:
    """Submit jobs, and watch until as many placements more are there."""
    before = await store.snapshot(PLACEMENTS)
    watcher = asyncio.create_task(seen(store, before.revision, jobs))
    left = list(range(jobs // BATCH))

    async def submit() -> None:
        while left:
            left.pop()
            items = [pb.SubmitJob(job=a_job(number)) for number in range(BATCH)]
            answer = await user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items), timeout=PATIENCE_S)
            assert all(result.HasField("job") for result in answer.results), answer.results[0]

    await asyncio.gather(*(submit() for _ in range(CLIENTS)))
    async with asyncio.timeout(PATIENCE_S):
        await watcher


async def seen(store: Store, revision: int, count: int) -> None:
    """Wait for so many new placements."""
    names: set[str] = set()
    async for batch in store.watch(PLACEMENTS, revision):
        names.update(change.name for change in batch.changes if change.held is not None)
        if len(names) >= count:
            return


def a_job(number: int) -> job_pb2.Job:
    """One of fifty classes."""
    job = job_pb2.Job(account="accounts/a", max_duration_s=600)
    job.ask.cpu_milli, job.ask.memory_bytes = 10 + number % 10, (1 + number // 10 % 5) << 20
    job.package.variants.add(command=["true"])
    return job


def rounds(jobs: int) -> None:
    """Decide rounds of one snapshot, each job seeing what those before it took; nothing is read, held or kept."""
    turns = many_turns(jobs)
    rates = rates_of(turns, fits=True)
    tell("round_rate_first", rates[0], "jobs/cpu-s", "in memory")
    tell("round_rate", statistics.median(rates[1:]), "jobs/cpu-s", "in memory")
    larger = {turn.job: replace(turn.job, ask=replace(turn.job.ask, cpu_milli=100_000)) for turn in turns[:CLASSES]}
    full = [replace(turn, job=larger[turn.job]) for turn in turns[:CLASSES]]
    tell("round_rate_full", statistics.median(rates_of(full, fits=False)[1:]), "jobs/cpu-s", "in memory")
    moving = [moved(turn) for turn in turns[:CLASSES]] * (MOVING // CLASSES)
    tell("round_rate_moving", statistics.median(rates_of(moving, fits=True)), "jobs/cpu-s", "in memory")


def rates_of(turns: Sequence[Turn], *, fits: bool) -> list[float]:
    """Jobs decided in a second of one processor, round by round.

    Every round begins with nothing to collect: a full collection, of all that earlier rounds have left, takes as long
    as a round, and comes with every second one.
    """
    classes, rates = Classes(), []
    for _ in range(ROUNDS + 1):
        gc.collect()
        begun = time.process_time()
        decided = decide_round(turns, classes)
        rates.append(len(turns) / (time.process_time() - begun))
        assert all((each.verdict.chosen is not None) is fits for each in decided)
    return rates


def moved(turn: Turn) -> Turn:
    """The same of a job that reads what one site has, over a link to each of the others."""
    sites = [pool.site for pool in turn.situation.pools]
    source = sites[turn.job.ask.cpu_milli // 1000 % len(sites)]
    paths = {(source, site): Path((f"{source}-{site}",), 1000, 10**12, 1) for site in sites}
    need = Need("datasets/d", 10**8, frozenset({source}))
    return Turn(replace(turn.job, needs=(need,)), replace(turn.situation, paths=paths))


def many_turns(jobs: int) -> list[Turn]:
    """Jobs of fifty classes in turns, over 10,000 hosts in a hundred pools, each with a price of its own."""
    rng, capacity = Random(1), Capacity(64_000, 256 * GIB, GIB)
    hosts = tuple(Host(f"h{number}", capacity, capacity) for number in range(HOSTS_OF_POOL))
    names = [f"sites/s{number}/pools/p" for number in range(POOLS_MADE)]
    pools = tuple(
        Pool(name, name.removesuffix("/pools/p"), "x86_64", hosts, (Offer(f"{name}/offers/o", "priceBooks/b"),))
        for name in names
    )
    turns = []
    for number in range(CLASSES):
        quotes = {f"{name}/offers/o": Quote(rng.randint(100, 1000)) for name in names}
        job = JobSpec(Ask(1000 * (1 + number % 10), (1 + number // 10) * 4 * GIB), "accounts/a")
        turns.append(Turn(job, Situation(pools, datetime(2026, 1, 1, tzinfo=UTC), 1 << 60, {}, quotes)))
    return [turns[number % CLASSES] for number in range(jobs)]


def tell(name: str, value: float, unit: str, state: str) -> None:
    """One figure."""
    print(json.dumps({"name": name, "value": round(value, 1), "unit": unit, "state": state}), flush=True)


async def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    rounds(5000)
    with tempfile.TemporaryDirectory() as folder:
        tell("durable_rate", await durable(parser.parse_args().jobs, FilePath(folder)), "jobs/s", "durable")


if __name__ == "__main__":
    asyncio.run(main())
