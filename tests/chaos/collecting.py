"""Collecting what the books are judged by, from a node that is at rest and then from what it leaves on disk."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from chaos.facts import Dataset, Facts, Job, Process
from chaos.records import Journal
from chaos.tasks import letter_of
from chaos.world import ChaosNode
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.network_orchestrator.v1 import reservation_pb2
from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import capacity_pb2
from suanmesh_agent.engines.process.shim_server import PROCESS_NAME
from suanmesh_etcd3 import EtcdError, connect
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.identities import ETCD_ROOT_DIR
from suanmesh_sdk import Mesh
from suanmesh_sdk.state_reasons import words
from suanmesh_store.layout import HOLDS

CALL_S = 10.0
LOOK_S = 1.0
AWAY_S_MAX = 20.0
PAGE = 500
JOB_STATES = {v.number: v.name.removeprefix("STATE_") for v in job_pb2.Job.State.DESCRIPTOR.values}
TRANSFER_STATES = {v.number: v.name.removeprefix("STATE_") for v in transfer_pb2.Transfer.State.DESCRIPTOR.values}
ENDED_TRANSFERS = ("DONE", "FAILED", "CANCELLED")
JOB_ENDS = ("DONE", "FAILED", "CANCELLED")


async def quiet(node: ChaosNode, operator: Mesh, seconds: float, tell: Callable[[str], None]) -> list[str]:
    """Wait until everything has come to rest; what has not when the time is up."""
    until, told = time.monotonic() + seconds, ""
    while True:
        stirring = await stirring_now(node, operator)
        if not stirring or time.monotonic() > until:
            return stirring
        if stirring[0] != told:
            told = stirring[0]
            tell(f"not at rest: {len(stirring)} things, such as {told}")
        await asyncio.sleep(LOOK_S)


async def stirring_now(node: ChaosNode, operator: Mesh) -> list[str]:
    """What has not come to rest."""
    try:
        jobs = await all_of(operator.scheduler.ListJobs, scheduler.ListJobsRequest(page_size=PAGE), "jobs")
        found = [
            f"{job.name} is {JOB_STATES[job.state]}: {words(job.state_reason)}" for job in jobs if not _is_end(job)
        ]
        moves = await all_of(
            operator.transport.ListTransfers, transport.ListTransfersRequest(page_size=PAGE), "transfers"
        )
        found += [f"{t.name} is {TRANSFER_STATES[t.state]}" for t in moves if not _has_ended(t)]
        return found + await held_now(node, operator) + tasks_now(node)
    except (Refusal, EtcdError) as refusal:
        return [f"a call is refused: {refusal}"]


async def held_now(node: ChaosNode, operator: Mesh) -> list[str]:
    """What is held: money, bandwidth, capacity, and keys of holds in etcd."""
    holds = await all_of(operator.accounting.ListHolds, accounting.ListHoldsRequest(page_size=PAGE), "holds")
    found = [f"{hold.name} of {hold.job}" for hold in holds if hold.state != usage_pb2.Hold.STATE_RELEASED]
    net = operator.network_orchestrator
    reservations = await all_of(net.ListReservations, network.ListReservationsRequest(page_size=PAGE), "reservations")
    found += [each.name for each in reservations if each.state != reservation_pb2.Reservation.STATE_RELEASED]
    links = await all_of(net.ListLinks, network.ListLinksRequest(page_size=PAGE), "links")
    found += [f"{link.name}: {link.state.reserved_bps} bit/s" for link in links if link.state.reserved_bps]
    pools = await operator.registry.SearchPools(registry.SearchPoolsRequest(), timeout=CALL_S)
    for each in pools.pools:
        whole = sum(_capacity(each.pool, host).cpu_milli for host in each.pool.hosts)
        if each.state.free.cpu_milli != whole:
            found.append(f"{each.pool.name} has {each.state.free.cpu_milli} of {whole} milli-cores free")
    sites = await operator.registry.ListSites(registry.ListSitesRequest(), timeout=CALL_S)
    found += [f"{site.name} is not alive" for site in sites.sites if site.liveness != site_pb2.Site.LIVENESS_ALIVE]
    async with connect(node.endpoints, tls=node.identities.etcd_client(ETCD_ROOT_DIR), timeout_s=5.0) as client:
        return found + [kv.key.decode() for kv in (await client.snapshot(HOLDS)).kvs]


def tasks_now(node: ChaosNode) -> list[str]:
    """Shims of tasks of this node that run."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        line = process.info["cmdline"] or []
        if process.info["name"] == PROCESS_NAME and any(str(node.folder) in part for part in line):
            found.append(f"task of pid {process.pid}")
    return found


