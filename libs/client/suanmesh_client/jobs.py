"""Jobs: submitted many at a time, followed until they have ended, their logs, results and bills."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_client import following
from suanmesh_client.datasets import checked
from suanmesh_client.descriptions import Job, to_message
from suanmesh_client.paging import pages
from suanmesh_client.reach import Reach
from suanmesh_client.texts import refusal
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.refusals import DeadlineExceeded, FailedPrecondition, InvalidArgument, NotFound, Refusal
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name
from suanmesh_sdk.state_reasons import words
from suanmesh_sdk.status import refusal_of
from suanmesh_sdk.workdir import bring, bring_wheels, ignored

if TYPE_CHECKING:
    from suanmesh_client.client import Client

ITEMS_MAX = 100
"""Jobs in one call of SubmitJobs."""


class JobHandle:
    """A job of the mesh: as it was last seen, and what can be done with it."""

    def __init__(self, client: Client, message: job_pb2.Job) -> None:
        self._client = client
        self.message = message
        """The contract's job as it was last seen; `refresh`, `wait` and `changes` bring it up to date."""

    def __repr__(self) -> str:
        return f"<{self.name} {self.state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self.name} belongs to its client: send its name, and `jobs.get` it there")

    @property
    def name(self) -> str:
        """`jobs/{id}`."""
        return self.message.name

    @property
    def state(self) -> str:
        """`PENDING`, `PLACED`, `STAGING`, `QUEUED`, `RUNNING`, `DELIVERING`, `DONE`, `FAILED` or `CANCELLED`."""
        return enum_name(job_pb2.Job.State, self.message.state, "STATE_")

    @property
    def ended(self) -> bool:
        """Whether it will change no more."""
        return self.message.state in following.ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.message.state == job_pb2.Job.STATE_DONE

    def reason(self, lang: str = "en") -> str:
        """Why it is in its state, in English or Chinese (`zh`); empty where there is nothing to say."""
        return words(self.message.state_reason, lang)

    async def refresh(self) -> None:
        """See it as it is now."""
        self.message = await self._client.stubs.scheduler.GetJob(pb.GetJobRequest(name=self.name))

    async def changes(self) -> AsyncIterator[job_pb2.Job]:
        """It as it is now, then anew whenever its state or the reason of it has changed, until it has ended.

        A service that is away for a while is waited for.
        """
        async for job in following.changes(self._client.stubs, self.name):
            self.message = job
            yield job

    async def wait(
        self,
        timeout_s: float | None = None,
        *,
        check: bool = False,
        on_change: Callable[[job_pb2.Job], None] | None = None,
    ) -> JobHandle:
        """Itself, once it has ended; `on_change` sees each state on the way.

        Raises DeadlineExceeded (`STILL_RUNNING`) after `timeout_s`, or Unavailable (`MESH_UNREACHABLE`) where nothing
        answers then: the job goes on. With `check` raises FailedPrecondition (`JOB_NOT_DONE`) where it has not ended
        well.
        """
        reach = Reach(lambda _: self.refresh())
        reach.begin()
        try:
            async with asyncio.timeout(timeout_s):
                async for job in following.changes(self._client.stubs, self.name, on_outage=reach.told):
                    self.message = job
                    if on_change is not None:
                        on_change(job)
        except TimeoutError:
            if outage := await reach.outage(self._client.stubs, self.name):
                raise outage from None
            if not self.ended:
                said = Text(
                    f"{self.name} has not ended after {timeout_s:g} s", f"{self.name} 在 {timeout_s:g} 秒后仍未结束"
                )
                raise refusal(DeadlineExceeded, "STILL_RUNNING", said, name=self.name) from None
        if check and not self.succeeded:
            said = Text(
                f"{self.name} is {self.state}: {self.reason()}", f"{self.name} 为 {self.state}：{self.reason('zh')}"
            )
            raise refusal(FailedPrecondition, "JOB_NOT_DONE", said, name=self.name, state=self.state)
        return self

    async def cancel(self) -> None:
        """Ask to end it; it has ended once `wait` says so."""
        self.message = await self._client.stubs.scheduler.CancelJob(pb.CancelJobRequest(name=self.name))

    async def logs(self, task: int = 0, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What a task wrote, in pieces: from its site while it is there, else from where the log was delivered."""
        request = pb.ReadJobLogsRequest(name=self.name, follow=follow, task=task)
        async for content in following.log(self._client.stubs, request):
            yield content

    async def log(self, task: int = 0) -> str:
        """All that a task wrote up to now."""
        return b"".join([piece async for piece in self.logs(task)]).decode(errors="replace")

    async def tasks(self) -> list[pb.Task]:
        """What became of each task: state, exit status, times, parameters, site, attempt; none before it runs."""
        listed = self._client.stubs.scheduler.ListTasks
        return [task async for task in pages(listed, pb.ListTasksRequest(job=self.name), "tasks")]

    async def decision(self) -> decision_pb2.Decision:
        """Why it went where it went, or why it waits."""
        request = pb.GetDecisionRequest(name=f"{self.name}/decisions/-")
        return await self._client.stubs.scheduler.GetDecision(request)

    def results(self) -> dict[str, str]:
        """The datasets it has delivered, by the ids of its outputs."""
        return {
            out.output_id: name for out, name in zip(self.message.outputs, self.message.output_datasets, strict=False)
        }

    async def fetch(self, output_id: str, to: Path | str) -> Path:
        """Bring what it delivered as `output_id` into the folder `to`. Raises NotFound (`OUTPUT_UNKNOWN`)."""
        delivered = self.results()
        if output_id not in delivered:
            known = ", ".join(delivered)
            said = Text(
                f"{self.name} has delivered no {output_id!r}; it has: {known or 'nothing'}",
                f"{self.name} 没有交付 {output_id!r}；已交付：{known or '无'}",
            )
            raise refusal(NotFound, "OUTPUT_UNKNOWN", said, name=self.name)
        return await self._client.data.get(delivered[output_id], to)

    async def charges(self) -> list[usage_pb2.Charge]:
        """What it has cost, charge by charge."""
        return [charge async for charge in self._client.money.charges(self.message.account, job=self.name)]


class Jobs:
    """Your jobs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def submit(self, job: Job | job_pb2.Job, *, job_id: str = "") -> JobHandle:
        """Submit one job, under a name of the mesh's choice without `job_id`. Raises what refuses it."""
        (submitted,) = await self.submit_many([job], job_ids=[job_id])
        if isinstance(submitted, Refusal):
            raise submitted
        return submitted

    async def submit_many(
        self, many: Sequence[Job | job_pb2.Job], *, job_ids: Sequence[str] = ()
    ) -> Sequence[JobHandle | Refusal]:
        """Submit any number; for each the job, or the refusal it met: one that is refused keeps no other away.

        Raises what refuses the first call, of up to a hundred; what refuses a later one answers for each of its jobs.
        """
        if len(job_ids) > len(many):
            said = Text(f"{len(job_ids)} names for {len(many)} jobs", f"{len(many)} 个作业却有 {len(job_ids)} 个名称")
            raise refusal(InvalidArgument, "FIELD_INVALID", said, field="job_ids")
        ids = [*job_ids, *[""] * (len(many) - len(job_ids))]
        items = [await self._item(each, job) for each, job in zip(ids, many, strict=True)]
        answered: list[JobHandle | Refusal] = []
        for begin in range(0, len(items), ITEMS_MAX):
            together = items[begin : begin + ITEMS_MAX]
            try:
                answer = await self._client.stubs.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=together))
            except Refusal as refused:
                if not answered:
                    raise
                answered += [refused] * len(together)  # who waits for those before it must not lose them
                continue
            answered += [
                refusal_of(each.error) if each.HasField("error") else JobHandle(self._client, each.job)
                for each in answer.results
            ]
        return answered

    async def decide(self, job: Job | job_pb2.Job) -> decision_pb2.Decision:
        """Where it would go now, and for which reasons; nothing is stored."""
        request = pb.SubmitJobsRequest(items=[pb.SubmitJob(job=await self._message(job))], validate_only=True)
        result = (await self._client.stubs.scheduler.SubmitJobs(request)).results[0]
        if result.HasField("error"):
            raise refusal_of(result.error)
        return result.decision

    async def get(self, name: str) -> JobHandle:
        """The job `name`, with or without `jobs/` before it."""
        full = name if "/" in name else f"jobs/{name}"
        return JobHandle(self._client, await self._client.stubs.scheduler.GetJob(pb.GetJobRequest(name=full)))

    async def list(self, filter_: str = "") -> AsyncIterator[JobHandle]:
        """Your jobs, the newest first; `filter_` keeps some, such as `labels.team = "vision"` (AIP-160)."""
        request = pb.ListJobsRequest(filter=filter_)
        async for message in pages(self._client.stubs.scheduler.ListJobs, request, "jobs"):
            yield JobHandle(self._client, message)

    async def _item(self, job_id: str, job: Job | job_pb2.Job) -> pb.SubmitJob:
        """A job with its secrets, which are sealed for it alone: one with any is given its name here."""
        item = pb.SubmitJob(job_id=job_id, job=await self._message(job))
        if isinstance(job, Job) and job.secrets:
            from suanmesh_sdk.sealing import sealed_for_job

            item.job_id = job_id or sortable_id(SystemClock().now(), system_rng)
            values = {name: secret.read() for name, secret in job.secrets.items()}
            item.secrets.extend(await sealed_for_job(self._client.stubs, f"jobs/{item.job_id}", values))
        return item

    async def _message(self, job: Job | job_pb2.Job) -> job_pb2.Job:
        if isinstance(job, job_pb2.Job):
            if job.account:
                return job
            paid = job_pb2.Job(account=await self._client.money.account())
            paid.MergeFrom(job)
            return paid
        message = to_message(job, account=job.account or await self._client.money.account())
        if job.workdir is not None:
            workdir = Path(job.workdir)
            with checked(workdir):
                await bring(self._client.stubs, workdir, message, skip=ignored(workdir))
        if job.setup is not None and job.setup.wheels is not None:
            wheels = Path(job.setup.wheels)
            with checked(wheels):
                await bring_wheels(self._client.stubs, wheels, message)
        return message


async def wait_all(many: Sequence[JobHandle], timeout_s: float | None = None) -> None:
    """Wait until all of `many` have ended. Raises as `JobHandle.wait` does for the first that has not."""
    loop = asyncio.get_running_loop()
    until = None if timeout_s is None else loop.time() + timeout_s
    for job in many:
        await job.wait(None if until is None else max(0.0, until - loop.time()))
