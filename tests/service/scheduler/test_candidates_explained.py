"""Any candidate of a decision can be asked about, also one that the decision only counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from suanmesh.scheduler.v1 import decision_pb2, job_pb2, reason_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import InvalidArgument, NotFound
from suanmesh_scheduler.wire import CANDIDATES_MAX

Job = job_pb2.Job
PATIENCE_S = 60.0
Explanation = decision_pb2.CandidateExplanation


async def explained(user: Any, pool: str, name: str = "jobs/j/decisions/-") -> Explanation:
    """What a user is told of a pool."""
    told: Explanation = await user.scheduler.ExplainCandidate(pb.ExplainCandidateRequest(name=name, pool=pool))
    return told


async def test_a_candidate_that_is_listed_is_told_as_it_was_decided(scheduler: Any) -> None:
    """Whoever asks why their job went where it went wants the numbers of then, not of an hour later."""
    await scheduler.submit("j")
    await scheduler.until_job(Job.STATE_PLACED)
    decision = await scheduler.decision()
    await scheduler.lose("near")

    user = scheduler.user
    told = await explained(user, "sites/near/pools/cpu")

    assert (told.decision, told.basis, told.read) == (decision.name, Explanation.BASIS_DECISION, decision.read)
    assert told.candidate in decision.candidates
    assert not told.HasField("reason")


async def test_a_candidate_that_is_only_counted_is_reckoned_from_what_stands(scheduler: Any) -> None:
    """A provider whose pool is one of a hundred must learn what keeps the jobs away from it."""
    for number in range(CANDIDATES_MAX):
        await scheduler.add_site(f"s{number:02}", price=9)
    await scheduler.submit("j", cpu_milli=99_000)
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    decision = await scheduler.decision()
    last = f"sites/s{CANDIDATES_MAX - 1:02}/pools/cpu"
    assert last not in {candidate.pool for candidate in decision.candidates}

    user = scheduler.user
    told = await explained(user, last, decision.name)
    assert (told.basis, told.reason.code) == (Explanation.BASIS_NOW, "REVISIONS_STAND")
    assert told.candidate.obstacle.code == reason_pb2.OBSTACLE_CODE_CPU
    assert (told.candidate.obstacle.needed, told.candidate.obstacle.available) == (99_000, 4000)

    await scheduler.lose(last.split("/")[1])
    async with asyncio.timeout(PATIENCE_S):
        while told.reason.code != "REVISIONS_PAST":  # until the scheduler's mirror has seen it
            told = await explained(user, last)
    assert told.candidate.obstacle.code == reason_pb2.OBSTACLE_CODE_SITE_NOT_ALIVE
    assert int(told.reason.facts["registry_before"]) == decision.read.registry < told.read.registry


async def test_what_there_is_not_is_refused_by_its_name(scheduler: Any) -> None:
    """A slip of the pen must not read as a pool that does not fit."""
    await scheduler.submit("j")
    await scheduler.until_job(Job.STATE_PLACED)

    user = scheduler.user
    with pytest.raises(NotFound, match="POOL_UNKNOWN"):
        await explained(user, "sites/near/pools/none")
    with pytest.raises(NotFound, match="JOB_UNKNOWN"):
        await explained(user, "sites/near/pools/cpu", "jobs/none/decisions/-")
    with pytest.raises(NotFound, match="DECISION_UNKNOWN"):
        await explained(user, "sites/near/pools/cpu", "jobs/j/decisions/99")
    with pytest.raises(InvalidArgument, match="pool"):
        await explained(user, "sites/near")
