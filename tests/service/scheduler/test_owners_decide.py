"""What the owner of a site decides: whether new work comes to it, whose, when, which, and how much of one party."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.scheduler.v1.reason_pb2 import ObstacleCode
from suanmesh_chassis.identity import user_id
from suanmesh_chassis.testing import NODE, OPERATOR
from suanmesh_kernel.owner_limits import OwnerLimits, WorkKind, minute_of_week
from suanmesh_sdk.obstacles import obstacle_words
from suanmesh_sdk.values import limits_to
from suanmesh_store.layout import POOLS, SITES

ONLY = {"deny_sites": ["sites/data"]}


async def admit(world: Any, site: str, admission: int, note: str = "") -> None:
    def changed(message: Site) -> None:
        message.admission, message.admission_note = admission, note

    await world.change(SITES, f"sites/{site}", changed)


async def limit(world: Any, site: str, limits: OwnerLimits) -> None:
    def changed(pool: pool_pb2.Pool) -> None:
        pool.party = f"parties/{site}-power"
        pool.limits.CopyFrom(limits_to(limits))

    await world.change(POOLS, f"sites/{site}/pools/cpu", changed)


async def obstacle(world: Any, site: str, name: str = "jobs/j") -> Any:
    return next(c.obstacle for c in (await world.decision(name)).candidates if c.site == f"sites/{site}")


@pytest.mark.parametrize("admission", [Site.ADMISSION_CORDONED, Site.ADMISSION_DRAINING])
async def test_nothing_new_comes_to_a_site_that_is_cordoned(scheduler: Any, admission: int) -> None:
    """Who changes a fan finds new work on the machine whenever the old has ended."""
    await admit(scheduler, "near", admission, "new fans")
    await scheduler.submit(**ONLY)
    assert (await scheduler.placed()).site == "sites/far"
    why = await obstacle(scheduler, "near")
    assert ObstacleCode.Name(why.code) == "OBSTACLE_CODE_SITE_CORDONED"
    assert "new fans" in obstacle_words(why)
    await admit(scheduler, "near", Site.ADMISSION_OPEN)
    await scheduler.submit("k", **ONLY)
    assert (await scheduler.placed("jobs/k")).site == "sites/near"


async def test_draining_moves_what_has_not_begun_and_leaves_what_runs(scheduler: Any) -> None:
    """A drain that stops what runs loses hours of work; one that waits for what only queues there never ends."""
    await scheduler.submit("runs", **ONLY)
    running = await scheduler.placed("jobs/runs", site="near")
    await scheduler.report(running, Placement.STATE_ACCEPTED)
    await scheduler.report(running, Placement.STATE_RUNNING)
    await scheduler.submit("waits", **ONLY)
    waiting = await scheduler.placed("jobs/waits", site="near")
    await scheduler.report(waiting, Placement.STATE_ACCEPTED)
    await admit(scheduler, "near", Site.ADMISSION_DRAINING)
    moved = await scheduler.placed("jobs/waits", site="far")
    job = await scheduler.job("jobs/waits")
    assert (moved.site, job.attempt) == ("sites/far", 1)
    assert any(step.reason.code == "SITE_DRAINING" for step in job.history)
    left = await living(scheduler.node.mesh(scheduler.address, caller=OPERATOR), "near")
    assert [each.job for each in left.placements] == ["jobs/runs"]
    assert (await scheduler.job("jobs/runs")).state == Job.STATE_RUNNING


async def test_a_cordon_moves_nothing(scheduler: Any) -> None:
    """Who only wants no more must not disturb what came before."""
    await scheduler.submit(**ONLY)
    placement = await scheduler.placed(site="near")
    await admit(scheduler, "near", Site.ADMISSION_CORDONED)
    await scheduler.report(placement, Placement.STATE_ACCEPTED)
    await scheduler.report(placement, Placement.STATE_RUNNING)
    assert (await scheduler.until_job(Job.STATE_RUNNING)).placement == placement.name


async def test_an_owner_sees_what_lives_at_its_site_and_others_see_their_own(scheduler: Any) -> None:
    """Who may not know what runs on its own machine, and for whom, cannot answer for it; a rival must not know."""
    await scheduler.change(SITES, "sites/near", lambda site: setattr(site, "party", "parties/owner"))
    for job in ("j", "k"):
        await scheduler.submit(job, **ONLY)
        await scheduler.placed(f"jobs/{job}", site="near")
    owner, rival = (
        scheduler.node.mesh(scheduler.address, caller=user_id(NODE, party, "u")) for party in ("owner", "no")
    )
    seen = await living(owner, "near", page_size=1)
    assert (seen.total, seen.placements[0].party, seen.placements[0].tasks) == (2, "parties/acme", 1)
    assert seen.placements[0].holds.cpu_milli > 0
    more = await living(owner, "near", page_size=1, page_token=seen.next_page_token)
    assert {each.job for each in (*seen.placements, *more.placements)} == {"jobs/j", "jobs/k"}
    assert (await living(scheduler.user, "near")).total == 2
    assert (await living(rival, "near")).total == 0


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (OwnerLimits(parties=frozenset({"parties/else"})), "PARTY_NOT_ALLOWED"),
        (OwnerLimits(refused_kinds=frozenset({WorkKind.DATA})), "KIND_REFUSED"),
        (OwnerLimits(party_share_milli=1), "PARTY_SHARE"),
    ],
)
async def test_what_an_owner_refuses_is_not_sent_to_it(scheduler: Any, limits: OwnerLimits, code: str) -> None:
    """A job that is sent where it will be refused waits for nothing, and is not told why."""
    await limit(scheduler, "near", limits)
    await scheduler.submit(inputs=["in"], **ONLY)
    assert (await scheduler.placed()).site == "sites/far"
    assert ObstacleCode.Name((await obstacle(scheduler, "near")).code) == f"OBSTACLE_CODE_{code}"


async def test_a_site_is_used_once_its_hour_has_come(scheduler: Any) -> None:
    """A night's work would wait for the owner to restart its agent."""
    minute = minute_of_week(scheduler.clock.now())
    opens = pool_pb2.WeekWindow(start_min=minute + 5, end_min=minute + 60)
    for site in ("near", "far"):
        await scheduler.change(POOLS, f"sites/{site}/pools/cpu", lambda pool: pool.limits.hours.append(opens))
        await scheduler.change(POOLS, f"sites/{site}/pools/cpu", lambda pool: setattr(pool, "party", "parties/power"))
    await scheduler.submit(**ONLY)
    job = await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    assert not any(cause.code == "NEVER_FITS" for cause in job.state_reason.causes)
    assert ObstacleCode.Name((await obstacle(scheduler, "near")).code) == "OBSTACLE_CODE_HOURS_CLOSED"
    scheduler.clock.advance(6 * 60)
    assert (await scheduler.placed()).site == "sites/near"


async def living(mesh: Any, site: str, **more: Any) -> pb.ListSitePlacementsResponse:
    request = pb.ListSitePlacementsRequest(site=f"sites/{site}", **more)
    answer: pb.ListSitePlacementsResponse = await mesh.scheduler.ListSitePlacements(request)
    return answer
