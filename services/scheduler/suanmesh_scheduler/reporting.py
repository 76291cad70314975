"""Taking in what agents report of their placements. Their jobs follow: see `reconciler`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_dataset, checked_name, last, output_dataset_id, versioned
from suanmesh_kernel.refusals import InvalidArgument, NotFound, PermissionDenied, Refusal
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_placement
from suanmesh_scheduler.checking import LOG
from suanmesh_scheduler.domain.states import PLACEMENT_ENDS, REPORTABLE, PlacementState, placement_moved, reached
from suanmesh_scheduler.jobs import Job, Jobs
from suanmesh_scheduler.lifecycle import Course, Lifecycle
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.pacing import Pace
from suanmesh_scheduler.record_kinds import TASK_RESULTS
from suanmesh_scheduler.task_blocks import TOLD_IN_PLACEMENT_MAX, block_of, copy_of, with_changes
from suanmesh_scheduler.transitions import Transitions
from suanmesh_sdk.state_reasons import reason_from
from suanmesh_store import Conflict, Held, Store
from suanmesh_store.archive import Archive
from suanmesh_store.layout import PLACEMENTS
from suanmesh_store.records import Put

REPORTS_MAX = 100
"""Reports taken in together."""
EVERY_S = 0.03
"""How soon after the last reports the next are taken in, seconds: those of other sites come to it."""
TURNS_MAX = 5
"""How often a write is tried that another writer overtakes."""
Taken = placement_pb2.Placement | Refusal
"""What became of a report: the placement after it, or why it was not taken."""


@dataclass(slots=True)
class Asked:
    """A report of a site's agent, and what became of it."""

    report: pb.TaskReport
    site: str
    taken: Taken | None = None
    spilled: dict[int, placement_pb2.TaskResult] | None = None
    """What is to be kept of tasks by index, where the placement has no room for all."""


