"""What a party may submit and cancel in a time, and what that leaves in etcd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from suanmesh.accounting.v1 import account_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_chassis.identity import user_id
from suanmesh_chassis.testing import NODE
from suanmesh_kernel.refusals import ResourceExhausted
from suanmesh_scheduler.jobs import Jobs

JobOf = Callable[..., job_pb2.Job]
Job = job_pb2.Job
NOWHERE = 99_000
SOON_S = 10.0
"""Time enough to be refused, too little to wait as told."""


def a_request(job: job_pb2.Job, items: int = 1, request_id: str = "") -> pb.SubmitJobsRequest:
    return pb.SubmitJobsRequest(items=[pb.SubmitJob(job=job) for _ in range(items)], request_id=request_id)


async def test_who_submits_too_much_is_told_when_to_come_again(running: Any, job_of: JobOf) -> None:
    """A script gone wild would fill etcd; an honest program that waits as it is told must get in, before others."""
    async with running(jobs_per_s=0.2, jobs_burst=10) as world:
        call, job = world.user.scheduler.SubmitJobs, job_of(cpu_milli=NOWHERE)
        await call(a_request(job, 10))
        with pytest.raises(ResourceExhausted, match="RATE_EXCEEDED") as first:
            await call(a_request(job, 8, "first"), timeout=SOON_S)
        with pytest.raises(ResourceExhausted, match="RATE_EXCEEDED") as second:
            await call(a_request(job, 1, "second"), timeout=SOON_S)
        assert (first.value.retry_delay_s, second.value.retry_delay_s) == (40.0, 45.0)
        assert first.value.facts["of"] == "submitted jobs"
        world.peers.accounts["accounts/b"] = account_pb2.Account(name="accounts/b", party="parties/other")
        other = world.node.mesh(world.address, caller=user_id(NODE, "other", "bob"))
        job.account = "accounts/b"
        assert (await other.scheduler.SubmitJobs(a_request(job, 10))).results[9].HasField("job")
        world.clock.advance(40.0)
        job.account = "accounts/a"
        assert len((await call(a_request(job, 8, "first"))).results) == 8
        assert len(await world.jobs_kept()) == 28


async def test_a_large_job_takes_more_of_the_rate(running: Any, job_of: JobOf) -> None:
    """By jobs of eight kilobytes etcd would grow eight times as fast."""
    async with running(jobs_per_s=0.05, jobs_burst=9) as world:
        job = job_of(cpu_milli=NOWHERE)
        job.package.variants[0].artefacts.add(path="data.bin", content=b"x" * 5000)
        await world.user.scheduler.SubmitJobs(a_request(job))
        with pytest.raises(ResourceExhausted, match="RATE_EXCEEDED"):
            await world.user.scheduler.SubmitJobs(a_request(job), timeout=SOON_S)


async def test_who_cancels_too_much_is_told_too(running: Any, job_of: JobOf) -> None:
    """Each cancelled job is written once more; cancelling the same one again costs nothing and is not counted."""
    async with running(cancels_per_s=0.05, cancels_burst=2) as world:
        for name in "abc":
            await world.submit(name, cpu_milli=NOWHERE)
        await world.cancel("jobs/a")
        await world.cancel("jobs/b")
        with pytest.raises(ResourceExhausted, match="RATE_EXCEEDED") as refused:
            await world.user.scheduler.CancelJob(pb.CancelJobRequest(name="jobs/c"), timeout=SOON_S)
        assert refused.value.facts["of"] == "cancelled jobs"
        assert (await world.cancel("jobs/a")).state == Job.STATE_CANCELLED
        world.clock.advance(20.0)
        assert (await world.cancel("jobs/c")).state == Job.STATE_CANCELLED


async def test_a_cancel_that_is_overtaken_counts_once(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cancels while the mesh says why a job waits would be refused what they may."""
    put_one, overtaken = Jobs.put_one, list[str]()

    async def slower(self: Jobs, job: Any, changed: Any, author: Any = None) -> Any:
        if not overtaken:
            overtaken.append(job.name)
            await world.change_job(job.name, lambda told: told.state_reason.facts.update({"told": "again"}))
        return await put_one(self, job, changed, author)

    monkeypatch.setattr(Jobs, "put_one", slower)
    async with running(cancels_per_s=1.0, cancels_burst=1, resync_s=3600.0) as world:
        await world.submit("a", cpu_milli=NOWHERE)
        await world.until_job(Job.STATE_PENDING, "jobs/a", reason="NEVER_FITS")
        cancelled = await world.user.scheduler.CancelJob(pb.CancelJobRequest(name="jobs/a"), timeout=SOON_S)
        assert (cancelled.state, overtaken) == (Job.STATE_CANCELLED, ["jobs/a"])


async def test_a_job_cancelled_while_it_waits_leaves_nothing_in_etcd(running: Any) -> None:
    """Jobs that are submitted and cancelled in a circle would fill etcd for an hour each; people still find them."""
    async with running() as world:
        await world.submit("a", cpu_milli=NOWHERE)
        await world.until_job(Job.STATE_PENDING, "jobs/a", reason="NO_PLACE")
        before = await world.records.newest()
        cancelled = await world.cancel("jobs/a")
        assert (cancelled.state, await world.records.newest() - before) == (Job.STATE_CANCELLED, 1)
        assert (await world.job("jobs/a")).state == Job.STATE_CANCELLED
        assert (await world.decision("jobs/a")).job == "jobs/a"
        assert [job.name for job in (await world.user.scheduler.ListJobs(pb.ListJobsRequest())).jobs] == ["jobs/a"]


async def test_who_watches_a_job_sees_it_cancelled(running: Any) -> None:
    """A program that waits for the end of a job would wait for ever for one that is no longer in etcd."""
    async with running() as world:
        await world.submit("a", cpu_milli=NOWHERE)
        states = []
        async for job in world.user.scheduler.WatchJob(pb.WatchJobRequest(name="jobs/a")):
            states.append(job.state)
            if len(states) == 1:
                await world.cancel("jobs/a")
        assert states[-1] == Job.STATE_CANCELLED
