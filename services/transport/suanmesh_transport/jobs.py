"""The jobs of the node, asked of the scheduler."""

from __future__ import annotations

from collections.abc import Sequence

from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.names import versioned
from suanmesh_sdk import Mesh
from suanmesh_transport.domain.datasets import covers

PAGE = 1000
MAKERS_MAX = 10
"""Jobs asked about; one dataset is made by few at a time."""
_LIVE = " AND ".join(f'state != "{state}"' for state in ("DONE", "FAILED", "CANCELLED"))


class MeshJobs:
    """`Jobs`."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    async def needing(self, party: str, name: str, makers: Sequence[str]) -> list[str]:
        """Those of the party that have not ended and read it, or are among its makers."""
        asked = name if versioned(name)[1] else f"{name}@"
        wanted = " OR ".join([f'inputs:"{asked}"', *(f'name = "{maker}"' for maker in makers[:MAKERS_MAX])])
        request = pb.ListJobsRequest(filter=f'party = "{party}" AND {_LIVE} AND ({wanted})', page_size=PAGE)
        found: list[str] = []
        while True:
            answer = await self._mesh.scheduler.ListJobs(request)
            found += [
                job.name
                for job in answer.jobs
                if job.name in makers or any(covers(name, each.dataset) for each in job.inputs)
            ]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token