class Reporting:
    """Moves placements as their agents say, as far as the table allows, and as far as that takes them."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        mirrors: Mirrors,
        lifecycle: Lifecycle,
        transitions: Transitions,
        archive: Archive,
        clock: Clock,
    ) -> None:
        self._store = store
        self._archive = archive
        self._jobs = jobs
        self._mirrors = mirrors
        self._lifecycle = lifecycle
        self._transitions = transitions
        self._clock = clock
        self._waiting: list[Asked] = []
        self._next = asyncio.Lock()
        self._pace = Pace(EVERY_S)

    async def take(self, reports: Iterable[pb.TaskReport], site: str) -> list[Taken]:
        """Take in reports of the agent of `site`, in their order; what has been reached already changes nothing.

        All that waits for the turn, of whatever site, is taken in together. The scheduler itself writes placements and
        jobs too: where it was faster, a report is looked at anew.
        """
        asked = [Asked(report, site) for report in reports]
        self._waiting += asked
        try:
            while any(each.taken is None for each in asked):
                async with self._next:
                    await self._take_next()
        finally:
            gone = set(map(id, asked))
            self._waiting = [each for each in self._waiting if id(each) not in gone]
        return [each.taken for each in asked if each.taken is not None]

    async def _take_next(self) -> None:
        """One turn, with all that waits when it begins; what waited here may have been taken in by the last one."""
        if not self._waiting:
            return
        await self._pace.wait(full=len(self._waiting) >= REPORTS_MAX)
        async with self._transitions.turn():
            await self._take(self._waiting[:REPORTS_MAX])
            self._waiting = [each for each in self._waiting if each.taken is None]

    async def _take(self, asked: Sequence[Asked]) -> None:
        left = [each for each in asked if each.taken is None]
        for _ in range(TURNS_MAX):
            try:
                await self._transitions.caught_up()
                await self._attempt(left)
            except Refusal as refusal:
                for each in left:
                    each.taken = refusal
            left = [each for each in left if isinstance(each.taken, Conflict)]
            if not left:
                return

    async def _attempt(self, asked: Sequence[Asked]) -> None:
        """Take in reports as the mirrors show their placements; what was committed a moment ago etcd shows first."""
        named = dict.fromkeys(each.report.placement for each in asked)
        placements = await self._placements_of(named)
        jobs = await self._jobs_of(dict.fromkeys(held.message.job for held in placements.values()))
        courses = {name: self._lifecycle.course(jobs.get(held.message.job), held) for name, held in placements.items()}
        answers = [self._reported(each, courses, jobs) for each in asked]
        parts = {name: part for name, course in courses.items() if (part := self._lifecycle.go_on(course).part())}
        await self._keep(each for each, answer in zip(asked, answers, strict=True) if answer is None)
        refused = await self._transitions.commit(parts)
        for each, answer in zip(asked, answers, strict=True):
            name = each.report.placement
            each.taken = answer or refused.get(name) or courses[name].new_placement

    async def _keep(self, taken: Iterable[Asked]) -> None:
        """Keep what placements have no room for, before they are written."""
        changed: dict[str, dict[int, placement_pb2.TaskResult]] = {}
        for each in taken:
            if each.spilled:
                changed.setdefault(each.report.placement, {}).update(each.spilled)
        names = {block_of(placement, index) for placement, results in changed.items() for index in results}
        kept = await self._archive.get_many(TASK_RESULTS, names) if names else {}
        blocks = [with_changes(placement, results, kept) for placement, results in changed.items()]
        if puts := [Put(TASK_RESULTS, name, block) for each in blocks for name, block in each.items()]:
            await self._archive.keep(*puts)

    async def _placements_of(self, wanted: Collection[str]) -> dict[str, Held[placement_pb2.Placement]]:
        found = {name: held for name in wanted if (held := self._mirrors.placements.get(name)) is not None}
        missing = [name for name in wanted if name not in found]
        return found | (await self._store.get_many(PLACEMENTS, missing) if missing else {})

    async def _jobs_of(self, wanted: Collection[str]) -> dict[str, Job]:
        found = {name: job for name in wanted if (job := self._mirrors.jobs.get(name)) is not None}
        missing = [name for name in wanted if name not in found]
        return found | (await self._jobs.get_many(missing) if missing else {})

    def _reported(self, asked: Asked, courses: Mapping[str, Course], jobs: Mapping[str, Job]) -> Refusal | None:
        """Bring a placement to where its report says; why not, where it is refused."""
        try:
            course = self._course_of(asked, courses)
            self._note(asked, course, jobs.get(course.new_placement.job))
        except Refusal as refusal:
            return refusal
        return None

    def _course_of(self, asked: Asked, courses: Mapping[str, Course]) -> Course:
        name = checked_name(asked.report.placement, "placements", field="placement")
        course = courses.get(name)
        if course is None:
            raise NotFound("PLACEMENT_UNKNOWN", f"no placement {name}", name=name)
        if course.new_placement.site != asked.site:
            raise PermissionDenied("NOT_OWNER", f"{name} is not a placement of {asked.site}", name=name)
        return course

    def _note(self, asked: Asked, course: Course, job: Job | None) -> None:
        report, placement = asked.report, course.new_placement
        reported, state = _reported_state(report, placement.work), wire.placement_state(placement)
        moved = None if reached(state, reported) else placement_moved(state, reported, placement.name)
        if moved is not None:
            _check_outputs(report, placement)
        if state is PlacementState.LOST is reported and report.reason.code:  # the site is back, with nothing of it
            placement.state_reason.CopyFrom(report.reason)
            bound_placement(placement)
        if state in PLACEMENT_ENDS and moved is None:
            return
        if state is PlacementState.LOST:
            self._lifecycle.take_back(course, job)
            placement.ClearField("end_time")
        if report.tasks:
            asked.spilled = _tell_tasks(placement, report)
        if moved is not None:
            reason, ended = reason_from(report.reason), moved in PLACEMENT_ENDS
            wire.set_placement_state(placement, moved, reason, self._clock.now(), ended=ended)
            if report.output_datasets:  # named in the same transaction that says they are there
                del placement.output_datasets[:]
                placement.output_datasets.extend(report.output_datasets)
            placement.log_dataset = report.log_dataset or placement.log_dataset


def _tell_tasks(placement: placement_pb2.Placement, report: pb.TaskReport) -> dict[int, placement_pb2.TaskResult]:
    """Let a placement tell of its tasks, as far as it has room; by index what is to be kept beside it."""
    told = {result.index: result for result in report.tasks}
    results = {result.index: copy_of(result) for result in placement.tasks} | told if report.changes_only else told
    counts = report.task_counts if report.changes_only else wire.count_tasks(report.tasks)
    del placement.tasks[:], placement.task_counts[:]
    placement.task_counts.extend(counts)
    placement.tasks.extend(results[index] for index in sorted(results))
    bound_placement(placement)
    beside = report.changes_only or placement.work.count > TOLD_IN_PLACEMENT_MAX
    return told if beside or len(placement.tasks) < len(told) else {}


def _reported_state(report: pb.TaskReport, work: placement_pb2.Work) -> PlacementState:
    """The state reported. Raises InvalidArgument where an agent says what it cannot know."""
    known = report.state in placement_pb2.Placement.State.values()
    name = placement_pb2.Placement.State.Name(report.state).removeprefix("STATE_") if known else f"state {report.state}"
    if name not in REPORTABLE:
        raise InvalidArgument("FIELD_INVALID", f"state: an agent does not report {name}", field="state")
    if len(report.tasks) > max(1, work.count):
        problem = f"tasks: {len(report.tasks)} of {work.count} tasks"
        raise InvalidArgument("FIELD_INVALID", problem, field="tasks")
    if any(not 0 <= result.index < max(1, work.count) for result in report.tasks):
        raise InvalidArgument("FIELD_INVALID", f"tasks: one of another than {work.count} tasks", field="tasks")
    if len(report.output_datasets) > len(work.outputs) + 1:
        problem = f"output_datasets: {len(report.output_datasets)} of {len(work.outputs)} outputs and a log"
        raise InvalidArgument("FIELD_INVALID", problem, field="output_datasets")
    return PlacementState(name)


def _check_outputs(report: pb.TaskReport, placement: placement_pb2.Placement) -> None:
    """An agent names what the job's outputs have become, in their order, and then the log: no dataset else."""
    made = [*(output.output_id for output in placement.work.outputs), LOG]
    named = zip(made, report.output_datasets, strict=False)
    told = [(f"output_datasets[{index}]", *each) for index, each in enumerate(named)]
    if report.log_dataset:
        told.append(("log_dataset", LOG, report.log_dataset))
    job_id = last(placement.job)
    for field, output_id, dataset in told:
        ids = {output_dataset_id(job_id, output_id, attempt) for attempt in (0, max(1, placement.attempt))}
        if versioned(checked_dataset(dataset, field=field))[0].removeprefix("datasets/") not in ids:
            problem = f"{field}: {dataset[:80]!r} is not what {output_id} becomes"
            raise InvalidArgument("FIELD_INVALID", problem, field=field)
