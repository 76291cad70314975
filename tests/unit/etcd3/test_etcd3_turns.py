"""Which member of a cluster is asked."""

from __future__ import annotations

from suanmesh_etcd3.endpoints import Endpoints
from suanmesh_kernel.clock import HandClock


async def test_where_all_members_fail_each_is_asked_in_its_turn() -> None:
    """While members elect a leader, those that live fail too: whoever went on asking the dead one would miss it."""
    endpoints = Endpoints(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"], None, HandClock())
    for endpoint in endpoints.all:
        endpoints.failed(endpoint)

    asked = [endpoints.pick() for _ in range(3)]
    await endpoints.close()

    assert {each.address for each in asked} == {each.address for each in endpoints.all}
