"""Deciding jobs that wait keeps nobody else waiting, and is done no oftener than something changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_scheduler.testing import PaperAreas

PENDING = job_pb2.Job.STATE_PENDING
NOWHERE = 99_000
NEVER_S = 3600.0


async def test_a_job_that_waits_is_not_decided_again_for_its_own_decision(running: Any) -> None:
    """Ten thousand jobs that fit nowhere would cost twice the work, while other calls wait."""
    async with running(resync_s=NEVER_S) as world:
        await world.submit("one", cpu_milli=NOWHERE)
        await world.until_job(PENDING, "jobs/one", reason="NO_PLACE")
        await world.submit("two", cpu_milli=NOWHERE)
        await world.until_job(PENDING, "jobs/two", reason="NO_PLACE")
        assert world.areas.calls.count("quote") == 2


async def test_jobs_go_on_while_decisions_take_long(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has many jobs that wait would keep others' jobs from going on."""
    go_on, asked, quote = asyncio.Event(), asyncio.Semaphore(0), PaperAreas.quote

    async def late(areas: PaperAreas, asks: Any) -> Any:
        asked.release()
        await go_on.wait()
        return await quote(areas, asks)

    async with running(resync_s=NEVER_S) as world:
        await world.submit("first")
        placement = await world.placed("jobs/first")
        await world.until_job(job_pb2.Job.STATE_PLACED, "jobs/first")
        monkeypatch.setattr(PaperAreas, "quote", late)
        for number in range(8):
            await world.submit(f"j{number}", cpu_milli=NOWHERE)
        await asked.acquire()
        await world.report(placement, placement_pb2.Placement.STATE_ACCEPTED)
        await world.report(placement, placement_pb2.Placement.STATE_RUNNING)
        await world.until_job(job_pb2.Job.STATE_RUNNING, "jobs/first")
        go_on.set()
        await world.until_job(PENDING, "jobs/j7", reason="NO_PLACE")
