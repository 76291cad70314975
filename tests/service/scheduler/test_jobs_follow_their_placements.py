"""A placement is a fact before its job tells of it: whatever happens in between, the job follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import Unavailable
from suanmesh_scheduler import rounds
from suanmesh_scheduler.jobs import Jobs
from suanmesh_store import Create, Delete, MemoryStore
from suanmesh_store.layout import HOLDS, PLACEMENTS

Job, Placement = job_pb2.Job, placement_pb2.Placement
Running = Callable[..., Any]


@asynccontextmanager
async def untold(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Any, placement_pb2.Placement]]:
    """A job that was given a place, by a scheduler that died before it could say so."""
    put = Jobs.put

    async def dead(self: Jobs, *_: Any) -> Any:
        raise Unavailable("NOT_READY", "the records do not answer", domain="mesh.suanmesh")

    monkeypatch.setattr(Jobs, "put", dead)
    async with running() as world:
        await world.submit()
        placement = await world.given()
        assert not (await world.job()).placement
        yield world, placement
    monkeypatch.setattr(Jobs, "put", put)


async def test_the_next_leader_lets_a_job_tell_of_its_place(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be given a second place, and run and be paid for twice."""
    async with untold(running, monkeypatch) as (_, given):
        pass
    async with running() as world:
        placement = await world.placed()
        job = await world.until_job(Job.STATE_PLACED)
        assert (placement.name, job.placement, job.attempt) == (given.name, given.name, 1)
        await asyncio.sleep(0.2)  # so many looks again
        assert [held.name for held in (await world.store.snapshot(PLACEMENTS)).held] == [given.name]


async def test_a_place_that_is_not_told_of_yet_may_end(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job would wait for ever for what has been done, or do it again."""
    async with untold(running, monkeypatch) as (world, given):
        await world.report_all_the_way(given)
    async with running() as world:
        job = await world.until_job(Job.STATE_DONE)
        assert (job.placement, list(job.output_datasets)) == (given.name, ["datasets/j-log"])
        assert [step.state for step in job.history][-1] == Job.STATE_DONE


async def test_a_job_taken_back_while_its_placement_is_committed(
    scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was told that the job is cancelled would pay for its run."""
    commit = MemoryStore.commit

    async def overtaking(self: MemoryStore, *changes: Any, **more: Any) -> Any:
        """The user takes the job back when nothing can stop the commit any more."""
        if any(isinstance(change, Create) and change.kind is PLACEMENTS for change in changes):
            monkeypatch.setattr(MemoryStore, "commit", commit)
            assert (await scheduler.cancel()).state == Job.STATE_CANCELLED
        return await commit(self, *changes, **more)

    monkeypatch.setattr(MemoryStore, "commit", overtaking)
    await scheduler.submit()
    [ended] = [await scheduler.until(PLACEMENTS, name, _has_ended) for name in [(await scheduler.given()).name]]
    assert ended.state == Placement.STATE_CANCELLED
    assert (await scheduler.job()).state == Job.STATE_CANCELLED
    await scheduler.nothing_held()


async def test_a_commit_of_unknown_outcome_gives_no_second_place(
    scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that etcd carries out late would place the job once more."""
    commit, late = MemoryStore.commit, list[Any]()

    async def unknown(self: MemoryStore, *changes: Any, **more: Any) -> Any:
        """The first placement is on its way to etcd when the scheduler stops waiting for it."""
        if any(isinstance(change, Create) and change.kind is PLACEMENTS for change in changes) and not late:
            late.append(asyncio.create_task(_later(commit(self, *changes, **more))))
            raise Unavailable("OUTCOME_UNKNOWN", "no answer", domain="mesh.suanmesh")
        return await commit(self, *changes, **more)

    monkeypatch.setattr(MemoryStore, "commit", unknown)
    await scheduler.submit()
    placement = await scheduler.placed()
    await asyncio.gather(*late, return_exceptions=True)
    assert [held.name for held in (await scheduler.store.snapshot(PLACEMENTS)).held] == [placement.name]
    assert len({t.key.split("/")[-3] for t in (await scheduler.store.tokens(HOLDS)).tokens}) == 1


async def test_a_round_that_fails_behind_its_commit_gives_no_second_place(
    scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect is looked for by deciding halves of the round again: what has its place by then keeps it."""
    keep, failed = rounds.keep_unplaced, list[str]()

    async def failing(jobs: Any, unplaced: Any) -> Any:
        """The round with both of them trips over what it could not place."""
        if len(failed) < 1 and unplaced:
            failed.append(unplaced[0].job.name)
            raise RuntimeError("a defect")
        return await keep(jobs, unplaced)

    monkeypatch.setattr(rounds, "keep_unplaced", failing)
    small, large = scheduler.jobs("small")[0], scheduler.jobs("large", cpu_milli=9000)[0]
    items = [pb.SubmitJob(job_id=job_id, job=a_job) for job_id, a_job in (small, large)]
    await scheduler.user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items))
    placement = await scheduler.placed("jobs/small")
    await scheduler.until_job(Job.STATE_PENDING, "jobs/large", "NO_PLACE")
    assert failed == ["jobs/large"]
    assert [held.name for held in (await scheduler.store.snapshot(PLACEMENTS)).held] == [placement.name]


async def test_a_job_whose_placement_is_forgotten_waits_again(scheduler: Any) -> None:
    """After etcd was put back to an older copy it would wait for the end of what nobody knows."""
    await scheduler.submit()
    first = await scheduler.placed()
    await scheduler.report(first, Placement.STATE_ACCEPTED)
    held = await scheduler.store.get(PLACEMENTS, first.name)
    await scheduler.store.commit(Delete(held))
    second = await scheduler.until_told("jobs/j", lambda job: job.placement not in ("", first.name))
    assert second.attempt == 1


async def test_a_job_does_not_go_back_with_its_placement(scheduler: Any) -> None:
    """etcd may be put back to an older copy: the job is ahead until its agent reports again."""
    await scheduler.submit()
    placement = await scheduler.placed()
    await scheduler.report(placement, Placement.STATE_ACCEPTED)
    await scheduler.report(placement, Placement.STATE_RUNNING)
    await scheduler.until_job(Job.STATE_RUNNING)
    await scheduler.change(PLACEMENTS, placement.name, lambda p: setattr(p, "state", Placement.STATE_ACCEPTED))
    await scheduler.report_all_the_way(placement)
    job = await scheduler.until_job(Job.STATE_DONE)
    assert [step.state for step in job.history].count(Job.STATE_RUNNING) == 1
    assert not job.state_reason.code.startswith("DEFECT")


async def _later(commit: Any) -> None:
    await asyncio.sleep(0.05)
    await commit


def _has_ended(placement: placement_pb2.Placement) -> bool:
    return placement.HasField("end_time")
