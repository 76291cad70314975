"""From a submitted job to a committed placement, or to the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from suanmesh.registry.v1 import pool_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2, reason_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import FailedPrecondition, Unavailable
from suanmesh_scheduler.domain.states import tells_trouble
from suanmesh_sdk.obstacles import obstacle_words
from suanmesh_sdk.status import refusal_of
from suanmesh_store import Create, Holds
from suanmesh_store.layout import PLACEMENTS, POOLS

Job = job_pb2.Job
JobOf = Callable[..., job_pb2.Job]
Running = Callable[..., AbstractAsyncContextManager[Any]]


async def test_no_party_fills_the_node_with_jobs(running: Any, job_of: JobOf) -> None:
    """A script gone wild would fill etcd and keep the jobs of everybody else waiting."""
    async with running(live_jobs_max=2) as scheduler:
        await scheduler.submit("a")
        await scheduler.submit("b")
        refusal = refusal_of((await scheduler.submit_raw(job_of(), "c")).results[0].error)
        assert (refusal.code, refusal.reason, refusal.facts["most"]) == ("RESOURCE_EXHAUSTED", "JOBS_TOO_MANY", "2")
        await scheduler.cancel("jobs/a")
        await scheduler.until_job(Job.STATE_CANCELLED, "jobs/a")
        await scheduler.submit("c")


async def test_a_defect_that_has_passed_is_not_told_any_more(scheduler: Any, job_of: JobOf) -> None:
    """Who is on call must not be sent after a fault that was gone an hour ago."""
    await scheduler.submit_raw(job_of(cpu_milli=99_000))
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    scheduler.peers.refusals["quote"] = [ZeroDivisionError("a defect")]
    await scheduler.until_job(Job.STATE_PENDING, reason="DEFECT")
    scheduler.clock.advance(5)
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")


async def test_a_narrow_way_home_is_an_obstacle_with_its_link(scheduler: Any, job_of: JobOf) -> None:
    """Results would wait for ever for a rate that a link does not have."""
    scheduler.add_wire("data", "near", bps=900_000)
    plan = (await scheduler.submit_raw(job_of(deliver_to="data"), validate_only=True)).results[0].decision
    obstacle = next(c.obstacle for c in plan.candidates if c.site == "sites/near")
    assert obstacle.code == reason_pb2.OBSTACLE_CODE_BANDWIDTH
    assert (obstacle.resource, obstacle.needed, obstacle.available) == ("links/data-near", 1_000_000, 900_000)


async def test_a_defect_over_one_job_is_told_on_it_and_stops_no_other(scheduler: Any) -> None:
    """A job that the scheduler trips over would end it at every start, and with it the work of everybody."""
    scheduler.peers.refusals["quote"] = [ZeroDivisionError("a defect")]
    await scheduler.submit("j")
    await scheduler.until_job(Job.STATE_PENDING, "jobs/j", reason="ZeroDivisionError")
    await scheduler.submit("k")
    await scheduler.placed("jobs/k")
    scheduler.clock.advance(5)
    await scheduler.placed("jobs/j")


async def test_a_job_says_whose_disk_it_waits_for(scheduler: Any) -> None:
    """A job that waits without a word is asked about; one that names the full disk gets room."""
    full = Unavailable("DISK_FULL", "the ledger cannot write", domain="mesh.suanmesh", area="accounting")
    scheduler.peers.refusals["hold_money"] = [full] * 1_000_000
    await scheduler.submit(inputs=["in"])
    await scheduler.until_job(Job.STATE_PENDING, reason="the ledger cannot write")
    scheduler.peers.refusals["hold_money"] = []

    await scheduler.placed()
    assert not tells_trouble((await scheduler.job()).state_reason.code)


async def test_a_job_goes_to_the_cheapest_site_that_has_room(scheduler: Any) -> None:
    """Whoever pays would pay more than needed, or wait at a site too small for it."""
    await scheduler.submit(inputs=["in"])
    placement = await scheduler.placed()
    decision = await scheduler.decision()
    assert placement.site == "sites/near"
    assert decision.runner_up == "sites/far/pools/cpu"
    assert {c.site: c.cost_micros for c in decision.candidates} == {
        "sites/near": 200,
        "sites/far": 300,
        "sites/data": 100,
    }
    assert decision.candidates[2].obstacle.code == reason_pb2.OBSTACLE_CODE_CPU
    assert await scheduler.peers.standing("accounts/a") == 200
    assert await scheduler.peers.standing("links/data-near") == placement.routes[0].rate_bps > 0


async def test_submitting_again_makes_no_second_job(scheduler: Any, job_of: JobOf) -> None:
    """A user whose connection broke would pay for the same job twice."""
    first = await scheduler.submit_raw(job_of(), "", request_id="one")
    again = await scheduler.submit_raw(job_of(), "", request_id="one")
    assert again == first
    assert len(await scheduler.jobs_kept()) == 1


async def test_a_plan_stores_nothing(scheduler: Any, job_of: JobOf) -> None:
    """A dry run that holds money or a place would hurt everybody who comes after it."""
    before = await scheduler.records.newest()
    result = (await scheduler.submit_raw(job_of(inputs=["in"]), validate_only=True)).results[0]
    assert result.decision.chosen == "sites/near/pools/cpu"
    assert await scheduler.records.newest() == before
    assert "hold_money" not in scheduler.peers.calls


async def test_a_job_that_is_cancelled_meanwhile_is_not_placed(scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who took a job back would pay for it all the same; and whoever was decided with it would wait for nothing."""
    hold_money = scheduler.peers.hold_money
    cancelled: list[str] = []

    async def overtaking(self: object, asks: Any) -> Any:
        """The user takes one job back between decision and commit."""
        for ask in asks:
            if ask.job == "jobs/back" and not cancelled:
                cancelled.append(ask.placement)
                await scheduler.cancel("jobs/back")
        return await hold_money(asks)

    monkeypatch.setattr(type(scheduler.peers), "hold_money", overtaking)
    items = [pb.SubmitJob(job_id=job_id, job=a_job) for job_id, a_job in scheduler.jobs("back", "other", "third")]
    await scheduler.user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items))
    for name in ("jobs/other", "jobs/third"):
        await scheduler.placed(name)
    assert cancelled
    assert (await scheduler.job("jobs/back")).state == Job.STATE_CANCELLED
    assert {held.message.job for held in (await scheduler.store.snapshot(PLACEMENTS)).held} == {
        "jobs/other",
        "jobs/third",
    }
    assert await scheduler.peers.standing("accounts/a") == 400


