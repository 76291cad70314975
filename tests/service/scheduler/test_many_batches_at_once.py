"""More than can be done at once: what is taken is answered, what is not is told when to come again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler.domain.admission import DELAY_MIN_S
from suanmesh_scheduler.testing import FakePeers

JobOf = Callable[..., job_pb2.Job]
NOWHERE = 99_000


def a_batch(job_of: JobOf, items: int, *, inputs: list[str] | None = None) -> pb.SubmitJobsRequest:
    job = job_of(cpu_milli=NOWHERE, inputs=inputs)
    return pb.SubmitJobsRequest(items=[pb.SubmitJob(job=job) for _ in range(items)])


async def refused(call: Any) -> Refusal | None:
    try:
        await call
    except Refusal as refusal:
        return refusal
    return None


async def test_batches_beyond_the_queue_are_refused_at_once_and_done_later(
    running: Any, job_of: JobOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred programs that submit at once must not all run out of time with a few of their jobs done."""
    async with running(queued_items_max=60, queued_items_of_party_max=60) as world:
        call, go_on, asked = world.user.scheduler.SubmitJobs, asyncio.Event(), asyncio.Semaphore(0)
        with monkeypatch.context() as slow:
            slow.setattr(FakePeers, "account", _after(go_on, asked))
            taken = [asyncio.create_task(call(a_batch(job_of, 20), timeout=30)) for _ in range(2)]
            for _ in taken:
                await asked.acquire()
            told = await refused(call(a_batch(job_of, 20), timeout=2.0))
            go_on.set()
            assert told is not None
            assert (told.code, told.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
            assert told.retry_delay_s >= DELAY_MIN_S
            answers = await asyncio.gather(*taken)
        answers += await asyncio.gather(*(call(a_batch(job_of, 20), timeout=30) for _ in range(12)))
        assert all(result.HasField("job") for answer in answers for result in answer.results)
        assert len(await world.jobs_kept()) == 14 * 20


def _after(go_on: asyncio.Event, asked: asyncio.Semaphore) -> Any:
    """Accounting that says when it is asked, and answers only then."""
    answer = FakePeers.account

    async def late(self: FakePeers, name: str) -> Any:
        found = await answer(self, name)
        asked.release()
        await go_on.wait()
        return found

    return late


async def test_what_a_batch_names_is_looked_up_once(running: Any, job_of: JobOf) -> None:
    """A hundred jobs that ask accounting and transport a hundred times each are what a batch is there to avoid."""
    async with running(resync_s=1000.0) as world:
        world.peers.calls.clear()
        job = job_of(inputs=["in"])
        job.account = "accounts/a"
        bad = job_of()
        bad.account = "accounts/other"
        items = [pb.SubmitJob(job=job) for _ in range(50)] + [pb.SubmitJob(job=bad) for _ in range(50)]
        begun = await world.user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items, validate_only=False))
        calls = world.peers.calls[: world.peers.calls.index("dataset") + 1]
        assert calls == ["account", "account", "dataset"]
        assert [result.HasField("job") for result in begun.results] == [True] * 50 + [False] * 50


async def test_batches_at_once_do_not_pass_a_partys_bound_together(running: Any, job_of: JobOf) -> None:
    """Each batch alone would have had room; together they would fill the node."""
    async with running(live_jobs_max=30) as world:
        call = world.user.scheduler.SubmitJobs
        answers = await asyncio.gather(*(call(a_batch(job_of, 20), timeout=30) for _ in range(4)))
        accepted = [result for answer in answers for result in answer.results if result.HasField("job")]
        assert len(accepted) == 30
        again = await call(a_batch(job_of, 1))
        assert again.results[0].error.message.endswith("at most 30 are allowed")