def measured(node: ChaosNode) -> list[Process]:
    """Memory and open files of every process of the node but etcd's."""
    found = []
    members = {member.name for member in node.etcd}
    for name, pid in node.pids().items():
        if pid and name not in members:
            process = psutil.Process(pid)
            found.append(Process(name, pid, process.memory_info().rss >> 20, process.num_fds()))
    return found


async def collect(facts: Facts, operator: Mesh) -> None:
    """What can be asked for over the API: jobs, transfers, and the content of every dataset that must be there."""
    jobs = await all_of(operator.scheduler.ListJobs, scheduler.ListJobsRequest(page_size=PAGE), "jobs")
    facts.jobs = [_job(job) for job in jobs]
    for answer in facts.journal.answered:
        if answer.name and answer.name not in {job.name for job in facts.jobs}:
            facts.jobs += await _found(operator, answer.name)
    moves = await all_of(operator.transport.ListTransfers, transport.ListTransfersRequest(page_size=PAGE), "transfers")
    facts.transfers = {t.name: TRANSFER_STATES[t.state] for t in moves}
    facts.transfer_reasons = [words(t.state_reason) for t in moves if TRANSFER_STATES[t.state] == "FAILED"]
    facts.expected_outputs = expected_outputs(facts.jobs, facts.journal)
    for name, path in {
        **{each.name: "bytes" for each in facts.journal.published},
        **dict.fromkeys(facts.expected_outputs, "x"),
    }.items():
        facts.datasets[name] = await _read(operator, name, path)


def expected_outputs(jobs: Iterable[Job], journal: Journal) -> dict[str, str]:
    """SHA-256 of the file that each DONE job with an output must have left, by its dataset."""
    asked = {each.marker: each for each in journal.asked}
    wanted = {}
    for job in jobs:
        each = asked.get(job.marker)
        if each is not None and each.output_bytes and job.state == "DONE":
            content = letter_of(job.marker).encode() * each.output_bytes
            dataset = next((name for name in job.outputs if "-log" not in name), f"datasets/none-of-{job.marker}")
            wanted[dataset] = hashlib.sha256(content).hexdigest()
    return wanted


async def all_of(call: Callable[..., Any], request: Any, field: str) -> list[Any]:
    """Everything on all pages of a list call. Raises Refusal."""
    found: list[Any] = []
    while True:
        answer = await call(request, timeout=CALL_S)
        found += getattr(answer, field)
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def _found(operator: Mesh, name: str) -> list[Job]:
    try:
        return [_job(await operator.scheduler.GetJob(scheduler.GetJobRequest(name=name), timeout=CALL_S))]
    except Refusal:
        return []


def _job(job: job_pb2.Job) -> Job:
    return Job(
        name=job.name,
        marker=job.display_name,
        state=JOB_STATES[job.state],
        reason=words(job.state_reason),
        history=tuple(JOB_STATES[change.state] for change in job.history),
        placement=job.placement,
        end_at=job.end_time.ToNanoseconds() / 1e9,
        outputs=tuple(job.output_datasets),
    )


async def _read(operator: Mesh, name: str, path: str) -> Dataset:
    """Read it, again for a while where somebody is away: who leads may change at any time."""
    until = time.monotonic() + AWAY_S_MAX
    while True:
        found = await _read_once(operator, name, path)
        if not found.error.startswith("UNAVAILABLE") or time.monotonic() > until:
            return found
        await asyncio.sleep(LOOK_S)


async def _read_once(operator: Mesh, name: str, path: str) -> Dataset:
    try:
        stored = await operator.transport.GetDataset(transport.GetDatasetRequest(name=name), timeout=CALL_S)
        hashed = hashlib.sha256()
        async for piece in operator.transport.ReadFile(
            transport.ReadFileRequest(dataset=name, path=path.encode()), timeout=CALL_S
        ):
            hashed.update(piece.content)
    except Refusal as refusal:
        return Dataset(name, "", "", str(refusal))
    return Dataset(name, stored.digest, hashed.hexdigest())


def _capacity(pool: pool_pb2.Pool, host: pool_pb2.Host) -> capacity_pb2.Capacity:
    return host.capacity if host.HasField("capacity") else pool.host_capacity


def _is_end(job: job_pb2.Job) -> bool:
    return JOB_STATES[job.state] in JOB_ENDS


def _has_ended(transfer: transfer_pb2.Transfer) -> bool:
    return TRANSFER_STATES[transfer.state] in ENDED_TRANSFERS