async def test_a_batch_is_placed_with_one_call_to_each_owner(scheduler: Any) -> None:
    """A hundred jobs would take a hundred times as long as one."""
    names = [f"j{number}" for number in range(4)]
    items = [pb.SubmitJob(job_id=job_id, job=a_job) for job_id, a_job in scheduler.jobs(*names, inputs=["in"])]
    await scheduler.user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items))
    placements = [await scheduler.placed(f"jobs/{name}") for name in names]

    once = ("find_paths", "quote", "hold_paths", "hold_money")
    assert {call: scheduler.peers.calls.count(call) for call in once} == dict.fromkeys(once, 1)
    assert len({held.mod_revision for held in (await scheduler.store.snapshot(PLACEMENTS)).held}) == 1
    rates = [placement.routes[0].rate_bps for placement in placements if placement.site == "sites/near"]
    assert sum(rates) <= 100_000_000, "the link was sold twice"


@pytest.mark.parametrize("replaced", [False, True], ids=["gone", "replaced"])
async def test_a_hold_that_does_not_stand_any_more_commits_nothing(
    scheduler: Any, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """A job would run on money that nobody holds for it."""
    hold_money = scheduler.peers.hold_money
    lapsed: list[str] = []

    async def lapsing(self: object, asks: Any) -> Any:
        answers = await hold_money(asks)
        for ask in asks if not lapsed else ():
            lapsed.append(ask.placement)
            holds = Holds(scheduler.peers.accounting_store)
            await holds.drop([(ask.placement, ask.index)])
            if replaced:
                await holds.put(ask.placement, ask.index, b"another", ask.attachment)
        return answers

    monkeypatch.setattr(type(scheduler.peers), "hold_money", lapsing)
    await scheduler.submit()
    placement = await scheduler.placed()
    assert [placement.name] != lapsed
    assert len((await scheduler.store.snapshot(PLACEMENTS)).held) == 1


async def test_placements_fill_a_site_and_never_more(scheduler: Any) -> None:
    """Tasks that share a core that was sold twice take twice as long as was paid for."""
    for number in range(7):
        await scheduler.submit(f"j{number}", cpu_milli=2000)
    placed = 0
    for number in range(7):
        job = await scheduler.until_told(f"jobs/j{number}", lambda j: j.placement or j.state_reason.code == "NO_PLACE")
        placed += bool(job.placement)
    sites = [held.message.site for held in (await scheduler.store.snapshot(PLACEMENTS)).held]
    assert placed == 4
    assert sorted(sites) == ["sites/far", "sites/far", "sites/near", "sites/near"]


async def test_a_job_nothing_takes_waits_with_an_obstacle_for_each(scheduler: Any) -> None:
    """A user who sees only that it waits cannot know what to change."""
    await scheduler.submit(cpu_milli=9000)
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    decision = await scheduler.decision()
    assert [c.obstacle.code for c in decision.candidates] == [reason_pb2.OBSTACLE_CODE_CPU] * 3
    assert (decision.admitting_change.field, decision.admitting_change.to) == ("ask.cpu_milli", "4000")


async def test_the_change_it_names_admits(scheduler: Any, job_of: JobOf) -> None:
    """A user who did as told and waits again trusts nothing any more."""
    cases = (
        {"cpu_milli": 9000},
        {"budget_micros": 10},
        {"inputs": ["in"], "min_bandwidth_bps": 10**12},
        {"inputs": ["in"], "max_latency_us": 10},
        {"allow_sites": ["sites/data"]},
    )
    for case in cases:
        change = (await scheduler.submit_raw(job_of(**case), validate_only=True)).results[0].decision.admitting_change
        job = job_of(**case)
        _apply(job, change.field, change.to)
        assert (await scheduler.submit_raw(job, validate_only=True)).results[0].decision.chosen == change.pool, change


async def test_a_waiting_job_goes_on_when_there_is_room(scheduler: Any) -> None:
    """A job would wait for ever for what has long been free."""
    await scheduler.submit("first", cpu_milli=4000, allow_sites=["sites/near"])
    first = await scheduler.placed("jobs/first")
    await scheduler.submit("second", cpu_milli=4000, allow_sites=["sites/near"])
    await scheduler.until_job(Job.STATE_PENDING, "jobs/second", "NO_PLACE")
    await scheduler.report(first, first.STATE_ACCEPTED)
    await scheduler.report(first, first.STATE_FAILED, reason="EXIT_STATUS: 1")
    await scheduler.placed("jobs/second")
    await scheduler.until_job(Job.STATE_FAILED, "jobs/first", "EXIT_STATUS")


async def test_room_that_is_freed_goes_to_who_waits_at_once(running: Running) -> None:
    """A machine that is paid for would stand idle until somebody looks."""
    async with running(resync_s=3600) as scheduler:
        await scheduler.submit("first", cpu_milli=4000, allow_sites=["sites/near"])
        first = await scheduler.placed("jobs/first")
        for job_id in ("second", "third"):
            await scheduler.submit(job_id, cpu_milli=2000, allow_sites=["sites/near"])
            await scheduler.until_job(Job.STATE_PENDING, f"jobs/{job_id}", "NO_PLACE")
        await scheduler.report(first, first.STATE_REFUSED, reason="DISK_FULL: no room")
        await scheduler.placed("jobs/second")
        await scheduler.placed("jobs/third")


async def test_whoever_waits_in_a_crowd_has_a_turn(running: Running) -> None:
    """The first in the alphabet would be decided for ever, and the last never."""
    async with running(waiting_jobs_max=2) as scheduler:
        for number in range(8):
            await scheduler.submit(f"j{number}", cpu_milli=9000)
            await scheduler.until_job(Job.STATE_PENDING, f"jobs/j{number}", "NO_PLACE")
        await scheduler.add_site("big", price=1, cpu_milli=80_000)
        for number in reversed(range(8)):
            await scheduler.placed(f"jobs/j{number}")


async def test_a_budget_too_small_stops_it_before_it_starts(scheduler: Any) -> None:
    """Whoever set a budget would be billed beyond it."""
    await scheduler.submit(budget_micros=150)
    job = await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    obstacles = {c.site: c.obstacle for c in (await scheduler.decision()).candidates}
    assert "50 missing" in obstacle_words(obstacles["sites/near"])
    assert (obstacles["sites/near"].needed, obstacles["sites/near"].available) == (200, 150)
    assert not job.placement
    await scheduler.nothing_held()


async def test_a_full_link_is_named(scheduler: Any) -> None:
    """A second job over a full link would get the first one's bandwidth, or an obstacle nobody can act on."""
    wide = {"inputs": ["in"], "min_bandwidth_bps": 90_000_000, "allow_sites": ["sites/near"]}
    await scheduler.submit("first", **wide)
    await scheduler.placed("jobs/first")
    await scheduler.submit("second", **wide)
    await scheduler.until_job(Job.STATE_PENDING, "jobs/second", "NO_PLACE")
    obstacles = {c.site: c.obstacle for c in (await scheduler.decision("jobs/second")).candidates}
    assert obstacles["sites/near"].code == reason_pb2.OBSTACLE_CODE_BANDWIDTH
    assert obstacles["sites/near"].resource == "links/data-near"


async def test_a_refused_hold_leaves_nothing_behind(scheduler: Any) -> None:
    """Bandwidth held for a job that was never placed would be lost to everybody else."""
    scheduler.peers.refusals["hold_money"] = [FailedPrecondition("HOLD_LAPSED", "too late")]
    await scheduler.submit(inputs=["in"])
    placement = await scheduler.placed()
    assert await scheduler.peers.standing("links/data-near") == placement.routes[0].rate_bps


async def test_what_a_round_leaves_over_goes_and_what_rounds_before_it_hold_stays(scheduler: Any) -> None:
    """Rounds share a lease: it would take with it what runs, or keep a link from others for as long as it lasts."""
    await scheduler.submit("first", inputs=["in"], allow_sites=["sites/near"])
    first = await scheduler.placed("jobs/first")
    scheduler.peers.refusals["hold_money"] = [FailedPrecondition("HOLD_LAPSED", "too late")]
    await scheduler.submit("second", inputs=["in"], allow_sites=["sites/near"])
    second = await scheduler.placed("jobs/second")
    held_bps = first.routes[0].rate_bps + second.routes[0].rate_bps
    assert await scheduler.peers.standing("links/data-near") == held_bps


async def test_a_job_too_large_for_its_document_is_refused_with_the_field(scheduler: Any, job_of: JobOf) -> None:
    """It would be accepted, and stick half-way when its history outgrows what can be stored."""
    job = job_of()
    job.package.variants[0].artefacts.add(path="train.py", content=b"x" * 5000)
    job.package.variants[0].command.extend("x" * 100 for _ in range(20))
    error = (await scheduler.submit_raw(job)).results[0].error
    assert "package.variants.artefacts" in error.message


@pytest.mark.parametrize("field", ["outputs[0].deliver_to", "constraints.allow_sites[0]", "constraints.deny_sites[0]"])
@pytest.mark.parametrize("validate_only", [False, True], ids=["submitted", "planned"])
async def test_a_site_there_is_none_of_is_refused(
    scheduler: Any, job_of: JobOf, validate_only: bool, field: str
) -> None:
    """A slip in a site's name would be found once the run is paid for, never, or by data where it must not be."""
    name = field.rpartition(".")[2].removesuffix("[0]")
    job = job_of(**{name: "nowhere" if name == "deliver_to" else ["sites/nowhere"]})
    result = (await scheduler.submit_raw(job, validate_only=validate_only)).results[0]
    refusal = refusal_of(result.error)
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "SITE_UNKNOWN")
    assert (refusal.facts["name"], refusal.facts["field"]) == ("sites/nowhere", field)
    assert "站点不存在" in refusal.localized["zh"]


