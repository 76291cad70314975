"""What the owner of a site types: cordon, drain with its progress, what runs there, what is wrong, remove."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import Result

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.pool_pb2 import WORK_KIND_ARRAY, Pool
from suanmesh.registry.v1.registry_service_pb2 import (
    CreatePartyRequest,
    FoundPool,
    ListSitesResponse,
    SearchPoolsResponse,
    SetPartyStateRequest,
    SetSiteAdmissionRequest,
)
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.scheduler_service_pb2 import ListSitePlacementsResponse, SitePlacement
from suanmesh_cli.commands import owners
from suanmesh_kernel.refusals import FailedPrecondition, NotFound

Run = Callable[..., Awaitable[Result]]


async def test_a_drain_is_followed_until_nothing_is_left(
    oracle: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits to pull the plug must know when, and how far it is until then."""
    monkeypatch.setattr(owners, "LOOK_S", 0.01)
    left = [3, 3, 1, 0, 0]
    looks = 0

    async def answer(body: bytes, context: Any) -> bytes:
        nonlocal looks
        if oracle.asked[-1][0] == "ListSitePlacements":
            looks += 1
            return ListSitePlacementsResponse(total=left[looks - 1]).SerializeToString()
        return Site(name="sites/a", admission=Site.ADMISSION_DRAINING, admission_note="fans").SerializeToString()

    oracle.answer = answer
    done = await run("site", "drain", "a", "--note", "fans")
    assert (done.exit_code, looks) == (0, 5)
    assert done.stderr.splitlines() == ["sites/a: 3 left", "sites/a: 1 left", "sites/a: 0 left"]
    [asked] = [body for method, body in oracle.asked if method == "SetSiteAdmission"]
    sent = SetSiteAdmissionRequest.FromString(asked)
    assert (sent.name, sent.admission, sent.note) == ("sites/a", Site.ADMISSION_DRAINING, "fans")


async def test_one_site_that_is_refused_keeps_no_other_open(oracle: Any, run: Run) -> None:
    """Before a storm all sites of a place are cordoned with one command."""

    async def answer(body: bytes, context: Any) -> bytes:
        request = SetSiteAdmissionRequest.FromString(body)
        if request.name == "sites/gone":
            raise FailedPrecondition("SITE_REMOVED", "it has left")
        return Site(name=request.name, admission=request.admission).SerializeToString()

    oracle.answer = answer
    done = await run("site", "cordon", "a", "gone", "b")
    asked = [SetSiteAdmissionRequest.FromString(body).name for _, body in oracle.asked]
    assert {"sites/a", "sites/b"} <= {*asked}
    assert done.exit_code != 0
    assert "sites/b" in done.stdout


async def test_a_site_is_not_removed_without_a_word(oracle: Any, run: Run) -> None:
    """A name that is gone for good must not be lost by a slip of the hand; a script is told what it lacks."""
    oracle.answers["RemoveSite"] = Site(name="sites/a", admission=Site.ADMISSION_REMOVED)
    asked = await run("site", "remove", "a")
    assert (asked.exit_code, oracle.asked, "--yes" in asked.stderr) == (2, [], True)
    assert "REMOVED" in (await run("site", "remove", "a", "--yes")).stdout


async def test_what_is_wrong_is_said_in_words_and_by_the_status(oracle: Any, run: Run) -> None:
    """A script that watches sites must not have to know every code there is."""
    sites = [Site(name=f"sites/{name}", liveness=Site.LIVENESS_ALIVE) for name in ("a", "b", "c")]
    sites[1].liveness = Site.LIVENESS_LOST
    sites[2].admission = Site.ADMISSION_REMOVED
    sick = FoundPool(pool=Pool(name="sites/a/pools/p"))
    sick.state.reason.code = "DISK_FULL"
    oracle.answers["ListSites"] = ListSitesResponse(sites=sites)
    oracle.answers["SearchPools"] = SearchPoolsResponse(pools=[sick])
    told = await run("site", "health")
    assert told.exit_code == 1
    assert "The site's disk has no room for it" in told.stdout
    assert "the agent is not heard" in told.stdout
    assert "sites/c" not in told.stdout
    few = await run("site", "health", "--limit", "1", "-o", "name")
    assert (few.stdout, "there are more" in few.stderr) == ("sites/a\n", True)
    sick.state.ClearField("reason")
    oracle.answers["SearchPools"] = SearchPoolsResponse(pools=[sick])
    assert (await run("site", "health", "a")).exit_code == 0
    several = await run("site", "health", "a", "none", "-o", "name")
    assert (several.exit_code, several.stdout) == (3, "sites/a\n")
    assert "SITE_UNKNOWN" in several.stderr
    assert "sites/none" in several.stderr
    oracle.answers["SearchPools"] = SearchPoolsResponse()
    oracle.answers["GetSite"] = NotFound("SITE_UNKNOWN", "no site sites/none", name="sites/none")
    oracle.answers["ListSitePlacements"] = ListSitePlacementsResponse()
    assert [(await run("site", verb, "none")).exit_code for verb in ("limits", "cards", "jobs")] == [3, 3, 3]


async def test_what_runs_and_what_may_is_listed(oracle: Any, run: Run) -> None:
    """An owner answers for what its machines do, and for whom."""
    runs = SitePlacement(name="placements/p", job="jobs/j", party="parties/acme", tasks=4, tasks_ended=1)
    oracle.answers["ListSitePlacements"] = ListSitePlacementsResponse(placements=[runs], total=1)
    assert (await run("site", "jobs", "a", "-o", "csv", "--columns", "job,party,tasks")).stdout.splitlines()[1] == (
        "j,acme,1/4"
    )
    found = FoundPool(pool=Pool(name="sites/a/pools/p"))
    found.pool.limits.hours.add(start_min=6 * 1440 + 1380, end_min=7 * 1440)
    found.pool.limits.refused_kinds.append(WORK_KIND_ARRAY)
    found.pool.limits.party_share_milli = 125
    oracle.answers["SearchPools"] = SearchPoolsResponse(pools=[found])
    oracle.answers["GetPool"] = found.pool
    assert (await run("site", "limits", "a", "-o", "csv")).stdout.splitlines()[1] == (
        "a/p,all,sun 23:00-sun 24:00Z,ARRAY,12.5 %,all"
    )
    assert "hours sun 23:00-sun 24:00Z; refused ARRAY; share 12.5 %" in (await run("pool", "show", "a/p")).stdout


async def test_parties_are_registered_and_let_in(oracle: Any, run: Run) -> None:
    """A provider that waits to be looked at must not enrol a site meanwhile."""
    oracle.answers["CreateParty"] = oracle.answers["SetPartyState"] = Party(name="parties/p")
    made = await run("party", "create", "p", "--kind", "compute-provider", "--currency", "CNY", "--pending")
    assert made.exit_code == 0, made.output
    sent = CreatePartyRequest.FromString(oracle.asked[-1][1])
    assert (sent.party_id, sent.party.kind, sent.party.state) == (
        "p", Party.KIND_COMPUTE_PROVIDER, Party.STATE_PENDING,
    )  # fmt: skip
    for verb, state in (("approve", Party.STATE_APPROVED), ("suspend", Party.STATE_SUSPENDED)):
        assert (await run("party", verb, "p")).exit_code == 0
        assert SetPartyStateRequest.FromString(oracle.asked[-1][1]).state == state
