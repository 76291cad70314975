"""A reservation is kept by the bytes that flow and respected by whoever comes next."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1.reason_pb2 import OBSTACLE_CODE_BANDWIDTH
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_local import trials
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

LINK = "links/shanghai-wuhu"
RATE_BPS = 80_000_000
SIZE_BYTES = 100 << 20
"""About ten seconds at the link's rate."""
CAPACITIES = {LINK: RATE_BPS, "links/guiyang-wuhu": 500_000}
NEAR_US = 5_000
"""Only the straight way is as near."""


@pytest.fixture
async def narrow(operator: Mesh) -> AsyncIterator[None]:
    """80 Mbit/s straight from shanghai to wuhu, and next to nothing the way round through guiyang."""
    listed = (await operator.network_orchestrator.ListLinks(network.ListLinksRequest())).links
    before = [link for link in listed if link.name in CAPACITIES]
    after = []
    for link in before:
        link.ClearField("state")
        link.ClearField("etag")
        narrower = link_pb2.Link()
        narrower.CopyFrom(link)
        narrower.capacity_bps = CAPACITIES[link.name]
        after.append(narrower)
    await operator.network_orchestrator.DeclareLinks(network.DeclareLinksRequest(links=after))
    yield
    await operator.network_orchestrator.DeclareLinks(network.DeclareLinksRequest(links=before))


@pytest.fixture(scope="session")
def bulky_published(publish: Callable[[str, Path], None], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hundred mebibytes that compress to nothing less."""
    folder = tmp_path_factory.mktemp("bulky")
    (folder / "bytes").write_bytes(random.Random(7).randbytes(SIZE_BYTES))
    publish("bulky", folder)
    return "datasets/bulky"


async def test_a_reserved_rate_is_kept_and_keeps_others_out(
    user: Mesh, narrow: None, bulky_published: str, still_published: str
) -> None:
    """A rate that is promised must be had, and must not be sold twice."""
    first = _job(bulky_published, "sites/wuhu")
    name = await trials.submit(user, "takes-the-link", first)
    placed = await trials.reached(user, name, job_pb2.Job.STATE_STAGING)

    near = _job(still_published, "sites/wuhu")
    near.constraints.max_latency_us = NEAR_US
    full = await trials.planned(user, near)
    (wuhu,) = [c for c in full.candidates if c.site == "sites/wuhu"]
    assert full.chosen == ""
    assert (wuhu.obstacle.code, wuhu.obstacle.resource) == (OBSTACLE_CODE_BANDWIDTH, LINK)
    assert wuhu.obstacle.available < wuhu.obstacle.needed
    elsewhere = await trials.planned(user, _job(still_published, "sites/wuhu", "sites/guiyang"))
    assert elsewhere.chosen == "sites/guiyang/pools/cpu"

    transfer_name = f"transfers/{placed.placement.removeprefix('placements/')}-in-0"
    async with asyncio.timeout(60):
        transfer = await trials.moved(user, transfer_name, chunks=1 << 30)
    assert transfer.state == transfer_pb2.Transfer.STATE_DONE, transfer.state_reason
    achieved = transfer.bytes * 8000 / transfer.receipt.elapsed_ms / transfer.rate_bps
    print(f"{achieved:.3f} of {transfer.rate_bps} bit/s over {transfer.receipt.elapsed_ms} ms")
    assert transfer.rate_bps == RATE_BPS
    assert 0.5 <= achieved <= 1.02  # on a machine that is busy with other work
    job = await trials.ended(user, name)
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason

    async with asyncio.timeout(60):
        while (await trials.planned(user, near)).chosen == "":  # noqa: ASYNC110
            await asyncio.sleep(trials.LOOK_AGAIN_S)


def _job(dataset: str, *sites: str) -> job_pb2.Job:
    job = trials.job("print(1)", cpu_milli=300)
    job.inputs.add(dataset=dataset, mount="in/data")
    job.constraints.allow_sites.extend(sites)
    job.ask.scratch_bytes = 256 << 20
    return job