@pytest.mark.parametrize("output_id", ["two-words", "two_words", "Two", ""])
async def test_the_id_of_an_output_is_told_from_a_job_s(scheduler: Any, job_of: JobOf, output_id: str) -> None:
    """Who is told that hyphens will do, where they will not, is refused twice."""
    job = job_of(deliver_to="data")
    job.outputs[0].output_id = output_id
    refusal = refusal_of((await scheduler.submit_raw(job)).results[0].error)
    assert refusal.facts["field"] == "outputs[0].output_id"
    assert "no hyphen or underscore" in refusal.message


async def test_what_tasks_are_told_comes_with_the_placement(scheduler: Any, job_of: JobOf) -> None:
    """A site would run a hundred tasks without the values they differ in."""
    job = job_of(cpu_milli=10)
    job.task.count = 2
    job.environment["MODEL"] = "small"
    job.task.parameters.add(name="SEED", values=["5", "8"])
    await scheduler.submit_raw(job)
    work = (await scheduler.placed()).work
    assert (dict(work.environment), list(work.parameters)) == ({"MODEL": "small"}, list(job.task.parameters))


async def test_many_candidates_with_long_names_are_decided(scheduler: Any) -> None:
    """A node of many sites could place nothing, since no decision would fit into its document."""
    names = [f"a-site-with-a-name-as-long-as-the-rules-allow-for-a-site-{n:02d}" for n in range(25)]
    for name in names:
        await scheduler.add_site(name, price=9)
        scheduler.add_wire("data", name)
    await scheduler.submit(inputs=["in"])
    await scheduler.placed()
    decision = await scheduler.decision()
    assert (decision.candidate_count, len(decision.candidates)) == (28, 20)


