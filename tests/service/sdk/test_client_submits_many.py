"""What a program gets for more jobs than one call takes."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import SubmitJobResult, SubmitJobsRequest, SubmitJobsResponse
from suanmesh_client import connect
from suanmesh_client.jobs import ITEMS_MAX
from suanmesh_kernel.refusals import PermissionDenied, Refusal

MANY = [Job(account="accounts/a")] * (ITEMS_MAX + 1)


@pytest.mark.parametrize("after", [0, 1])
async def test_jobs_that_were_taken_are_told_whatever_comes_after(
    oracle: Any, environment: dict[str, str], after: int
) -> None:
    """The handles of a hundred jobs that run were lost with the call that was refused after theirs."""
    calls = iter(range(100))

    async def answer(body: bytes, context: Any) -> bytes:
        if next(calls) >= after:
            raise PermissionDenied("CALLER_SUSPENDED", "the party is suspended")
        items = SubmitJobsRequest.FromString(body).items
        return SubmitJobsResponse(results=[SubmitJobResult(job=each.job) for each in items]).SerializeToString()

    oracle.answer = answer
    async with connect(environment=environment) as mesh:
        if not after:
            with pytest.raises(PermissionDenied):
                await mesh.jobs.submit_many(MANY)
            return
        answered = await mesh.jobs.submit_many(MANY)
    assert [isinstance(each, Refusal) for each in answered] == [False] * ITEMS_MAX + [True]
