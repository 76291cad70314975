"""One price, one distance, one capacity changed: each moves the job elsewhere; and what is said to help, helps."""

from __future__ import annotations

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import price_book_pb2
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1.reason_pb2 import OBSTACLE_CODE_BUDGET, OBSTACLE_CODE_CPU, OBSTACLE_CODE_LATENCY
from suanmesh_local import trials
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

WUHU, GUIYANG, SHANGHAI = (f"sites/{site}/pools/cpu" for site in ("wuhu", "guiyang", "shanghai"))


@pytest.fixture
def described(still_published: str) -> job_pb2.Job:
    """A job over the digits that wuhu and guiyang can take, and shanghai cannot."""
    job = trials.job("print(1)", cpu_milli=500)
    job.inputs.add(dataset=still_published, mount="in/digits")
    job.max_duration_s = 100
    return job


async def test_a_price_decides(user: Mesh, operator: Mesh, described: job_pb2.Job) -> None:
    """A provider that becomes cheaper must be chosen, and no longer be when it takes that back."""
    before = await trials.planned(user, described)
    assert (before.chosen, before.runner_up) == (GUIYANG, WUHU)
    books = (await operator.accounting.ListPriceBooks(accounting.ListPriceBooksRequest())).price_books
    wuhu = next(book for book in books if book.name == "priceBooks/wuhu")
    cheaper = price_book_pb2.PriceBook()
    cheaper.CopyFrom(wuhu)
    for price in cheaper.prices:
        price.amount_micros //= 4
    try:
        await _publish(operator, cheaper)
        assert (await trials.planned(user, described)).chosen == WUHU
    finally:
        await _publish(operator, wuhu)
    assert (await trials.planned(user, described)).chosen == GUIYANG


async def test_a_distance_decides(user: Mesh, operator: Mesh, described: job_pb2.Job) -> None:
    """A job that must stay near its data must not go where it is merely cheap."""
    described.constraints.max_latency_us = 5_000
    near = await trials.planned(user, described)
    assert near.chosen == WUHU
    far = next(c for c in near.candidates if c.pool == GUIYANG)
    assert far.obstacle.code == OBSTACLE_CODE_LATENCY

    listed = (await operator.network_orchestrator.ListLinks(network.ListLinksRequest())).links
    link = next(link for link in listed if link.name == "links/shanghai-wuhu")
    link.ClearField("state")
    link.ClearField("etag")
    longer = link_pb2.Link()
    longer.CopyFrom(link)
    longer.latency_us = 40_000
    described.constraints.max_latency_us = 30_000
    try:
        await operator.network_orchestrator.DeclareLinks(network.DeclareLinksRequest(links=[longer]))
        moved = await trials.planned(user, described)
        assert moved.chosen == GUIYANG
        described.constraints.max_latency_us = 5_000
        assert (await trials.planned(user, described)).chosen == ""
    finally:
        await operator.network_orchestrator.DeclareLinks(network.DeclareLinksRequest(links=[link]))


async def test_a_capacity_decides(user: Mesh, described: job_pb2.Job) -> None:
    """A job that has grown must go where there is room, whatever it costs, and be told where there is none."""
    assert (await trials.planned(user, described)).chosen == GUIYANG
    described.constraints.deny_sites.append("sites/guiyang")
    assert (await trials.planned(user, described)).chosen == WUHU
    described.ask.cpu_milli = 900
    nowhere = await trials.planned(user, described)
    codes = {candidate.pool: candidate.obstacle.code for candidate in nowhere.candidates}
    assert nowhere.chosen == ""
    assert codes[WUHU] == codes[SHANGHAI] == OBSTACLE_CODE_CPU
    del described.constraints.deny_sites[:]
    assert (await trials.planned(user, described)).chosen == GUIYANG


async def test_the_printed_change_admits(user: Mesh, described: job_pb2.Job) -> None:
    """Advice that does not help is worse than none."""
    described.ask.cpu_milli = 1500
    refused = await trials.planned(user, described)
    assert (refused.chosen, refused.admitting_change.field) == ("", "ask.cpu_milli")
    described.ask.cpu_milli = int(refused.admitting_change.to)
    assert (await trials.planned(user, described)).chosen == refused.admitting_change.pool


async def test_a_budget_stops_a_job_before_it_starts(user: Mesh, described: job_pb2.Job) -> None:
    """Nobody may be charged more than they allowed; what is missing is said to the micro."""
    described.constraints.budget_micros = 10
    refused = await trials.planned(user, described)
    fitting = [c for c in refused.candidates if c.obstacle.code == OBSTACLE_CODE_BUDGET]
    assert refused.chosen == ""
    assert {c.pool for c in fitting} == {WUHU, GUIYANG}
    assert all(c.obstacle.needed == c.cost_micros and c.obstacle.available == 10 for c in fitting)

    name = await trials.submit(user, "too-dear", described)
    decision = await trials.decided(user, name)
    assert decision.chosen == ""
    assert (await trials.job_now(user, name)).state == job_pb2.Job.STATE_PENDING
    bill = await user.accounting.GetBill(accounting.GetBillRequest(account=described.account, job=name))
    assert not bill.charges

    described.constraints.budget_micros = int(refused.admitting_change.to)
    assert (await trials.planned(user, described)).chosen == refused.admitting_change.pool
    assert (await trials.cancel(user, name)).state == job_pb2.Job.STATE_CANCELLED


async def _publish(operator: Mesh, book: price_book_pb2.PriceBook) -> None:
    request = accounting.PublishPriceBookRequest(price_book_id=book.name.removeprefix("priceBooks/"), price_book=book)
    await operator.accounting.PublishPriceBook(request)
