"""The documents that make a chosen place real."""

from __future__ import annotations

from datetime import UTC, datetime

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_placement
from suanmesh_scheduler.domain.states import JobState, PlacementState, job_moved
from suanmesh_scheduler.holding import Chosen, Holds
from suanmesh_sdk.state_reasons import reason_from, reason_to
from suanmesh_sdk.values import capacity_to
from suanmesh_store import Change, Create, Held, Update, confirmed
from suanmesh_store.layout import PLACEMENTS

CHOSEN = "CHOSEN"
"""Why a placement was committed."""


def changes_of(
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


def tell_place(job: job_pb2.Job, placement: placement_pb2.Placement) -> None:
    """Let a job that waits tell of the place that it was given, or has again: told again it comes to the same."""
    job.placement, job.attempt = placement.name, placement.attempt
    if wire.decision_number(placement.decision) <= wire.decision_number(job.decision):
        return  # it was lost and delivers after all: the job goes on from where it waits
    job.decision = placement.decision
    reason = reason_from(placement.state_reason)
    given = placement.create_time.ToDatetime(UTC)
    state = job_moved(wire.job_state(job), JobState.PLACED)
    wire.set_job_state(job, state, reason if reason.code == CHOSEN else NO_REASON, given)


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
        state_reason=reason_to(StateReason(CHOSEN, {"pool": candidate.pool, "cost_micros": cost})),
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
            environment=job.environment,
            parameters=job.task.parameters,
            retry=retry if retry.times else None,
        ),
    )
