"""Which way calls to a site's data plane take: a connection that the gateway passes through, or calls over the gateway.

A passed connection costs the gateway a fifth as much, and nobody between caller and site reads what goes over it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from suanmesh_kernel.refusals import Refusal

if TYPE_CHECKING:
    from suanmesh_sdk.mesh import AreaChannel, Mesh

LOCATE_S = 5.0
TRY_S = 2.0
"""How long a connection that is passed through may take to answer: a firewall may swallow it."""
CALLS_S = 60.0
"""How long calls over the gateway are made after one was not passed through."""
HEALTH = "/grpc.health.v1.Health/Check"


class DataPlanes:
    """Of all sites, for one mesh whose areas are called at a gateway."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._calls_until = 0.0

    async def channel(self, site: str) -> AreaChannel:
        """The channel to the data plane of `site` (`sites/{site}`); messages on it name the site in either case."""
        endpoint = await self._endpoint(site)
        return self._mesh.agent_channel(endpoint, site=site) if endpoint else self._mesh.channel("agent")

    async def _endpoint(self, site: str) -> str:
        """Where connections are passed through, and were just now; empty for nowhere."""
        from suanmesh.gateway.v1.gateway_service_pb2 import LocateDataPlaneRequest

        now = asyncio.get_running_loop().time()
        if now < self._calls_until:
            return ""
        try:
            found = await self._mesh.gateway.LocateDataPlane(LocateDataPlaneRequest(site=site), timeout=LOCATE_S)
            if found.endpoint:
                await self._mesh.agent_channel(found.endpoint, site=site).unary_unary(HEALTH)(b"", timeout=TRY_S)
        except Refusal:  # whatever it is, the call itself is told it, or goes another way
            self._calls_until = now + CALLS_S
            return ""
        return str(found.endpoint)
