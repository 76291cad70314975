"""What the scheduler keeps as records: jobs and decisions from the first moment, placements once they have ended."""

from __future__ import annotations

from collections.abc import Sequence

from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2, secret_pb2
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.states import JOB_ENDS
from suanmesh_store.records import Index, Key, RecordKind

ENDS = frozenset(job_pb2.Job.State.Value(f"STATE_{end}") for end in JOB_ENDS)


def _live(job: job_pb2.Job) -> Sequence[Key]:
    return () if job.state in ENDS else ((job.party, wire.place_of(job)),)


BY_PLACE: Index[job_pb2.Job] = Index("place", lambda job: [(wire.place_of(job),)])
BY_PARTY: Index[job_pb2.Job] = Index("party", lambda job: [(job.party, wire.place_of(job))])
LIVE: Index[job_pb2.Job] = Index("live", _live)

JOBS = RecordKind("jobs", job_pb2.Job, (BY_PLACE, BY_PARTY, LIVE))
DECISIONS = RecordKind("decisions", decision_pb2.Decision)
BY_JOB: Index[placement_pb2.Placement] = Index(
    "job", lambda ended: [(ended.job, f"{wire.decision_number(ended.decision):09d}")]
)
ENDED_PLACEMENTS = RecordKind("placements", placement_pb2.Placement, (BY_JOB,))
TASK_RESULTS = RecordKind("task_results", placement_pb2.TaskResults)
"""By placement and block of tasks, where the placement has no room for what became of all: see `task_blocks`."""
SECRETS = RecordKind("secrets", secret_pb2.JobSecrets)
"""By job, sealed, until it has ended."""
KINDS = (DECISIONS, JOBS, ENDED_PLACEMENTS, TASK_RESULTS, SECRETS)
