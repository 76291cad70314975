"""What is kept of jobs that nothing fits: the decision, unless the last one of the job says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_job
from suanmesh_scheduler.jobs import Change, Job, Jobs


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A job that nothing fits, and what was decided."""

    job: Job
    decision: decision_pb2.Decision


async def keep_unplaced(jobs: Jobs, unplaced: Sequence[Unplaced]) -> dict[str, Refusal]:
    """Say on jobs why they wait, with the decisions that say something new; by job what refused it."""
    try:
        lasts = await jobs.decisions({one.job.message.decision for one in unplaced if one.job.message.decision})
    except Refusal as refusal:
        return dict.fromkeys((one.job.name for one in unplaced), refusal)
    decisions: dict[str, decision_pb2.Decision] = {}
    changes: dict[str, Change] = {}
    for one in unplaced:
        last = lasts.get(one.job.message.decision)
        if last is None or not wire.same_answer(last, one.decision):
            decisions[one.job.name] = one.decision
        job = _waiting(one, one.decision.name if one.job.name in decisions else "")
        if job != one.job.message:
            changes[one.job.name] = (one.job, job)
    return await jobs.put(changes, decisions)


def _waiting(unplaced: Unplaced, decision: str) -> job_pb2.Job:
    job = unplaced.job.draft()
    job.state_reason.CopyFrom(unplaced.decision.reason)
    job.decision = decision or job.decision
    bound_job(job)
    return job
