"""A watch that breaks is opened again behind what was read."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import WatchJobRequest
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk import connect


async def test_a_watch_goes_on_behind_what_was_read(serve: Any, tls: Any) -> None:
    """Whoever acts on each change would act twice on one, or miss one, whenever a gateway restarts."""
    oracle = await serve()
    tokens: list[str] = []

    async def some_then_gone(request: bytes, context: Any) -> None:
        tokens.append(token := WatchJobRequest.FromString(request).resume_token)
        for number in range(int(token or 0) + 1, 6):
            await context.write(Job(name="jobs/1", etag=str(number)).SerializeToString())
            if number % 2 == 0:
                raise Unavailable("NOT_READY", "draining")

    oracle.stream = some_then_gone
    asked = WatchJobRequest(name="jobs/1")
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        seen = [job.etag async for job in mesh.scheduler.WatchJob(asked)]
    assert seen == ["1", "2", "3", "4", "5"]
    assert tokens == ["", "2", "4"]
    assert asked == WatchJobRequest(name="jobs/1"), "what the caller has made stays as it is"


async def test_a_watch_that_gets_nowhere_ends(serve: Any, tls: Any) -> None:
    """A server that breaks off whatever it is asked would be asked for ever."""
    oracle = await serve()

    async def one_then_gone(request: bytes, context: Any) -> None:
        if not WatchJobRequest.FromString(request).resume_token:
            await context.write(Job(name="jobs/1", etag="1").SerializeToString())
        raise Unavailable("NOT_READY", "draining")

    oracle.stream = one_then_gone
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        call: Any = mesh.scheduler.WatchJob(WatchJobRequest(name="jobs/1"), timeout=3.0)
        assert (await call.read()).etag == "1"
        with pytest.raises(Refusal) as caught:
            await call.read()
    assert caught.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert len(oracle.asked) > 1
