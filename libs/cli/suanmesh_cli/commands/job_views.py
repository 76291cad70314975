"""How the commands of jobs print a job, a decision and a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from suanmesh.scheduler.v1.decision_pb2 import CandidateExplanation, Decision
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetPlacementRequest
from suanmesh_cli import output
from suanmesh_cli.commands.job_lists import COLUMNS
from suanmesh_cli.session import Session

if TYPE_CHECKING:
    from suanmesh.scheduler.v1.placement_pb2 import TaskCount
    from suanmesh_sdk import Mesh

NOTHING_FITS = 6


async def task_counts(session: Session, mesh: Mesh, found: Job) -> Sequence[TaskCount]:
    """How many tasks of an array stand where, as far as a person is shown the job and it has a place."""
    if session.view.form not in ("table", "wide") or found.task.count < 2 or not found.placement:
        return ()
    wanted = GetPlacementRequest(name=found.placement)
    return (await mesh.scheduler.GetPlacement(wanted, timeout=session.timeout_s)).task_counts


def show_job(session: Session, found: Job, counts: Sequence[TaskCount] = ()) -> None:
    """Print a job; `counts` of its tasks stand somewhere."""

    def rendered() -> list[str]:
        from suanmesh_cli.render import explain as rendering

        return output.facts(session.view, rendering.job_facts(session.view, found, counts))

    output.show_one(session.view, found, rendered, COLUMNS)


def ended_status(session: Session, ended: Job) -> int:
    """Print a job that has ended; the exit status that says how."""
    show_job(session, ended)
    return 0 if ended.state == Job.STATE_DONE else 1


def show_candidate(session: Session, told: CandidateExplanation) -> None:
    """Print one candidate of a decision."""

    def rendered() -> list[str]:
        from suanmesh_cli.render import explain as rendering

        return rendering.candidate(session.view, told)

    output.show_one(session.view, told, rendered, names=[told.candidate.pool])


def show_decision(session: Session, made: Decision) -> int:
    """Print a decision; the exit status that says whether anything fits."""

    def rendered() -> list[str]:
        from suanmesh_cli.render import explain as rendering

        return rendering.decision(session.view, made)

    from suanmesh_cli.render.explain import exported_columns

    rows = [(made, each) for each in made.candidates]
    output.show_one(session.view, made, rendered, exported_columns(session.lang), rows=rows)
    return 0 if made.chosen else NOTHING_FITS
