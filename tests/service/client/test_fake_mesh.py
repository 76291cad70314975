"""The fake mesh keeps what the client promises, and is quick enough for everybody's own tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import client_contract
import pytest
from client_contract import *  # noqa: F403 - the suite itself

from suanmesh_client import Client
from suanmesh_client.sync import Client as SyncClient
from suanmesh_client.sync import Job, JobHandle, Output, wait_all
from suanmesh_fake import FakeMesh, Script, fake_mesh
from suanmesh_kernel.refusals import NotFound, Refusal


@pytest.fixture
async def mesh() -> AsyncIterator[Client]:
    async with FakeMesh(client_contract.acts) as client:
        yield client


@pytest.fixture
def plain() -> Iterator[SyncClient]:
    with fake_mesh(lambda task: Script(log=f"{task.key.index}\n", write=(("out/sum", b"42"),))) as client:
        yield client


def test_without_async_it_says_the_same(plain: SyncClient) -> None:
    """Scripts and notebooks have no loop of their own."""
    one = plain.jobs.submit(Job(command=["sum"], outputs=[Output("sum", "out")], tasks=2), job_id="one")
    assert one.wait(60, check=True).succeeded
    assert [one.log(index) for index in range(2)] == ["0\n", "1\n"]
    assert b"".join(one.logs(1)) == b"1\n"
    assert [task.result.exit_status for task in one.tasks()] == [0, 0]
    assert b"".join(plain.data.read(one.results()["sum"], "task-0/sum")) == b"42"
    assert [each.name for each in plain.jobs.list()] == ["jobs/one"] == [plain.jobs.get("one").name]
    assert plain.jobs.decide(Job(command=["sum"])).chosen.startswith("sites/")
    assert one.decision().chosen.startswith("sites/")
    assert {charge.job for charge in plain.money.charges()} <= {"jobs/one"}


def test_without_async_data_goes_in_and_out(plain: SyncClient, tmp_path: Path) -> None:
    """A notebook fetches its results beside it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"1")
    assert plain.data.put(tmp_path / "in", "in").dataset == "datasets/in"
    assert (plain.data.get("in", tmp_path / "again") / "a").read_bytes() == b"1"
    job = plain.jobs.submit(Job(command=["sum"], outputs=[Output("sum", "out")])).wait(60, check=True)
    assert (job.fetch("sum", tmp_path / "out") / "sum").read_bytes() == b"42"


def test_without_async_many_are_submitted_and_waited_for(plain: SyncClient) -> None:
    """A loop over single calls would take as long as all of them together."""
    answered = plain.jobs.submit_many([Job(command=["sum"])] * 3)
    jobs = [each for each in answered if not isinstance(each, Refusal)]
    wait_all(jobs, 60)
    assert [job.state for job in jobs] != []
    assert all(isinstance(job, JobHandle) and job.succeeded for job in map(_seen_anew, jobs))


def _seen_anew(job: JobHandle) -> JobHandle:
    job.refresh()
    return job


async def test_a_mistake_of_the_test_itself_is_named() -> None:
    """A job that waits for ever is the hardest way to find one's own typing mistake."""
    async with FakeMesh(lambda task: Script(log=task.no_such_field)) as client:  # type: ignore[attr-defined]
        ended = await (await client.jobs.submit(Job(command=["x"]))).wait(60)
        assert "no_such_field" in ended.reason()


def test_a_list_may_be_left_early(plain: SyncClient) -> None:
    """Whoever wants the newest job breaks off the loop, and asks on."""
    plain.jobs.submit_many([Job(command=["sum"])] * 2)
    for _ in plain.jobs.list():
        break
    with pytest.raises(NotFound):
        plain.jobs.get("none")


async def test_a_job_waits_in_the_queue_of_a_site_as_at_one_that_runs_slurm() -> None:
    """A program that acts on what a job waits for is tried here first."""
    async with FakeMesh(lambda task: Script(queue=3600)) as client:
        job = await client.jobs.submit(Job(command=["x"]))
        async for _ in job.changes():
            if job.state == "QUEUED":
                break
        assert job.reason().startswith("QUEUE_RESOURCES")
        assert [each.name async for each in client.jobs.list("state = QUEUED")] == [job.name]
        await job.cancel()
        ended = await job.wait(60)
        assert (ended.state, [each async for each in client.money.charges()]) == ("CANCELLED", [])


async def test_a_service_that_is_started_anew_is_waited_for() -> None:
    """Programs are tried against bad days too: the node behind the client can be hurt."""
    fake = FakeMesh()
    async with fake as client:
        job = await client.jobs.submit(Job(command=["sum"]))
        await fake.node.services["scheduler"].stop()
        fake.node.services["scheduler"].start()
        assert (await job.wait(60)).succeeded
        assert fake.node.faults == []
