"""Who submits jobs to a simulated node, asks again until there is an answer, cancels some, and notes all of it down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from chaos.clients import NEVER, PASSING, PASSING_REASONS
from chaos.records import Answered, Asked, CallError, Cancelled, Journal, Seen

from scenario.story import World
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_agent.engines.memory import SIMULATE
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of

R = TypeVar("R")
CALL_S = 10.0
AGAIN_S = 0.5
CPU_MILLI = (250, 500, 1000)


def simulated_job(seconds: float, status: int = 0, *, cpu_milli: int = 500, outputs: Sequence[str] = ()) -> job_pb2.Job:
    """A job of one task that takes so long, ends so, and leaves a file in each output."""
    described = trials.job("", cpu_milli=cpu_milli, outputs=outputs)
    variant = described.package.variants[0]
    del variant.artefacts[:]
    words = [SIMULATE, f"seconds={seconds:.3f}", f"exit={status}", f"cpu_milli={cpu_milli}"]
    variant.command[:] = [*words, *(f"write=out/{name}/x:{name}" for name in outputs)]
    return described


class Client:
    """One user."""

    def __init__(self, world: World, seed: int, mesh: Mesh, journal: Journal, clock: Clock) -> None:
        self._world = world
        self._chance = Random(f"{world.name} {seed} client")
        self._attempts = Random(f"{world.name} {seed} attempts")
        self._mesh = mesh
        self._journal = journal
        self._clock = clock

    async def run(self) -> None:
        """Submit all jobs, spread over the first two thirds of the time; each is followed by a task of its own."""
        pause_s = self._world.minutes * 60 * 2 / 3 / max(1, self._world.jobs)
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._world.jobs):
                tasks.create_task(self._job(f"job-{number}", *self._drawn()))
                await asyncio.sleep(pause_s * self._chance.uniform(0.2, 1.8))

    def _drawn(self) -> tuple[job_pb2.Job, str, bool, float | None]:
        """A job, of which kind, whether it has an id of its own, and when it is cancelled."""
        chance = self._chance
        failing = chance.random() < self._world.failing
        cancel_s = chance.uniform(0.1, 40.0) if chance.random() < self._world.cancelled else None
        seconds = chance.uniform(*self._world.task_s)
        outputs = ["result"] if chance.random() < 0.5 else []
        cpu_milli = chance.choice(CPU_MILLI)
        described = simulated_job(seconds, int(failing), cpu_milli=cpu_milli, outputs=outputs)
        described.max_duration_s = 600
        described.max_attempts = self._attempts.choice(self._world.max_attempts)
        return described, "failing" if failing else "plain", chance.random() < 0.6, cancel_s

    async def _job(self, marker: str, described: job_pb2.Job, kind: str, own_id: bool, cancel_s: float | None) -> None:
        described.display_name = marker
        item = pb.SubmitJob(job_id=marker if own_id else "", job=described)
        request = pb.SubmitJobsRequest(items=[item], request_id=f"submit-{marker}")
        self._journal.asked.append(Asked(marker, kind, "alice", 1))

        async def submitted() -> pb.SubmitJobResult:
            answer = await self._mesh.scheduler.SubmitJobs(request, timeout=CALL_S)
            if answer.results[0].HasField("error"):
                raise refusal_of(answer.results[0].error)
            return answer.results[0]

        try:
            name = (await self._final("submit", submitted)).job.name
        except Refusal as refusal:
            self._journal.answered.append(Answered(marker, self._now(), refused=refusal.reason))
            return
        self._journal.answered.append(Answered(marker, self._now(), name=name))
        if cancel_s is not None:
            await asyncio.sleep(cancel_s)
            await self._cancel(name)
        await self._see(name)

    async def _cancel(self, name: str) -> None:
        request = pb.CancelJobRequest(name=name)
        try:
            await self._final("cancel", lambda: self._mesh.scheduler.CancelJob(request, timeout=CALL_S))
        except Refusal:
            return  # it had ended before
        self._journal.cancelled.append(Cancelled(name, self._now()))

    async def _see(self, name: str) -> None:
        request = pb.GetJobRequest(name=name)
        try:
            job = await self._mesh.scheduler.GetJob(request, timeout=CALL_S)
        except Refusal as refusal:
            self._note(refusal, "read")
            return
        state = job_pb2.Job.State.Name(job.state).removeprefix("STATE_")
        self._journal.seen.append(Seen(name, state, self._now()))

    async def _final(self, what: str, call: Callable[[], Awaitable[R]]) -> R:
        """The final answer. Raises a Refusal that is one."""
        while True:
            try:
                return await call()
            except Refusal as refusal:
                self._note(refusal, what)
                if refusal.code not in PASSING and refusal.reason not in PASSING_REASONS:
                    raise
            await asyncio.sleep(AGAIN_S)

    def _note(self, refusal: Refusal, what: str) -> None:
        if refusal.code in NEVER:
            told = refusal.message[:300]
            self._journal.errors.append(CallError("alice", what, refusal.code, refusal.reason, told, self._now()))

    def _now(self) -> float:
        return self._clock.now().timestamp()