async def test_a_site_takes_hundreds_of_placements(scheduler: Any) -> None:
    """A large site would stop at the few dozen jobs whose names fit into one document."""
    await scheduler.add_site("large", price=1, cpu_milli=300_000)
    for number in range(250):
        name = f"placements/{number:020d}"
        live = placement_pb2.Placement(name=name, site="sites/large", state=placement_pb2.Placement.STATE_RUNNING)
        leg = live.legs.add(pool="sites/large/pools/cpu", hosts=[placement_pb2.HostRun(host="h1", tasks=1)])
        leg.per_task.cpu_milli = 1000
        await scheduler.store.commit(Create(PLACEMENTS, name, live))
    await scheduler.submit("fits", cpu_milli=50_000)
    assert (await scheduler.placed("jobs/fits")).site == "sites/large"
    await scheduler.submit("full", cpu_milli=5000)
    await scheduler.until_job(Job.STATE_PENDING, "jobs/full", "NO_PLACE")


async def test_a_document_that_cannot_fit_ends_the_job(scheduler: Any) -> None:
    """It would be tried again for ever, and the user never told."""
    hosts = [pool_pb2.Host(name=f"host-{n:057d}") for n in range(16)]
    await scheduler.change(POOLS, "sites/near/pools/cpu", lambda p: (p.hosts.pop(), p.hosts.extend(hosts)))
    await scheduler.submit(cpu_milli=9000)
    await scheduler.until_job(Job.STATE_PENDING, reason="NO_PLACE")
    inputs = [job_pb2.Input(dataset=f"datasets/{n:060d}", mount=f"in/{n}") for n in range(86)]
    for each in inputs:
        scheduler.add_dataset(each.dataset.removeprefix("datasets/"), "near", "far")

    def bloat(job: job_pb2.Job) -> None:
        job.ask.cpu_milli = 4000
        job.task.count, job.task.gang = 16, True
        job.inputs.extend(inputs)

    await scheduler.change_job("jobs/j", bloat)
    await scheduler.until_job(Job.STATE_FAILED, reason="DOCUMENT_TOO_LARGE")


def _apply(job: job_pb2.Job, field: str, to: str) -> None:
    *path, leaf = field.split(".")
    target: Any = job
    for part in path:
        target = getattr(target, part)
    if leaf in ("allow_sites", "deny_sites"):
        del getattr(target, leaf)[:]
        getattr(target, leaf).extend(to.split(", "))
    else:
        setattr(target, leaf, int(to))
