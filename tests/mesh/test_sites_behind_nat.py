"""Sites that listen nowhere: their agents only dial out, and all that others do with them works all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import money_pb2
from suanmesh_content import read_folder
from suanmesh_kernel.addresses import RELAY
from suanmesh_local import trials, world
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

BEHIND_NAT = ("wuhu", "guiyang")
SUM = """
import pathlib, time
total = sum(int(n) for p in pathlib.Path("in").rglob("*.txt") for n in p.read_text().split())
print("total", total, flush=True)
time.sleep(1)
pathlib.Path("out/total").mkdir(parents=True, exist_ok=True)
pathlib.Path("out/total/total.txt").write_text(str(total))
print("written", flush=True)
"""


async def begun_again(node: Node, operator: Mesh, no_inbound: str) -> None:
    """The agents begun with that setting, once the mesh knows how their sites are reached."""
    for site in BEHIND_NAT:
        await node.agents[site].stop()
        node.agents[site].environment["SUANMESH_AGENT_NO_INBOUND"] = no_inbound
        node.agents[site].start()
    for site in BEHIND_NAT:
        await node.site_ready(site, operator)
        asked = registry.GetSiteRequest(name=f"sites/{site}")
        relayed = no_inbound == "true"
        while ((await operator.registry.GetSite(asked)).data_endpoint == RELAY) is not relayed:  # noqa: ASYNC110 - a process
            await asyncio.sleep(trials.LOOK_AGAIN_S)


@pytest.fixture
async def behind_nat(node: Node, operator: Mesh) -> AsyncIterator[None]:
    """Two of the three sites only dial out."""
    await begun_again(node, operator, "true")
    yield
    await begun_again(node, operator, "false")


def folder_of(path: Path, numbers: range) -> Path:
    """A folder with numbers in it."""
    path.mkdir()
    (path / "numbers.txt").write_text("\n".join(map(str, numbers)))
    return path


async def charged_bytes(user: Mesh, job: str) -> int:
    """What of a job's transfers is on the bill."""
    bill = await user.accounting.GetBill(accounting.GetBillRequest(account=f"accounts/{world.CONSUMER}", job=job))
    return sum(each.quantity for each in bill.charges if each.meter == money_pb2.METER_TRANSFER_BYTES)


@pytest.mark.usefixtures("behind_nat")
async def test_a_site_behind_nat_does_what_any_site_does(node: Node, user: Mesh, tmp_path: Path) -> None:
    """An owner who can open no port has compute all the same: data comes and goes both ways, and is paid for."""
    for site in BEHIND_NAT:
        sockets = psutil.Process(node.agents[site].pid).net_connections("inet")
        listening = {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}
        assert node.ports[f"site-{site}"] not in listening
        assert len(listening) <= 1  # for metrics, on the loopback
    near, far = folder_of(tmp_path / "near", range(1000)), folder_of(tmp_path / "far", range(1000, 2000))
    await user.data.put(near, "nat-near", site="sites/shanghai")
    await user.data.put(far, "nat-far", site="sites/wuhu")

    described = trials.job(SUM, inputs=["nat-near", "nat-far"], outputs=["total"])
    described.outputs[0].MergeFrom(job_pb2.Output(deliver_to="sites/shanghai", max_bytes=1 << 20))
    name = await trials.submit(user, "behind-nat", described)
    job = await trials.reached(user, name, job_pb2.Job.STATE_RUNNING)
    followed = user.scheduler.ReadJobLogs(scheduler.ReadJobLogsRequest(name=name, follow=True), timeout=120)
    log = b"".join([piece.content async for piece in followed])
    job = await trials.ended(user, name)
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    assert log == b"total 1999000\nwritten\n"

    placement = await user.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=job.placement))
    moved = await user.transport.ListTransfers(transport.ListTransfersRequest(page_size=100))
    transfers = [each for each in moved.transfers if each.placement == placement.name]
    ways = {(each.source, each.target) for each in transfers}
    assert placement.site == "sites/guiyang", placement.site
    assert {("sites/shanghai", placement.site), ("sites/wuhu", placement.site)} <= ways
    assert (placement.site, "sites/shanghai") in ways, ways
    assert {each.state for each in transfers} == {transfer_pb2.Transfer.STATE_DONE}
    carried = sum(each.bytes for each in transfers)
    while await charged_bytes(user, name) < carried:  # noqa: ASYNC110 - usage comes when its site sends it
        await asyncio.sleep(trials.LOOK_AGAIN_S)
    assert await charged_bytes(user, name) == carried

    await user.data.get("datasets/nat-far", tmp_path / "back")
    assert read_folder(tmp_path / "back") == read_folder(far)
