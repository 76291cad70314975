"""The fake mesh keeps what the client promises, and is quick enough for everybody's own tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import client_contract
import pytest
import pytest_asyncio
from client_contract import *  # noqa: F403 - the suite itself

from suanmesh_client import Client, Job
from suanmesh_fake import FakeMesh, Script
from suanmesh_fake.processes import authority

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh() -> AsyncIterator[Client]:
    """One for the suite, as a living node is one for all its users."""
    async with FakeMesh(client_contract.acts) as client:
        yield client


async def test_a_mistake_of_the_test_itself_is_named() -> None:
    """A job that waits for ever is the hardest way to find one's own typing mistake."""
    async with FakeMesh(lambda task: Script(log=task.no_such_field)) as client:  # type: ignore[attr-defined]
        ended = await (await client.jobs.submit(Job(command=["x"]))).wait(60)
        assert "no_such_field" in ended.reason()


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


async def test_what_is_issued_is_trusted_however_many_nodes_came_between() -> None:
    """A suite makes nodes of many begins: one that trusts another authority than the one it has lets nobody in."""
    begins = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 7)]
    for begin in [*begins, *begins]:
        made = authority(begin)
        assert made.issued("spiffe://node/party/a/user/b").ca == made.ca.pem
