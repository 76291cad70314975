"""A party that is suspended submits nothing new, and what it has submitted goes on."""

from __future__ import annotations

from typing import Any

from suanmesh.registry.v1 import party_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh_sdk.status import refusal_of
from suanmesh_store import Create
from suanmesh_store.layout import PARTIES

Party = party_pb2.Party
ACME = "parties/acme"
TRIES = 500


async def test_a_suspended_party_submits_no_new_job_and_loses_none(scheduler: Any) -> None:
    """Who does not pay would go on to fill the mesh; who is let in again would have lost the work of a week."""
    await scheduler.submit()
    placement = await scheduler.placed()
    await scheduler.store.of("registry").commit(Create(PARTIES, ACME, Party(name=ACME, state=Party.STATE_SUSPENDED)))
    await scheduler.until(PARTIES, ACME, lambda party: party.state == Party.STATE_SUSPENDED)

    await until_told(scheduler, "PARTY_SUSPENDED", "late")
    await scheduler.report_all_the_way(placement)
    await scheduler.until_job(job_pb2.Job.STATE_DONE)

    await scheduler.change(PARTIES, ACME, lambda party: setattr(party, "state", Party.STATE_APPROVED))
    await until_told(scheduler, "", "again")


async def until_told(scheduler: Any, reason: str, name: str) -> None:
    """Submit until that is the answer: what the registry has written is followed a moment later."""
    for number in range(TRIES):
        [(job_id, job)] = scheduler.jobs(f"{name}-{number}", allow_sites=["sites/far"])
        result = (await scheduler.submit_raw(job, job_id)).results[0]
        if (refusal_of(result.error).reason if result.HasField("error") else "") == reason:
            return
    raise AssertionError(f"never {reason or 'taken'}")
