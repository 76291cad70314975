"""A placement finds its inputs among the site's replicas, whoever else looks for the same ones."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh.transport.v1.transport_service_pb2 import DatasetAsk
from suanmesh_agent import wire
from suanmesh_agent.fakes import FakeTransport
from suanmesh_agent.journal import Journal
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.staging import Staging
from suanmesh_agent.testing import a_placement


class AskedTogether(FakeTransport):
    """Answers when two have asked."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = asyncio.Barrier(2)

    async def get_dataset(self, name: str) -> Dataset:
        await self._asked.wait()
        return await super().get_dataset(name)


async def test_two_placements_find_the_same_new_input(tmp_path: Path) -> None:
    """Of two jobs that wait for the same data one would end as a defect of the agent's, the moment that it arrives."""
    replicas, transport = Replicas(tmp_path), AskedTogether()
    digest = replicas.keep({"numbers": b"1 2 3"}).digest
    await transport.create_dataset(DatasetAsk(dataset_id="numbers", dataset=Dataset(digest=digest)))
    placements = [a_placement("pass", f"placements/{name}") for name in ("one", "other")]
    for placement in placements:
        placement.work.inputs.add(dataset="datasets/numbers", mount="in")
    with closing(Journal(tmp_path / "agent.db")) as journal:
        staging = Staging(transport, journal, replicas)
        works = [wire.work_from(placement) for placement in placements]

        assert await asyncio.gather(*map(staging.missing, works)) == [[], []]
        assert [staging.inputs(work) for work in works] == [(("in", replicas.files(digest)),)] * 2
