"""One job from a decision to a placement: hold path and money in one round, then one transaction."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.scheduler.v1 import booking_pb2, decision_pb2, job_pb2, placement_pb2
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_job, bound_placement
from suanmesh_scheduler.domain.decide import decide
from suanmesh_scheduler.domain.fitting import taken
from suanmesh_scheduler.domain.relax import with_change
from suanmesh_scheduler.domain.states import JobState, job_moved
from suanmesh_scheduler.domain.values import Candidate, Verdict
from suanmesh_scheduler.gathering import Gathered, Gathering
from suanmesh_scheduler.ports import Areas, Hold
from suanmesh_store import Change, Create, Held, Store, Update, attachment_of, confirmed
from suanmesh_store.archive import Archive, Keep
from suanmesh_store.layout import DECISIONS, PLACEMENTS, SITE_BOOKINGS
from suanmesh_telemetry import current_traceparent, names, span


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with what it was made from."""

    verdict: Verdict
    decision: decision_pb2.Decision
    gathered: Gathered


@dataclass(frozen=True, slots=True)
class Holds:
    """What a placement holds before it is committed."""

    money: Hold
    paths: tuple[Hold, ...]

    @property
    def all(self) -> tuple[Hold, ...]:
        """Every hold."""
        return (self.money, *self.paths)


class Placing:
    """Decides jobs and commits placements."""

    def __init__(
        self,
        store: Store,
        gathering: Gathering,
        areas: Areas,
        archive: Archive,
        clock: Clock,
        rng: Rng,
        lease_s: float,
        fence: int,
    ) -> None:
        """`fence` is the create_revision of this scheduler's election key, kept with every placement."""
        self._store = store
        self._gathering = gathering
        self._areas = areas
        self._archive = archive
        self._clock = clock
        self._rng = rng
        self._lease_s = lease_s
        self._fence = fence

    async def decide(self, job: job_pb2.Job) -> Decided:
        """What would be decided now; stores nothing."""
        gathered = await self._gathering.gather(job)
        verdict = decide(gathered.spec, gathered.situation)
        verdict = with_change(verdict, gathered.spec, gathered.situation)
        decision = wire.decision_to(verdict)
        decision.read.CopyFrom(gathered.read)
        decision.job = job.name
        decision.trace_id = job.trace_id
        decision.create_time.FromDatetime(self._clock.now())
        return Decided(verdict, decision, gathered)

    async def place(self, held: Held[job_pb2.Job]) -> None:
        """Decide a waiting job and, where something fits, commit it. Raises what stands in the way of that."""
        with span(names.DECIDE_JOB, parent=held.traceparent, job=held.name) as deciding:
            decided = await self.decide(held.message)
            deciding.set_attribute("suanmesh.candidates", len(decided.verdict.candidates))
        decided.decision.name = await self._next_name(held.message)
        chosen = decided.verdict.chosen
        if chosen is None:
            await self._wait(held, decided)
            return
        placement_name = f"placements/{sortable_id(self._clock.now(), self._rng)}"
        async with AsyncExitStack() as round_lease:
            with span(names.HOLD_PLACEMENT, parent=held.traceparent, job=held.name, placement=placement_name):
                lease = await round_lease.enter_async_context(await self._store.open_lease(self._lease_s))
                holds = await self._hold(held.message, placement_name, decided, chosen, attachment_of(lease))
            with span(names.COMMIT_PLACEMENT, parent=held.traceparent, job=held.name, placement=placement_name):
                await self._commit(held, placement_name, decided, chosen, holds)
                await round_lease.aclose()

    async def _next_name(self, job: job_pb2.Job) -> str:
        number = int(job.decision.rsplit("/", 1)[-1]) + 1 if job.decision else 1
        return f"{job.name}/decisions/{number}"

    async def _wait(self, held: Held[job_pb2.Job], decided: Decided) -> None:
        """Keep the decision that nothing fits, unless the last one says the same."""
        last = await self._archive.get(DECISIONS, held.message.decision) if held.message.decision else None
        job = held.draft()
        job.state_reason = f"NO_PLACE: {decided.verdict.reason}"
        bound_job(job)
        if last is not None and wire.same_answer(last, decided.decision):
            if job.state_reason != held.message.state_reason:
                await self._store.commit(Update(held, job))
            return
        job.decision = decided.decision.name
        await self._archive.keep(Keep(DECISIONS, decided.decision.name, decided.decision))
        await self._store.commit(Update(held, job))

    async def _hold(
        self, job: job_pb2.Job, placement: str, decided: Decided, chosen: Candidate, attachment: str
    ) -> Holds:
        traceparent = current_traceparent()
        paths = []
        for index, route in enumerate(chosen.routes):
            ask = network.PathAsk(
                placement=placement,
                index=index,
                attachment=attachment,
                source=route.end,
                target=chosen.site,
                rate_bps=route.rate_bps,
                max_latency_us=decided.gathered.spec.max_latency_us,
                traceparent=traceparent,
            )
            paths.append(await self._areas.hold_path(ask))
        money = accounting.HoldAsk(
            placement=placement,
            attachment=attachment,
            account=job.account,
            amount_micros=chosen.cost_micros or 0,
            job=job.name,
            decision=decided.decision.name,
            site=chosen.site,
            price_book=chosen.price_book,
            link_prices=await self._link_prices(chosen),
            traceparent=traceparent,
        )
        return Holds(await self._areas.hold_money(money), tuple(paths))

    async def _link_prices(self, chosen: Candidate) -> list[accounting.LinkPrice]:
        """The prices of every way in and out, each for what moves from its one end to its other."""
        ways = [(route, route.end, chosen.site) for route in chosen.routes]
        ways += [(home, chosen.site, home.end) for home in chosen.homes]
        links = [link for link in await self._areas.links() if link.HasField("price")] if ways else []
        return [
            accounting.LinkPrice(link=link.name, party=link.owner, price=link.price, source=source, target=target)
            for way, source, target in ways
            for link in links
            if link.name in way.path.links
        ]

    async def _commit(
        self, held: Held[job_pb2.Job], placement_name: str, decided: Decided, chosen: Candidate, holds: Holds
    ) -> None:
        """One transaction: every hold stands, job and book are as they were read, this scheduler still leads."""
        placement = _placement(held.message, placement_name, decided, chosen, holds)
        placement.create_time.FromDatetime(self._clock.now())
        placement.traceparent = current_traceparent()
        job = held.draft()
        job.decision = decided.decision.name
        job.placement = placement_name
        job.attempt += 1
        placement.attempt = job.attempt
        placement.fence = self._fence
        bound_placement(placement)
        chosen_for = f"CHOSEN: {decided.verdict.reason}"
        wire.set_job_state(job, job_moved(wire.job_state(job), JobState.PLACED), chosen_for, self._clock.now())
        changes: list[Change] = [confirmed(hold.token) for hold in holds.all]
        changes += [
            Create(PLACEMENTS, placement_name, placement),
            self._booked(decided.gathered, chosen),
            Update(held, job),
        ]
        await self._archive.keep(Keep(DECISIONS, decided.decision.name, decided.decision))
        await self._store.commit(*changes)

    def _booked(self, gathered: Gathered, chosen: Candidate) -> Change:
        standing = gathered.bookings.get(chosen.site)
        commits = standing.message.commits if standing else 0
        book = booking_pb2.SiteBooking(name=chosen.site, commits=commits + 1)
        return Create(SITE_BOOKINGS, chosen.site, book) if standing is None else Update(standing, book)


