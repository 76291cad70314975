"""A store that was restored from an older copy: its clients notice, and what they kept of the lost history is void."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from suanmesh_etcd3 import Client, Election, EtcdError, Reset, connect
from suanmesh_local.etcd import EtcdCluster


class Restorable:
    """One member whose data can be put back to an earlier copy."""

    def __init__(self, cluster: EtcdCluster, folder: Path) -> None:
        self.member = cluster.members[0]
        self._copy = folder / "copy"

    async def copy(self) -> None:
        """Keep the data as they are, with the server stopped."""
        await asyncio.to_thread(self.member.stop)
        shutil.copytree(self.member.folder / "data", self._copy)
        self.member.start()

    async def restore(self) -> None:
        """Put the copy back."""
        await asyncio.to_thread(self.member.stop)
        shutil.rmtree(self.member.folder / "data")
        shutil.copytree(self._copy, self.member.folder / "data")
        self.member.start()


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Restorable]:
    async with EtcdCluster(tmp_path / "etcd") as cluster:
        yield Restorable(cluster, tmp_path)


async def _answers(client: Client) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get("any")
            except EtcdError:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_watch_tells_the_way_back_and_leaders_step_down(etcd: Restorable) -> None:
    """A watch that waits for a revision of the lost history hears nothing for good: jobs stayed PENDING in silence."""
    told: list[int] = []
    async with connect([etcd.member.endpoint]) as client:
        client.history.tell = lambda: told.append(1)
        await client.put("k/old", b"1")
        leader = await Election(client, "lead", b"me", 30).campaign()
        await etcd.copy()
        await _answers(client)
        assert (told, leader.alive) == ([], True), "a restart alone is no other history"
        for number in range(20):
            await client.put("k/new", str(number).encode())
        snapshot = await client.snapshot("k/")
        known = {kv.key: kv.mod_revision for kv in snapshot.kvs}
        watch = client.watch("k/", after_revision=snapshot.revision, known=known)
        await etcd.restore()
        async with asyncio.timeout(60):
            reset = await anext(watch)
        assert isinstance(reset, Reset)
        assert reset.reason == "replaced"
        assert [(event.kind, event.key) for event in reset.events] == [("delete", b"k/new")]
        assert not leader.alive
        assert told == [1]
        await client.put("k/next", b"2")
        async with asyncio.timeout(60):
            batch = await anext(watch)
        assert [event.key for event in batch.events] == [b"k/next"]
        await watch.aclose()
