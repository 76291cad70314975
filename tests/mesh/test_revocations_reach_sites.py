"""A site that is revoked at the node is turned away by the data planes of the others, which ask nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from suanmesh.agent.v1.agent_service_pb2 import EchoRequest
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh, Tls
from suanmesh_sdk.resolver import OneAddress

pytestmark = pytest.mark.mesh

LOOK_AGAIN_S = 0.1


async def answered(thief: Mesh, endpoint: str, site: str) -> str:
    """What whoever has the key of another site's agent is told at a data plane."""
    try:
        await thief.agent(endpoint, site=site).Echo(EchoRequest(payload=b"here"))
    except Refusal as refusal:
        return refusal.reason
    return "OK"


async def test_a_revoked_site_is_turned_away_at_the_others(tmp_path: Path) -> None:
    """A key that was stolen from one site opened all others until its tickets had lapsed."""
    node = Node(tmp_path, 2)
    await node.start()
    try:
        kept, lost = node.agents
        async with node.mesh("operator") as operator:
            for site in (kept, lost):
                await node.site_ready(site, operator)
            endpoint = (await operator.registry.GetSite(registry.GetSiteRequest(name=f"sites/{kept}"))).data_endpoint
            stolen = Tls.of_folder(node.folder / "sites" / lost / "identity")
            async with Mesh(node=node.facts.name, tls=stolen, resolver=OneAddress(endpoint)) as thief:
                assert await answered(thief, endpoint, f"sites/{kept}") == "OK"

                request = registry.RevokeCertificatesRequest(name=f"sites/{lost}", request_id="stolen")
                await operator.registry.RevokeCertificates(request)

                while (told := await answered(thief, endpoint, f"sites/{kept}")) == "OK":  # noqa: ASYNC110 - a process
                    await asyncio.sleep(LOOK_AGAIN_S)
                assert told == "CERTIFICATE_REVOKED"
    finally:
        await node.stop()
