"""Instances may be of several versions while a node is upgraded: only those are called that are understood."""

from __future__ import annotations

import asyncio

from suanmesh.type.v1.hello_pb2 import Hello
from suanmesh.type.v1.instance_pb2 import Instance
from suanmesh_chassis.discovery import Directory
from suanmesh_kernel.protocols import NEWEST
from suanmesh_store import MemoryKeyspace, MemoryStore
from suanmesh_store.layout import instance_key


async def test_an_instance_with_nothing_in_common_is_not_called() -> None:
    """A service that is three versions ahead would do something else than it was asked for."""
    keys = MemoryKeyspace()
    store = MemoryStore("registry", keys=keys)
    lease = await store.open_lease(60)
    hellos = {
        "own": Hello(protocol=NEWEST, protocol_oldest=1),
        "ahead": Hello(protocol=99, protocol_oldest=97),
        "": None,
    }
    for name, hello in hellos.items():
        record = Instance(area="registry", id=name, address=name, state=Instance.STATE_ACTIVE, hello=hello)
        await store.put_token(instance_key("registry", name or "old"), record.SerializeToString(), lease.id)
    directory = Directory(store)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(directory.run())
        await directory.ready.wait()
        assert {each.address for each in directory.instances("registry")} == {"own", ""}
        running.cancel()
    await lease.revoke()
