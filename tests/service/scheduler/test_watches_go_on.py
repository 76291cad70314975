"""A watch that is opened again goes on from what was seen."""

from __future__ import annotations

import asyncio
from typing import Any

from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb

Job = job_pb2.Job


async def test_a_watch_that_is_opened_again_goes_on_from_what_was_seen(scheduler: Any) -> None:
    """Whoever acts on each change would act twice on one, or miss one, whenever a gateway restarts."""

    def watch(token: str) -> Any:
        return scheduler.user.scheduler.WatchJob(pb.WatchJobRequest(name="jobs/j", resume_token=token))

    placement = await scheduler.bring(Job.STATE_PLACED)
    seen = await watch("").read()
    going_on = watch(seen.etag)
    following = asyncio.ensure_future(going_on.read())
    await scheduler.finish(placement, Job.STATE_PLACED)
    assert (await following).state != Job.STATE_PLACED, "what was seen is not sent again"
    going_on.cancel()
    late = [job.state async for job in watch(seen.etag)]
    assert late == [Job.STATE_DONE]
    done = await scheduler.job()
    assert [job async for job in watch(done.etag)] == []
