"""Members that come to a cluster later, and members that go: nothing acknowledged is lost, and none votes too early."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from suanmesh_etcd3 import EtcdError, add_learner, connect, members_of, promote, remove_member
from suanmesh_local.etcd import START_S_MAX, EtcdCluster, EtcdServer, peer_url
from suanmesh_local.ports import free_ports

POLL_S = 0.1


async def test_a_member_follows_then_votes_and_the_first_may_go(tmp_path: Path) -> None:
    """An operator replaces the machine that a node began on: what was acknowledged there is with the one that came."""
    async with (
        EtcdCluster(tmp_path) as cluster,
        connect(cluster.endpoints, timeout_s=START_S_MAX) as client,
        connect(cluster.endpoints, timeout_s=START_S_MAX) as user,
    ):
        await client.put("/town/bread", b"warm")
        port, peer_port = free_ports(2)
        await add_learner(client, peer_url(peer_port, None))
        await add_learner(client, peer_url(peer_port, None))  # whose answer was lost asks again
        first, second = sorted(await members_of(client), key=lambda each: each.learns)
        assert (second.learns, second.name, second.addresses) == (True, "", ())
        assert not await promote(client, second.member_id), "it has nothing yet"
        names = f"{first.name}={first.peer_urls[0]},later={second.peer_urls[0]}"
        with ExitStack() as ending:
            later = EtcdServer("later", tmp_path / "later", port, peer_port, names, comes_later=True)
            ending.callback(later.stop)
            later.start()
            async with asyncio.timeout(START_S_MAX):
                while not await promote(client, second.member_id):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(POLL_S)
            assert {each.name: each.learns for each in await members_of(client)} == {
                first.name: False,
                "later": False,
            }

            await user.follow_members()
            async with connect([later.endpoint], timeout_s=START_S_MAX) as other:
                await remove_member(other, first.member_id)
                found = await other.get("/town/bread")
                assert found is not None
                assert found.value == b"warm"
                known = await user.get("/town/bread")
                assert known == found, "who knew the first alone finds the one that came"
                assert [each.name for each in await members_of(other)] == ["later"]
                with pytest.raises(EtcdError, match="not found"):
                    await remove_member(other, first.member_id)
