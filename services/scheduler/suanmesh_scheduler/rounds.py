"""Rounds: jobs that wait are decided together, held for with one call to each owner and committed together."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_placement
from suanmesh_scheduler.commits import commit_each
from suanmesh_scheduler.domain.classes import Classes
from suanmesh_scheduler.domain.round import Decided, Turn, decide_round
from suanmesh_scheduler.domain.states import PlacementState
from suanmesh_scheduler.holding import Chosen, Holding, Holds
from suanmesh_scheduler.jobs import Job, Jobs
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.sharing import both
from suanmesh_scheduler.snapshot import Snapshot, SnapshotReader
from suanmesh_scheduler.unplaced import Unplaced, keep_unplaced
from suanmesh_sdk.state_reasons import reason_to
from suanmesh_sdk.values import capacity_to
from suanmesh_store import Change, Conflict, Create, Held, RoundLease, Store, Update, attachment_of, confirmed
from suanmesh_store.layout import PLACEMENTS, holds_of
from suanmesh_telemetry import Span, ended_span, names, span, traceparent_of

MIRROR_S_MAX = 5.0
"""How long the mirrors may be behind what was committed last."""
DOUBT_PAUSE_S = 0.2
"""How long to wait until a commit whose outcome is not known is looked for again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round has left over."""

    refused: dict[str, Refusal] = field(default_factory=dict)
    """By job: what stood in the way of writing what was decided of it."""
    again: set[str] = field(default_factory=set)
    """Jobs that nothing fits because of what this round took or meant to take: the next can tell."""
    placed: tuple[str, ...] = ()
    """Jobs that were given a place."""
    full_for: frozenset[Hashable] = frozenset()
    """The likeness of jobs that nothing fits, however much room there is for others."""


@dataclass(frozen=True, slots=True)
class _Round:
    """What a round has decided."""

    links: Mapping[str, link_pb2.Link]
    made: wire.Made = field(default_factory=dict)
    chosen: list[Chosen] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)


class Rounds:
    """Decides jobs that wait, a round at a time, and commits placements.

    It is the only writer of placements as long as its term lasts, and a commit compares the term: what a round has
    committed is booked by the next, which begins when the mirrors show it.
    """

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        snapshots: SnapshotReader,
        peers: Peers,
        jobs: Jobs,
        clock: Clock,
        rng: Rng,
        settings: SchedulerSettings,
    ) -> None:
        self._store = store
        self._mirrors = mirrors
        self._snapshots = snapshots
        self._holding = Holding(peers)
        self._jobs = jobs
        self._clock = clock
        self._rng = rng
        self._lease_s = settings.round_lease_s
        self._lease: RoundLease | None = None
        self._lease_until_s = 0.0
        self._fence = store.leadership.fence if store.leadership else 0
        self._classes = Classes()
        self._placed: int | None = None
        self._in_doubt: list[str] = []
        """Placements of a commit whose outcome is not known."""

    async def plan(self, jobs: Sequence[job_pb2.Job]) -> list[decision_pb2.Decision | Refusal]:
        """What would be decided now of each alone; stores nothing."""
        if not jobs:
            return []
        snapshot = await self._snapshots.read(jobs)
        return [
            turn if isinstance(turn, Refusal) else self._decision(job, decide_round([turn])[0], snapshot.revisions, {})
            for job, turn in zip(jobs, snapshot.turns, strict=True)
        ]

    async def caught_up(self) -> None:
        """Wait until the mirrors show what the last round committed, before the first one what earlier leaders have.

        A commit whose outcome is not known can succeed as long as its holds stand. Raises Unavailable (`NOT_READY`).
        """
        try:
            async with asyncio.timeout(MIRROR_S_MAX):
                while self._in_doubt:
                    if await self._may_come(self._in_doubt[-1]):
                        await asyncio.sleep(DOUBT_PAUSE_S)
                    else:
                        self._in_doubt.pop()
                if self._placed is None:  # no earlier leader can commit any more: this term has begun
                    standing = (await self._store.snapshot(PLACEMENTS)).held
                    self._placed = max((held.mod_revision for held in standing), default=0)
                await self._mirrors.placements.wait_for(self._placed)
        except TimeoutError:
            raise Unavailable("NOT_READY", "the scheduler's mirrors are behind", domain="mesh.suanmesh") from None

    async def place(self, waiting: Sequence[Job]) -> Outcome:
        """Decide jobs that wait, in order, and commit what fits. Raises what stands in the way of all of them.

        Call `caught_up` before the jobs are read; a round that is tried again must see what the first has committed.
        """
        await self.caught_up()
        decided = await self._decide(waiting)
        outcome = decided.outcome
        outcome.refused.update(await self._commit(decided))
        placed = tuple(each.job.name for each in decided.chosen if each.job.name not in outcome.refused)
        if len(placed) < len(decided.chosen):
            outcome.again.update(each.job.name for each in decided.unplaced)  # there may be room for them after all
            return replace(outcome, placed=placed)
        outcome.refused.update(await keep_unplaced(self._jobs, decided.unplaced))
        now = self._clock.now()
        full_for = frozenset(wire.likeness(each.job.message, now) for each in decided.unplaced)
        return replace(outcome, placed=placed, full_for=full_for)

    async def _may_come(self, placement: str) -> bool:
        """Whether a placement that is not there may be committed yet."""
        standing = (await self._store.tokens(holds_of(placement))).tokens
        return bool(standing) and await self._store.get(PLACEMENTS, placement) is None

    async def _decide(self, waiting: Sequence[Job]) -> _Round:
        """A job that waits is decided in round after round: besides the first, whose trace tells of the calls, only
        those that get a place have a span of it."""
        begun = self._clock.now()
        with span(names.DECIDE_JOB, parent=waiting[0].traceparent, job=waiting[0].name) as first:
            snapshot = await self._snapshots.read([held.message for held in waiting], anew=False)
            turns = [turn for turn in snapshot.turns if isinstance(turn, Turn)]
            decided = iter(decide_round(turns, self._classes))
            first.set_attribute("suanmesh.candidates", snapshot.pools)
        round_ = _Round(snapshot.links)
        for held, turn in zip(waiting, snapshot.turns, strict=True):
            if isinstance(turn, Refusal):
                round_.outcome.refused[held.name] = turn
            else:
                self._sort(held, turn, next(decided), snapshot, round_)
        for chosen in round_.chosen:
            if chosen.job is not waiting[0]:
                parent, job, pools = chosen.job.traceparent, chosen.job.name, snapshot.pools
                ended_span(names.DECIDE_JOB, begun, self._clock.now(), parent=parent, job=job, candidates=pools)
        return round_

    def _sort(self, held: Job, turn: Turn, decided: Decided, snapshot: Snapshot, round_: _Round) -> None:
        decision = self._decision(held.message, decided, snapshot.revisions, round_.made)
        decision.name = _next_name(held.message)
        chosen = decided.verdict.chosen
        if chosen is not None:
            placement = f"placements/{sortable_id(self._clock.now(), self._rng)}"
            round_.chosen.append(Chosen(held, turn.job, chosen, decided.per_task, decision, placement))
        elif decided.overtaken:
            round_.outcome.again.add(held.name)
        else:
            round_.unplaced.append(Unplaced(held, decision))

    def _decision(
        self, job: job_pb2.Job, decided: Decided, revisions: decision_pb2.Revisions, made: wire.Made
    ) -> decision_pb2.Decision:
        decision = wire.decision_to(decided.verdict, made)
        decision.read.CopyFrom(revisions)
        decision.job = job.name
        decision.trace_id = job.trace_id
        decision.create_time.FromDatetime(self._clock.now())
        return decision

    async def _commit(self, decided: _Round) -> dict[str, Refusal]:
        """Hold for all on one lease, then make those placements real whose holds all stand. By job what refused it."""
        if not decided.chosen:
            return {}
        async with AsyncExitStack() as leftover:
            with _spans(names.HOLD_PLACEMENT, [chosen.job for chosen in decided.chosen]) as traced:
                lease = self._lease = await self._lease_for_a_round()
                leftover.push_async_callback(self._give_back, lease)
                attachment, parents = attachment_of(lease), _traceparents(traced)
                holds, _ = await both(
                    self._holding.hold(decided.chosen, attachment, decided.links, parents),
                    self._jobs.keep_decisions([chosen.decision for chosen in decided.chosen]),
                )
            answers = [(chosen, holds[chosen.placement]) for chosen in decided.chosen]
            held = [(chosen, answer) for chosen, answer in answers if isinstance(answer, Holds)]
            refused = {chosen.job.name: answer for chosen, answer in answers if isinstance(answer, Refusal)}
            refused |= await self._commit_held(held)
            if not refused:
                leftover.pop_all()  # every hold is confirmed: nothing goes with the lease any more
            return refused

    async def _lease_for_a_round(self) -> RoundLease:
        """That of the last round, while it has half its time left and nothing is attached to it; else a new one."""
        now_s = self._clock.monotonic()
        if self._lease is None or not self._lease.alive or now_s >= self._lease_until_s:
            self._lease_until_s = now_s + self._lease_s / 2
            return await self._store.open_lease(self._lease_s)
        return self._lease

    async def _give_back(self, lease: RoundLease) -> None:
        self._lease = None
        await lease.revoke()

    async def _commit_held(self, held: Sequence[tuple[Chosen, Holds]]) -> dict[str, Refusal]:
        if not held:
            return {}
        held, overtaken = self._still_waiting(held)
        with _spans(names.COMMIT_PLACEMENT, [chosen.job for chosen, _ in held]) as traced:
            now, parents = self._clock.now(), _traceparents(traced)
            parts = {
                chosen.job.name: _changes_of(
                    chosen,
                    holds,
                    self._mirrors.attempts.last(chosen.job.name),
                    traceparent=parents[chosen.job.name],
                    fence=self._fence,
                    now=now,
                )
                for chosen, holds in held
            }
            self._in_doubt = [chosen.placement for chosen, _ in held]
            placed, self._placed = self._placed or 0, None
            revision, stale = await commit_each(self._store, parts)
            self._placed, self._in_doubt = max(placed, revision), []
        return overtaken | stale

    def _still_waiting(
        self, held: Sequence[tuple[Chosen, Holds]]
    ) -> tuple[list[tuple[Chosen, Holds]], dict[str, Refusal]]:
        """Those whose jobs are as they were decided, and the others: why commit what is ended at once?"""
        stays: list[tuple[Chosen, Holds]] = []
        gone: dict[str, Refusal] = {}
        for chosen, holds in held:
            job = self._mirrors.jobs.get(chosen.job.name)
            if job is not None and job.etag == chosen.job.etag and not self._mirrors.attempts.untold(job.message):
                stays.append((chosen, holds))
            else:
                found = job.etag if job else "ended"
                gone[chosen.job.name] = Conflict({}, name=chosen.job.name, expected=chosen.job.etag, found=found)
        return stays, gone


def _changes_of(
    chosen: Chosen,
    holds: Holds,
    before: Held[placement_pb2.Placement] | None,
    *,
    traceparent: str,
    fence: int,
    now: datetime,
) -> list[Change]:
    """One placement's part of a commit: every hold stands. It is the fact of which its job tells afterwards.

    `before` is the one that the job had last. Where that was lost it is replaced in the same write: either its site has
    come back with results before, and this one is not made, or they are not taken any more.
    """
    placement = _placement(chosen, holds)
    placement.create_time.FromDatetime(now)
    placement.traceparent, placement.attempt, placement.fence = traceparent, chosen.job.message.attempt + 1, fence
    bound_placement(placement)
    made: list[Change] = [*(confirmed(hold.token) for hold in holds.all), Create(PLACEMENTS, placement.name, placement)]
    if before is not None and wire.placement_state(before.message) is PlacementState.LOST:
        replaced = before.draft()
        replaced.replaced_by = placement.name
        bound_placement(replaced)
        made.append(Update(before, replaced))
    return made


def _placement(chosen: Chosen, holds: Holds) -> placement_pb2.Placement:
    job, candidate = chosen.job.message, chosen.candidate
    retry = wire.retry_of(job)
    cost = str(candidate.cost_micros or 0)
    runs = [placement_pb2.HostRun(host=host, tasks=tasks) for host, tasks in candidate.slots]
    return placement_pb2.Placement(
        name=chosen.placement,
        job=job.name,
        site=candidate.site,
        legs=[placement_pb2.Leg(pool=candidate.pool, hosts=runs, per_task=capacity_to(chosen.per_task))],
        holds=[hold.name for hold in holds.all],
        state=placement_pb2.Placement.STATE_COMMITTED,
        state_reason=reason_to(StateReason(wire.CHOSEN, {"pool": candidate.pool, "cost_micros": cost})),
        decision=chosen.decision.name,
        account=job.account,
        reservation=holds.paths[0].name if holds.paths else "",
        routes=[
            placement_pb2.InputRoute(source=route.end, reservation=hold.name, rate_bps=route.rate_bps)
            for route, hold in zip(candidate.routes, holds.paths, strict=True)
        ],
        party=job.party,
        offer=candidate.offer,
        work=placement_pb2.Work(
            ask=job.ask,
            variant=job.package.variants[candidate.variant],
            inputs=job.inputs,
            outputs=job.outputs,
            count=max(1, job.task.count),
            max_duration_s=job.max_duration_s,
            on_failure=job.task.on_failure,
            result_folder=job.task.result_folder,
            environment=job.environment,
            secrets=job.secrets,
            parameters=job.task.parameters,
            retry=retry if retry.times else None,
            setup=job.setup if job.HasField("setup") else None,
        ),
    )


def _next_name(job: job_pb2.Job) -> str:
    return f"{job.name}/decisions/{wire.decision_number(job.decision) + 1}"


@contextmanager
def _spans(name: str, jobs: Sequence[Job]) -> Iterator[Mapping[str, Span]]:
    """A span in the trace of each job, by job; calls made inside are told in the trace of the first."""
    with ExitStack() as stack:
        yield {
            held.name: stack.enter_context(span(name, parent=held.traceparent, job=held.name)) for held in jobs[::-1]
        }


def _traceparents(traced: Mapping[str, Span]) -> dict[str, str]:
    return {name: traceparent_of(each.get_span_context()) for name, each in traced.items()}
