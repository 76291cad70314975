"""Taking in what agents report of their placements."""

from __future__ import annotations

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_name, last, output_dataset_id
from suanmesh_kernel.refusals import InvalidArgument, NotFound, PermissionDenied
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_placement
from suanmesh_scheduler.checking import LOG
from suanmesh_scheduler.domain.states import PLACEMENT_ENDS, REPORTABLE, PlacementState, placement_moved, reached
from suanmesh_sdk.state_reasons import reason_from
from suanmesh_store import Change, Conflict, Store, Update
from suanmesh_store.layout import JOBS, PLACEMENTS

TURNS_MAX = 5
"""How often a write is tried that another writer overtakes."""


class Reporting:
    """Moves placements as their agents say, as far as the table allows."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def take(self, report: pb.TaskReport, site: str) -> placement_pb2.Placement:
        """Take in one report of the agent of `site`; what has been reached already changes nothing.

        The scheduler itself writes placements and jobs too: where it was faster, the report is read anew.
        """
        for _ in range(TURNS_MAX - 1):
            try:
                return await self._take(report, site)
            except Conflict:
                continue
        return await self._take(report, site)

    async def _take(self, report: pb.TaskReport, site: str) -> placement_pb2.Placement:
        held = await self._store.get(PLACEMENTS, checked_name(report.placement, "placements", field="placement"))
        if held is None:
            raise NotFound("PLACEMENT_UNKNOWN", f"no placement {report.placement}", name=report.placement)
        if held.message.site != site:
            message = f"{report.placement} is not a placement of {site}"
            raise PermissionDenied("NOT_OWNER", message, name=report.placement)
        reported = _reported(report, held.message.work)
        state = wire.placement_state(held.message)
        placement = held.draft()
        changes: list[Change] = []
        if report.tasks:
            del placement.tasks[:]
            placement.tasks.extend(report.tasks)
            bound_placement(placement)
        if not reached(state, reported):
            moved = placement_moved(state, reported, held.name)
            reason, ended = reason_from(report.reason), moved in PLACEMENT_ENDS
            wire.set_placement_state(placement, moved, reason, self._clock.now(), ended=ended)
            if report.output_datasets:
                _check_outputs(report, held.message)
                changes += await self._with_outputs(placement.job, report)
        if state in PLACEMENT_ENDS or placement == held.message:
            return held.message
        await self._store.commit(Update(held, placement), *changes)
        return placement

    async def _with_outputs(self, name: str, report: pb.TaskReport) -> list[Change]:
        """The job's outputs are named in the same transaction that says they are there."""
        held = await self._store.get(JOBS, name)
        if held is None:
            return []
        job = held.draft()
        del job.output_datasets[:]
        job.output_datasets.extend(report.output_datasets)
        return [Update(held, job)]


def _reported(report: pb.TaskReport, work: placement_pb2.Work) -> PlacementState:
    """The state reported. Raises InvalidArgument where an agent says what it cannot know."""
    known = report.state in placement_pb2.Placement.State.values()
    name = placement_pb2.Placement.State.Name(report.state).removeprefix("STATE_") if known else f"state {report.state}"
    if name not in REPORTABLE:
        raise InvalidArgument("FIELD_INVALID", f"state: an agent does not report {name}", field="state")
    if len(report.tasks) > max(1, work.count):
        problem = f"tasks: {len(report.tasks)} of {work.count} tasks"
        raise InvalidArgument("FIELD_INVALID", problem, field="tasks")
    if len(report.output_datasets) > len(work.outputs) + 1:
        problem = f"output_datasets: {len(report.output_datasets)} of {len(work.outputs)} outputs and a log"
        raise InvalidArgument("FIELD_INVALID", problem, field="output_datasets")
    return PlacementState(name)


def _check_outputs(report: pb.TaskReport, placement: placement_pb2.Placement) -> None:
    """An agent names what the job's outputs have become, in their order, and then the log: no dataset else."""
    made = [*(output.output_id for output in placement.work.outputs), LOG]
    job_id = last(placement.job)
    for index, (output_id, dataset) in enumerate(zip(made, report.output_datasets, strict=False)):
        ids = {output_dataset_id(job_id, output_id, attempt) for attempt in (0, max(1, placement.attempt))}
        if dataset.removeprefix("datasets/") not in ids:
            problem = f"output_datasets[{index}]: {dataset[:80]!r} is not what {output_id} becomes"
            raise InvalidArgument("FIELD_INVALID", problem, field=f"output_datasets[{index}]")
