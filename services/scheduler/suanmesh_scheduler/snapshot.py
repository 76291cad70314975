"""What a round is decided from: mirrors, and one call to each other area for all of its jobs together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from suanmesh.accounting.v1 import account_pb2
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh.transport.v1 import dataset_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.months import begin_of, month_of, next_month
from suanmesh_kernel.refusals import NotFound, Refusal
from suanmesh_scheduler import wire
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.domain.round import Turn
from suanmesh_scheduler.domain.values import JobSpec, MonthBudget, Need, Offer, PartyBudget, Pool, Quote, Situation
from suanmesh_scheduler.fleet import FleetReader
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.quotes import QuoteReader, Quotes, most_readings
from suanmesh_scheduler.sharing import both, each, found
from suanmesh_scheduler.ways import Ways, find_ways


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read for the jobs of a round."""

    turns: tuple[Turn | Refusal, ...]
    """In the order of the jobs; a job whose own data could not be read has the reason."""
    pools: int
    """How many were read: the candidates of every job."""
    links: Mapping[str, link_pb2.Link]
    """By name; empty where no job moves data."""
    revisions: decision_pb2.Revisions


@dataclass(frozen=True, slots=True)
class _Own:
    """What single jobs name, each looked up once, with what was refused of it."""

    datasets: Mapping[str, dataset_pb2.Dataset | Refusal]
    accounts: Mapping[str, account_pb2.Account | Refusal]
    spent: Mapping[tuple[str, str], int | Refusal]
    """By account and job, of jobs that were placed before."""


@dataclass(frozen=True, slots=True)
class _World:
    """What all jobs of the round see alike."""

    pools: tuple[Pool, ...]
    now: datetime
    ways: Ways
    quotes: Quotes
    situations: dict[Hashable, Situation] = field(default_factory=dict)
    """By all that tells them apart: equal jobs of one account share theirs."""


class SnapshotReader:
    """Reads what a round is decided from."""

    def __init__(self, mirrors: Mirrors, peers: Peers, clock: Clock, circuits: Circuits) -> None:
        self._mirrors = mirrors
        self._peers = peers
        self._clock = clock
        self._fleet = FleetReader(mirrors, circuits, peers, clock)
        self._quotes = QuoteReader(peers, clock)

    async def read(self, jobs: Sequence[job_pb2.Job], *, anew: bool = True) -> Snapshot:
        """Everything that the jobs are decided from; quotes may be those of a moment ago, unless asked for `anew`.

        Raises what the other areas refuse for all of them.
        """
        own, pools = await both(self._own(jobs), self._fleet.pools())
        specs = [_spec(job, own, self._clock.now()) for job in jobs]
        known = [spec for spec in specs if isinstance(spec, JobSpec)]
        ways, quotes = await both(
            find_ways(self._peers, known, (pool.site for pool in pools)),
            self._quotes.read(known, _offers(pools), anew=anew),
        )
        world = _World(pools, self._clock.now(), ways, quotes)
        turns = tuple(
            Turn(spec, _situation(spec, job, own, world)) if isinstance(spec, JobSpec) else spec
            for job, spec in zip(jobs, specs, strict=True)
        )
        revisions = decision_pb2.Revisions(
            registry=max(self._mirrors.pools.revision, self._mirrors.sites.revision),
            scheduler=self._mirrors.placements.revision,
            network_orchestrator=ways.revision,
        )
        return Snapshot(turns, len(pools), ways.links, revisions)

    async def _own(self, jobs: Sequence[job_pb2.Job]) -> _Own:
        return _Own(
            datasets=await each(self._peers.dataset, (part.dataset for job in jobs for part in job.inputs)),
            accounts=await each(self._peers.account, (job.account for job in jobs)),
            spent=await each(self._spent, ((job.account, job.name) for job in jobs if job.attempt)),
        )

    async def _spent(self, job: tuple[str, str]) -> int:
        return await self._peers.spent(*job)


def _spec(job: job_pb2.Job, own: _Own, now: datetime) -> JobSpec | Refusal:
    """The job as the rules see it, or what was refused of that which it alone needs."""
    inputs = [(part.dataset, own.datasets[part.dataset]) for part in job.inputs]
    read: list[object] = [own.accounts[job.account]]
    read += [own.spent[job.account, job.name]] if job.attempt else []
    read += [dataset for _, dataset in inputs if not isinstance(dataset, NotFound)]
    refused = next((answer for answer in read if isinstance(answer, Refusal)), None)
    return refused or wire.spec_from(job, [_need(name, dataset) for name, dataset in inputs], now)


def _situation(spec: JobSpec, job: job_pb2.Job, own: _Own, world: _World) -> Situation:
    """What one job of the round sees of all that was read."""
    readings = most_readings(spec)
    alike = (job.account, readings, spec.needs, spec.results, spec.min_bandwidth_bps, spec.max_latency_us)
    if alike not in world.situations:
        account = found(own.accounts[job.account])
        priced = {offer.name: world.quotes.get((offer.price_book, readings)) for offer in _offers(world.pools)}
        payable = {name: quote for name, quote in priced.items() if quote and quote.currency == account.currency}
        free_micros, month = _free_of(account, world.now)
        world.situations[alike] = Situation(
            pools=world.pools,
            now=world.now,
            free_micros=free_micros,
            month=month,
            party_budget=_party_budget_of(account, world.now),
            paths=world.ways.inputs(spec),
            quotes={name: Quote(quote.amount_micros) for name, quote in payable.items()},
            held_micros=account.held_micros,
            openings=world.ways.openings(spec),
            homes=world.ways.homes(spec),
        )
    spent_micros = found(own.spent[job.account, job.name]) if job.attempt else 0
    return replace(world.situations[alike], spent_micros=spent_micros)


def _free_of(account: account_pb2.Account, now: datetime) -> tuple[int, MonthBudget | None]:
    """What an account has for new holds, and its budget where that leaves less than the balance."""
    free = account.balance_micros - account.held_micros
    if not account.HasField("budget") or account.budget.enforcement == account_pb2.Budget.ENFORCEMENT_SOFT:
        return free, None
    left, renews = _left_of(account.budget, account.held_micros, now)
    return (free, None) if left >= free else (left, MonthBudget(account.budget.amount_micros, renews))


def _party_budget_of(account: account_pb2.Account, now: datetime) -> PartyBudget | None:
    """The hard budget of an account's party; None where it has none."""
    budget = account.party_budget
    if not account.HasField("party_budget") or budget.enforcement == account_pb2.Budget.ENFORCEMENT_SOFT:
        return None
    left, renews = _left_of(budget, budget.held_micros, now)
    return PartyBudget(account.party, account.currency, budget.amount_micros, left, renews)


def _left_of(budget: account_pb2.Budget, held_micros: int, now: datetime) -> tuple[int, datetime]:
    month = max(month_of(now), budget.month)
    spent = budget.spent_micros if budget.month == month else 0
    return budget.amount_micros - spent - held_micros, begin_of(next_month(month))


def _offers(pools: Iterable[Pool]) -> Iterator[Offer]:
    return (offer for pool in pools for offer in pool.offers)


def _need(name: str, dataset: dataset_pb2.Dataset | Refusal) -> Need:
    """A dataset that is gone since is nowhere: its job waits with that obstacle."""
    if isinstance(dataset, Refusal):
        return Need(name, 0, frozenset())
    complete = [r.site for r in dataset.replicas if r.state == dataset_pb2.Replica.STATE_COMPLETE]
    return Need(name, dataset.bytes, frozenset(complete), frozenset(dataset.residency))
