"""The documents that make a chosen place real."""

from __future__ import annotations

from datetime import datetime

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_placement
from suanmesh_scheduler.domain.states import JobState, job_moved
from suanmesh_scheduler.holding import Chosen, Holds
from suanmesh_sdk.state_reasons import reason_from, reason_to
from suanmesh_sdk.values import capacity_to
from suanmesh_store import Change, Create, Update, confirmed
from suanmesh_store.layout import PLACEMENTS


def changes_of(chosen: Chosen, holds: Holds, *, traceparent: str, fence: int, now: datetime) -> list[Change]:
    """One placement's part of a commit: every hold stands, and the job is as it was read."""
    job = chosen.job.draft()
    job.decision = chosen.decision.name
    job.placement = chosen.placement
    job.attempt += 1
    placement = _placement(chosen, holds)
    placement.create_time.FromDatetime(now)
    placement.traceparent, placement.attempt, placement.fence = traceparent, job.attempt, fence
    reason = reason_from(placement.state_reason)
    bound_placement(placement)
    wire.set_job_state(job, job_moved(wire.job_state(job), JobState.PLACED), reason, now)
    return [
        *(confirmed(hold.token) for hold in holds.all),
        Create(PLACEMENTS, chosen.placement, placement),
        Update(chosen.job, job),
    ]


def _placement(chosen: Chosen, holds: Holds) -> placement_pb2.Placement:
    job, candidate = chosen.job.message, chosen.candidate
    cost = str(candidate.cost_micros or 0)
    runs = [placement_pb2.HostRun(host=host, tasks=tasks) for host, tasks in candidate.slots]
    return placement_pb2.Placement(
        name=chosen.placement,
        job=job.name,
        site=candidate.site,
        legs=[placement_pb2.Leg(pool=candidate.pool, hosts=runs, per_task=capacity_to(chosen.per_task))],
        holds=[hold.name for hold in holds.all],
        state=placement_pb2.Placement.STATE_COMMITTED,
        state_reason=reason_to(StateReason("CHOSEN", {"pool": candidate.pool, "cost_micros": cost})),
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
        ),
    )
