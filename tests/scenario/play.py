"""One run: a world, a seed, and the books at its end."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from chaos import books, remains
from chaos.collecting import JOB_ENDS, _job, all_of
from chaos.facts import Facts
from chaos.records import Journal

from scenario.clients import Client
from scenario.findings import Findings
from scenario.nemesis import Nemesis, SeededKeys, SeededLinks
from scenario.node import SimulatedNode
from scenario.story import World, plan
from scenario.virtual_time import Deadlock, run
from scenario.watch import watched_databases
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.network_orchestrator.v1 import reservation_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import world as local
from suanmesh_sdk import Mesh
from suanmesh_store.layout import HOLDS

QUIET_S_MAX = 900.0
"""How long after the faults everything may take to come to rest."""
LOOK_S = 5.0
PAGE = 500
JUDGED = ("jobs", "cancellations", "placements", "runs", "holds", "money", "answers")
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    violations: tuple[str, ...]
    events: int
    jobs: int
    simulated_s: float


def play(world: World, seed: int, tell: Tell = lambda line: None) -> Outcome:
    """Run a world by a seed."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder, _no_garbage_collected():
        try:
            return run(_played(world, seed, Path(folder), tell), seed=seed)
        except Deadlock as found:
            return Outcome((f"DEADLOCK: {found}",), 0, 0, 0.0)
        except Exception:  # noqa: BLE001 - whatever ends a run is its outcome, and the other seeds go on
            return Outcome((f"ENDED: {traceback.format_exc()}",), 0, 0, 0.0)


async def _played(world: World, seed: int, folder: Path, tell: Tell) -> Outcome:
    links, keys = SeededLinks(world, seed), SeededKeys(world, seed)
    node = SimulatedNode(
        folder, seed, sites=world.sites, cores=world.cores, liar=world.liar, links=links,
        keys_delay_s=keys.delay_s, keys_fault=keys.fault, standbys=world.standbys, clocks_off_s=world.clocks_off_s,
        signing_key_days=world.signing_key_days,
    )  # fmt: skip
    facts = Facts(Journal())
    with watched_databases(node.findings, keys.death), _telling_defects(node.findings):
        async with node:
            operator = node.mesh("operator", "olga")
            client = Client(world, seed, node.mesh(local.CONSUMER, "alice"), facts.journal, node.clock)
            nemesis = Nemesis(node, seed, lambda line: tell(f"{node.clock.monotonic():9.3f} s  {line}"))
            keys.strike, keys.armed = nemesis.strike, True
            links.calm = keys.calm = False
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(client.run())
                tasks.create_task(nemesis.run(plan(world, seed)))
            links.calm = keys.calm = True
            keys.armed = False
            await nemesis.revive()
            facts.unquiet = await _quiet(node, operator)
            await _collect(facts, node, operator)
            facts.ledger = remains.ledger_of(folder / "accounting" / "ledger.sqlite")
    wrong = [violation for name in JUDGED for violation in books.BOOKS[name](facts)]
    found = (*node.findings.violations, *node.faults, *wrong)
    return Outcome(found, node.findings.events, len(facts.jobs), node.clock.monotonic())


async def _quiet(node: SimulatedNode, operator: Mesh) -> list[str]:
    """Wait until everything has come to rest; what has not when the time is up."""
    until = node.clock.monotonic() + QUIET_S_MAX
    while True:
        try:
            stirring = await _stirring(node, operator)
        except Refusal as refusal:
            stirring = [f"a call is refused: {refusal}"]
        if not stirring or node.clock.monotonic() > until:
            return stirring
        await asyncio.sleep(LOOK_S)


async def _stirring(node: SimulatedNode, operator: Mesh) -> list[str]:
    """What has not come to rest: jobs, money, bandwidth, tokens, usage, tasks."""
    jobs = await all_of(operator.scheduler.ListJobs, scheduler.ListJobsRequest(page_size=PAGE), "jobs")
    described = [_job(job) for job in jobs]
    found = [f"{job.name} is {job.state}: {job.reason}" for job in described if job.state not in JOB_ENDS]
    holds = await all_of(operator.accounting.ListHolds, accounting.ListHoldsRequest(page_size=PAGE), "holds")
    found += [f"{hold.name} is held" for hold in holds if hold.state != usage_pb2.Hold.STATE_RELEASED]
    net = operator.network_orchestrator
    kept = await all_of(net.ListReservations, network.ListReservationsRequest(page_size=PAGE), "reservations")
    found += [f"{each.name} is reserved" for each in kept if each.state != reservation_pb2.Reservation.STATE_RELEASED]
    found += [entry.key for entry in (await node.keys.scan(HOLDS)).entries]
    found += [
        f"{site}: {unsent} records of usage" for site, each in node.sites.items() if (unsent := each.unsent_usage())
    ]
    return found + [f"{site}: {key} runs" for site, each in node.sites.items() for key in each.engine.running()]


async def _collect(facts: Facts, node: SimulatedNode, operator: Mesh) -> None:
    jobs = await all_of(operator.scheduler.ListJobs, scheduler.ListJobsRequest(page_size=PAGE), "jobs")
    off_s = node.services["scheduler"].clock.off_s
    facts.jobs = [replace(job, end_at=job.end_at - off_s) for job in map(_job, jobs)]
    facts.changes = node.keys.changes
    facts.runs = [run for site in node.sites.values() for run in site.engine.runs.values()]
    facts.held = facts.unquiet


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Looking for cycles takes a tenth of the time, and at moments that depend on what ran before in the process."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@contextmanager
def _telling_defects(findings: Findings) -> Iterator[None]:
    """Lines of the log that tell of a defect are findings; the rest is not written."""

    def look(_: object, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if event.get("event") in remains.DEFECT_EVENTS or event.get("exc_info"):
            fault = event.get("exc_info")
            findings.add(f"DEFECT: {event.get('process', '')}: {event.get('event')} {event.get('work', '')}: {fault!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, look],
        wrapper_class=structlog.make_filtering_bound_logger(ERROR),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


ERROR = 40
"""Level of the lines that are looked at."""


def _memory() -> str | None:
    """Where files are in memory, if such a place is there."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
