"""What the scheduler keeps as records: every decision, and jobs with their placements once they have ended."""

from __future__ import annotations

from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2
from suanmesh_scheduler import wire
from suanmesh_store.archive import listed
from suanmesh_store.records import RecordKind

DECISIONS = RecordKind("decisions", decision_pb2.Decision)
ENDED_JOBS = listed("jobs", job_pb2.Job, wire.place_of)
ENDED_PLACEMENTS = RecordKind("placements", placement_pb2.Placement)
KINDS = (DECISIONS, ENDED_JOBS, ENDED_PLACEMENTS)
