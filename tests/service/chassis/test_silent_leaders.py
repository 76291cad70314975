"""A leader whose machine froze, or was cut off: nothing of it ends, and it says of itself still that it leads."""

from __future__ import annotations

import asyncio
from pathlib import Path

from suanmesh.type.v1.instance_pb2 import Instance as Record
from suanmesh_chassis.ca import server_name
from suanmesh_chassis.discovery import Directory
from suanmesh_chassis.liveness import until_silent
from suanmesh_chassis.testing import NODE, LoopbackNode
from suanmesh_sdk import Instance, InstanceState
from suanmesh_store import MemoryKeyspace, MemoryStore
from suanmesh_store.layout import instance_key
from tests.silent_lines import line_to

PINGS_S = 3.0
"""Longer than silence lasts until it is noticed."""


async def test_of_two_that_say_they_lead_the_later_one_does() -> None:
    """Half of the calls would wait for the one that froze, until its record lapses, and so would reads."""
    store = MemoryStore("registry", keys=MemoryKeyspace())
    lease = await store.open_lease(60)

    async def says(name: str, *, leads: bool) -> None:
        record = Record(area="registry", id=name, address=name, state=Record.STATE_ACTIVE, leader=leads)
        await store.put_token(
            instance_key("registry", name), record.SerializeToString(), lease.id, must_not_exist=False
        )

    await says("b", leads=True)
    await says("a", leads=False)
    directory = Directory(store)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(directory.run())
        await directory.ready.wait()
        before = directory.leader("registry")
        await says("a", leads=True)
        await directory.changed("registry")
        known = directory.instances("registry")
        running.cancel()
    await lease.revoke()
    assert (before, directory.leader("registry")) == ("b", "a")
    assert known == [Instance("a", leader=True), Instance("b", state=InstanceState.STARTING)]


async def test_a_process_that_is_heard_is_not_silent_and_one_behind_a_cut_is(tmp_path: Path) -> None:
    """Its successor waits for the lease otherwise, which a new leader of etcd prolongs."""
    async with LoopbackNode(tmp_path) as node:
        process = node.process("registry")
        address = await node.serve(process, [])
        async with line_to(address) as line:
            name, shown = server_name(NODE, "registry"), process.tls.shown().of_channel()
            watching = asyncio.create_task(until_silent(line.address, name, shown))
            await asyncio.wait([watching], timeout=PINGS_S)
            heard = not watching.done()
            line.open.clear()
            await watching
    assert heard


async def test_a_process_that_was_never_heard_does_not_count_as_silent(tmp_path: Path) -> None:
    """Two that are cut off from each other, though not from etcd, would depose one another in turn."""
    async with LoopbackNode(tmp_path) as node:
        process = node.process("registry")
        async with line_to(await node.serve(process, [])) as line:
            line.open.clear()
            name, shown = server_name(NODE, "registry"), process.tls.shown().of_channel()
            watching = asyncio.create_task(until_silent(line.address, name, shown))
            await asyncio.wait([watching], timeout=PINGS_S)
            silent = watching.done()
            watching.cancel()
    assert not silent
