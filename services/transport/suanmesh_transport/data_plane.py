"""The sites' data planes, called over the SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from suanmesh.agent.v1.agent_service_pb2 import ChunkRange, FetchChunksRequest, FetchChunksResponse, GetManifestRequest
from suanmesh.transport.v1.dataset_pb2 import Manifest
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_sdk import Mesh
from suanmesh_transport.domain.transfers import Place

MANIFEST_TIMEOUT_S = 10.0
CHUNKS_TIMEOUT_S = 60.0
"""For one request of ranges; the reader asks for a few chunks at a time."""


class MeshDataPlane:
    """A `DataPlane` over the mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    async def manifest(self, place: Place, ticket: Signed) -> Manifest:
        """The manifest of the ticket's dataset."""
        agent = self._mesh.agent(place.endpoint, site=place.site)
        return await agent.GetManifest(GetManifestRequest(ticket=ticket), timeout=MANIFEST_TIMEOUT_S)

    async def chunks(
        self, place: Place, ticket: Signed, ranges: Sequence[ChunkRange]
    ) -> AsyncGenerator[FetchChunksResponse, None]:
        """Ranges of the dataset's files, in pieces."""
        agent = self._mesh.agent(place.endpoint, site=place.site)
        request = FetchChunksRequest(ticket=ticket, ranges=ranges)
        async for response in agent.FetchChunks(request, timeout=CHUNKS_TIMEOUT_S):
            yield response
