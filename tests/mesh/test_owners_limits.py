"""A node whose owners limit what others may do: what the agents were told reaches the scheduler before any job does."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.reason_pb2 import OBSTACLE_CODE_KIND_REFUSED
from suanmesh_local import trials
from suanmesh_local.node import Node

pytestmark = pytest.mark.mesh
LIMITS = {"SUANMESH_AGENT_REFUSE_KINDS": "array", "SUANMESH_AGENT_PARTY_SHARE_MILLI": "900"}


async def test_what_owners_refuse_is_an_obstacle_and_the_rest_runs(tmp_path: Path) -> None:
    """A limit that the agent keeps to and the mesh does not know lets every job fail once at every site."""
    async with Node(tmp_path, 2, overrides=LIMITS) as node, node.mesh() as alice:
        found = await alice.registry.SearchPools(registry.SearchPoolsRequest(filter="limits.party_share_milli > 0"))
        assert [list(each.pool.limits.refused_kinds) for each in found.pools] == [[pool_pb2.WORK_KIND_ARRAY]] * 2
        several = trials.job("print(1)")
        several.task.count = 2
        decided = await trials.planned(alice, several)
        assert {each.obstacle.code for each in decided.candidates} == {OBSTACLE_CODE_KIND_REFUSED}
        one = await trials.ended(alice, await trials.submit(alice, "one", trials.job("print(1)")))
        assert (one.state, list(one.refused_by)) == (Job.STATE_DONE, [])
