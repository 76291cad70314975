"""How far sites are from each other, asked of the network."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as pb
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Mesh

log = structlog.get_logger()

QUERIES_MAX = 1000
WAIT_S = 2.0
"""How long an answer is waited for: without it, what is near is told by kilometres."""


class MeshDistances:
    """`Distances`."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    async def latencies_us(self, sources: Sequence[str], targets: Sequence[str]) -> dict[tuple[str, str], int]:
        """Of the ways that data would go, as links were measured or are declared; nothing where no answer comes."""
        pairs = [(source, target) for target in targets for source in sources if source != target][:QUERIES_MAX]
        request = pb.FindPathsRequest(queries=[pb.PathQuery(source=source, target=target) for source, target in pairs])
        try:
            answer = await self._mesh.network_orchestrator.FindPaths(request, timeout=WAIT_S)
        except Refusal as refusal:
            log.info("distances not known", reason=refusal.reason, message=refusal.message)
            return {}
        found = zip(pairs, answer.results, strict=True)
        return {pair: result.path.latency_us for pair, result in found if result.HasField("path")}
