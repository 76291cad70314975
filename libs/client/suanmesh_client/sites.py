"""Sites and what they offer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_client.paging import pages

if TYPE_CHECKING:
    from suanmesh_client.client import Client


class Sites:
    """Where jobs may run."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, name: str) -> site_pb2.Site:
        """The site `name`, with or without `sites/` before it."""
        full = name if "/" in name else f"sites/{name}"
        return await self._client.stubs.registry.GetSite(pb.GetSiteRequest(name=full))

    async def list(self) -> AsyncIterator[site_pb2.Site]:
        """Every site, by name."""
        async for found in pages(self._client.stubs.registry.ListSites, pb.ListSitesRequest(), "sites"):
            yield found

    async def search(self, filter_: str = "") -> AsyncIterator[pb.FoundPool]:
        """Pools that fit, the best first, such as `capabilities.fp16_tflops >= 100` (AIP-160)."""
        async for found in pages(
            self._client.stubs.registry.SearchPools, pb.SearchPoolsRequest(filter=filter_), "pools"
        ):
            yield found