def _placement(
    job: job_pb2.Job, name: str, decided: Decided, chosen: Candidate, holds: Holds
) -> placement_pb2.Placement:
    pool = next(pool for pool in decided.gathered.situation.pools if pool.name == chosen.pool)
    first = next(host for host in pool.hosts if host.name == chosen.slots[0][0])
    per_task = wire.capacity_to(taken(decided.gathered.spec.ask, first))
    runs = [placement_pb2.HostRun(host=host, tasks=tasks) for host, tasks in chosen.slots]
    return placement_pb2.Placement(
        name=name,
        job=job.name,
        site=chosen.site,
        legs=[placement_pb2.Leg(pool=chosen.pool, hosts=runs, per_task=per_task)],
        holds=[hold.name for hold in holds.all],
        state=placement_pb2.Placement.STATE_COMMITTED,
        state_reason=f"CHOSEN: {decided.verdict.reason}",
        decision=decided.decision.name,
        account=job.account,
        reservation=holds.paths[0].name if holds.paths else "",
        routes=[
            placement_pb2.InputRoute(source=route.end, reservation=hold.name, rate_bps=route.rate_bps)
            for route, hold in zip(chosen.routes, holds.paths, strict=True)
        ],
        party=job.party,
        offer=chosen.offer,
        work=placement_pb2.Work(
            ask=job.ask,
            variant=job.package.variants[chosen.variant],
            inputs=job.inputs,
            outputs=job.outputs,
            count=max(1, job.task.count),
            max_duration_s=job.max_duration_s,
        ),
    )
