"""Looks at every job that has not ended, whenever something it depends on may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog

from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_job
from suanmesh_scheduler.cancelling import WHILE_WAITING
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.commits import Part
from suanmesh_scheduler.domain.lifecycle import missed
from suanmesh_scheduler.domain.states import FOR_A_PERSON, JOB_ENDS, JobState, job_moved, wait_reason
from suanmesh_scheduler.domain.waiting_queue import Precedence, WaitingQueue, in_precedence
from suanmesh_scheduler.jobs import Change, Job, Jobs
from suanmesh_scheduler.lifecycle import Course, Lifecycle, told
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.pacing import Pace
from suanmesh_scheduler.rounds import Outcome, Rounds
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.transitions import Transitions
from suanmesh_sdk.state_reasons import reason_from, reason_to
from suanmesh_store import Conflict, WorkQueue

log = structlog.get_logger()

SETTLED_MAX = 100
"""Jobs whose steps are taken and committed together."""
SETTLED_EVERY_S = 0.05
"""How soon after the last turn at steps the next begins, seconds."""
PLACED_EVERY_S = 0.05
"""How soon after the last round the next begins that is not full, seconds."""
PUT_OFF_S = 0.2
"""How long a round waits whose mirrors could not be brought up to date."""


class Reconciler:
    """Many jobs at a time: what only they decide together, what others are asked for side by side."""

    def __init__(
        self,
        jobs: Jobs,
        mirrors: Mirrors,
        rounds: Rounds,
        lifecycle: Lifecycle,
        transitions: Transitions,
        circuits: Circuits,
        clock: Clock,
        settings: SchedulerSettings,
        backoff: FailureBackoff,
        turns: FailureBackoff,
    ) -> None:
        """`backoff` is for jobs, `turns` for what many take together."""
        self._jobs = jobs
        self._live = mirrors.jobs
        self._attempts = mirrors.attempts
        self._placements = mirrors.placements
        self._transfers = mirrors.transfers
        self._rounds = rounds
        self._lifecycle = lifecycle
        self._transitions = transitions
        self._circuits = circuits
        self._clock = clock
        self._settings = settings
        self._backoff = backoff
        self._turns = turns
        self._queue = WorkQueue()
        self._calling = WorkQueue()
        self._waiting = WorkQueue()
        self._in_turn = WaitingQueue()

    async def run(self) -> None:
        """Settle jobs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_jobs())
            tasks.create_task(self._follow_placements())
            tasks.create_task(self._follow_transfers())
            tasks.create_task(self._resync())
            tasks.create_task(self._place())
            tasks.create_task(self._settle_all())
            for _ in range(self._settings.parallel_jobs_max):
                tasks.create_task(self._work())

    async def _follow_jobs(self) -> None:
        """One that waits is decided when it begins to; that it is told why it waits changes nothing."""
        async for name in self._live.changes():
            job = self._waits(name)
            if job is not None:
                if self._in_turn.stand(wire.precedence_of(job.message), wire.queue_of(job.message)):
                    self._waiting.add([name])
                continue
            self._in_turn.leave(name)
            if not self._is_followed(name):
                self._queue.add([name])

    async def _follow_placements(self) -> None:
        """Where one ended there is room."""
        async for name in self._placements.changes():
            held = self._placements.get(name)
            if held is None:
                self._circuits.forget(name)
            else:
                self._circuits.note(held.message)
                self._queue.add([held.message.job])
                if held.message.HasField("end_time"):
                    self._waiting.add(self._in_turn.next(1))

    async def _follow_transfers(self) -> None:
        """One that is gone had ended long before."""
        async for name in self._transfers.changes():
            transfer = self._transfers.get(name)
            held = None if transfer is None else self._placements.get(transfer.message.placement)
            if held is not None:
                self._queue.add([held.message.job])

    async def _resync(self) -> None:
        """Look again, lest an event was missed, a write refused, or the world around a job changed.

        A look at a job that waits asks every other area: a few of them have their turn at a time, and only as far as
        there is nothing else left to look at.
        """
        while True:
            await asyncio.sleep(self._settings.resync_s)
            self._waiting.add(self._in_turn.next(self._settings.waiting_jobs_max - len(self._waiting)))
            self._queue.add([job.name for job in self._live.values() if job.message.placement])
            placed = (held.message for held in self._placements.values())
            self._queue.add([each.job for each in placed if not each.HasField("end_time")])

    async def _place(self) -> None:
        """Rounds, one after another, of all that waits by then."""
        pace = Pace(PLACED_EVERY_S)
        while True:
            await self._waiting.some()
            await pace.wait(full=len(self._waiting) >= self._settings.round_jobs_max)
            try:
                await self._rounds.caught_up()
            except Unavailable as refusal:
                log.warning("round put off", reason=refusal.reason, message=refusal.message)
                await asyncio.sleep(PUT_OFF_S)
                continue
            names = self._waiting.take_many(self._settings.round_jobs_max)
            jobs = [job for name in names if (job := self._waits(name)) is not None]
            now = self._clock.now()
            overdue = {job.name for job in jobs if wire.missed_deadline(job.message, now) is not None}
            self._queue.add(overdue)
            jobs = [job for job in jobs if job.name not in overdue and not self._backoff.parked_s(job.name)]
            await self._place_each(in_precedence(jobs, _queue_of, _precedence_of))

    async def _place_each(self, jobs: Sequence[Job]) -> None:
        """One round; a defect in it is looked for by halves, so that the job that has it stops no other."""
        if len(jobs) == 1:
            name = jobs[0].name
            await self._backoff.run(name, partial(self._place_or_put_off, jobs), partial(self._tell_defect, name))
        elif jobs and not await self._backoff.run(f"round of {jobs[0].name}", partial(self._place_or_put_off, jobs)):
            await self._place_each(jobs[: len(jobs) // 2])
            await self._place_each(jobs[len(jobs) // 2 :])

    async def _place_or_put_off(self, jobs: Sequence[Job]) -> None:
        try:
            outcome = await self._rounds.place(jobs)
        except Refusal as refusal:
            outcome = Outcome(dict.fromkeys((job.name for job in jobs), refusal))
        self._waiting.add(outcome.again)
        self._waiting.add(self._next_after(outcome))
        for job in jobs:
            if job.name in outcome.refused:
                await self._put_off(job.name, outcome.refused[job.name])

    def _next_after(self, outcome: Outcome) -> list[str]:
        """Where some were placed there may be room for as many others, but for none like one that nothing fits."""
        for name in outcome.placed:
            self._in_turn.leave(name)  # it tells of its place some time later
        next_ = filter(None, map(self._live.get, self._in_turn.next(len(outcome.placed))))
        now = self._clock.now()
        return [job.name for job in next_ if wire.likeness(job.message, now) not in outcome.full_for]

    async def _settle_all(self) -> None:
        """Steps that need nobody else are taken by many jobs together."""
        pace = Pace(SETTLED_EVERY_S)
        while True:
            await self._queue.some()
            await pace.wait(full=len(self._queue) >= SETTLED_MAX)
            names = self._queue.take_many(SETTLED_MAX)
            await self._settle_each([name for name in names if not self._turns.parked_s(name)])

    async def _settle_each(self, names: Sequence[str]) -> None:
        """One turn; a defect in it is looked for by halves, as in a round."""
        if len(names) == 1:
            act, failed = partial(self._settle_or_put_off, names), partial(self._tell_defect, names[0])
            await self._turns.run(names[0], act, failed)
        elif names and not await self._turns.run(f"turn of {names[0]}", partial(self._settle_or_put_off, names)):
            await self._settle_each(names[: len(names) // 2])
            await self._settle_each(names[len(names) // 2 :])

    async def _settle_or_put_off(self, names: Sequence[str]) -> None:
        try:
            refused = await self._settle(names)
        except Refusal as refusal:
            refused = dict.fromkeys(names, refusal)
        for name, why in refused.items():
            await self._put_off(name, why)

    async def _settle(self, names: Sequence[str]) -> dict[str, Refusal]:
        """Take the steps of some jobs: their placements with one commit, then the jobs; by job, what refused it.

        A job whose placement is refused is left alone. One that is refused itself follows later: its placement is the
        fact.
        """
        parts: dict[str, Part] = {}
        changes: dict[str, Change] = {}
        calling: list[str] = []
        async with self._transitions.turn():
            for name, job in (await self._to_settle(names)).items():
                course = self._course(name, job)
                ended = None if job is None or course is not None else self._ended_waiting(job)
                if course is not None:
                    self._lifecycle.go_on(course)
                    if part := course.part():
                        parts[name] = part
                moved = course.job_moved if course is not None else ended
                if moved is not None:
                    changes[name] = moved
                if name not in parts and _has_to_call(job, course):
                    calling.append(name)
            refused = await self._transitions.commit(parts)
        followed = {name: change for name, change in changes.items() if name not in refused}
        with told(followed.values()):
            refused |= await self._jobs.put(followed)
        self._calling.add([name for name in calling if name not in refused])
        return refused

    async def _to_settle(self, names: Sequence[str]) -> dict[str, Job | None]:
        """Jobs that have not ended, and those that have while a placement of theirs lives; None for what is gone."""
        names = [name for name in names if not self._backoff.parked_s(name)]
        live = {name: job for name in names if (job := self._live.get(name)) is not None}
        last = {name: self._attempts.last(name) for name in names if name not in live}
        left = [name for name, held in last.items() if held and not held.message.HasField("end_time")]
        ended = await self._jobs.get_many(left)
        return {**live, **{name: ended.get(name) for name in left}}

    def _course(self, name: str, job: Job | None) -> Course | None:
        """The course of a job that has a place; None where it waits, or its placement is not seen yet."""
        if job is not None and job.message.placement and wire.job_state(job.message) not in JOB_ENDS:
            placement = self._placements.get(job.message.placement)
        elif job is None or wire.job_state(job.message) in JOB_ENDS or self._attempts.untold(job.message):
            placement = self._attempts.last(name)
        else:
            return None
        return None if placement is None else self._lifecycle.course(job, placement)

    async def _work(self) -> None:
        while True:
            async with self._calling.turn() as name:
                await self._backoff.run(name, partial(self._ask_or_put_off, name), partial(self._tell_defect, name))

    async def _ask_or_put_off(self, name: str) -> None:
        """Take a step for which others are asked: where the mirrors are behind its commit fails, and it comes again."""
        job = self._live.get(name)
        if job is None or not job.message.placement:
            return
        try:
            await self._lifecycle.ask(job)
        except Refusal as refusal:
            await self._put_off(name, refusal)

    async def _put_off(self, name: str, refusal: Refusal) -> None:
        """Look at a job again: at once where it was overtaken, else in its turn; tell it what needs a person."""
        if isinstance(refusal, Conflict):
            log.info("job decided anew", job=name, message=refusal.message)
            (self._queue if self._waits(name) is None else self._waiting).add([name])
        elif refusal.reason == "DOCUMENT_TOO_LARGE":
            await self._give_up(name, refusal)
        else:
            log.info("job put off", job=name, reason=refusal.reason, message=refusal.message)
            if refusal.reason in FOR_A_PERSON:
                with suppress(Refusal):  # it is tried again with the job
                    await self._tell_on_job(name, wait_reason(refusal))

    async def _tell_defect(self, name: str, defect: Exception) -> None:
        """Say on the job why it does not go on; it is looked at again later, and later still if that is in vain."""
        await self._tell_on_job(name, StateReason("DEFECT", {"defect": type(defect).__name__}))

    async def _tell_on_job(self, name: str, reason: StateReason) -> None:
        job = await self._jobs.get(name)
        if job is not None and wire.job_state(job.message) not in JOB_ENDS:
            changed = job.draft()
            changed.state_reason.CopyFrom(reason_to(reason))
            bound_job(changed)
            if changed.state_reason != job.message.state_reason:
                await self._jobs.put_one(job, changed)

    def _waits(self, name: str) -> Job | None:
        """A job that waits for a place; None where it has one, told or not, or is to end."""
        job = self._live.get(name)
        waits = job is not None and not (job.message.placement or job.message.cancel_requested)
        return job if job is not None and waits and not self._attempts.untold(job.message) else None

    def _is_followed(self, name: str) -> bool:
        """Whether a job goes by its placement alone: whoever has written it has taken every step there was."""
        job = self._live.get(name)
        return job is not None and bool(job.message.placement) and not job.message.cancel_requested

    def _ended_waiting(self, job: Job) -> Change | None:
        """A job at its end that waited for a place; None where it may go on waiting."""
        if job.message.placement:
            return None
        if job.message.cancel_requested:
            return self._at_end(job, JobState.CANCELLED, WHILE_WAITING)
        if (deadline := wire.missed_deadline(job.message, self._clock.now())) is not None:
            reason = missed(deadline, JobState.PENDING).after(reason_from(job.message.state_reason))
            return self._at_end(job, JobState.FAILED, reason)
        return None

    async def _give_up(self, name: str, refusal: Refusal) -> None:
        """What has no room in a document never will have: the job fails, its placement first."""
        log.info("job given up", job=name, reason=refusal.reason, message=refusal.message)
        job = await self._jobs.get(name)
        if job is not None and job.message.placement:
            await self._lifecycle.fail(job, StateReason.of(refusal))
        elif job is not None and wire.job_state(job.message) not in JOB_ENDS:
            change = self._at_end(job, JobState.FAILED, StateReason.of(refusal))
            with told([change]):
                await self._jobs.put_one(*change)

    def _at_end(self, job: Job, state: JobState, reason: StateReason) -> Change:
        changed = job.draft()
        wire.set_job_state(changed, job_moved(wire.job_state(changed), state), reason, self._clock.now())
        return job, changed


def _has_to_call(job: Job | None, course: Course | None) -> bool:
    """Whether others are to be asked for the next step, or for a placement that is not seen yet."""
    return course.call is not None if course is not None else job is not None and bool(job.message.placement)


def _queue_of(job: Job) -> tuple[str, str]:
    return wire.queue_of(job.message)


def _precedence_of(job: Job) -> Precedence:
    return wire.precedence_of(job.message)
