"""Who is revoked is refused at once: at new calls of connections that are open, and on streams that are under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from suanmesh.registry.v1.revocation_pb2 import Revocation
from suanmesh_chassis import Listener, Served
from suanmesh_chassis.assertion import Minter
from suanmesh_chassis.identity import caller_of, service_id
from suanmesh_chassis.keyring import FixedKeys
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.revocations import Revocations
from suanmesh_chassis.service_server import ServiceServer
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_kernel.clock import seeded_rng
from suanmesh_kernel.refusals import PermissionDenied, Refusal, Unauthenticated
from suanmesh_sdk import Mesh
from suanmesh_sdk.values import timestamp
from suanmesh_store import Create, Delete, MemoryKeyspace, MemoryStore
from suanmesh_store.layout import REVOCATIONS

BOB = USER.replace("ann", "bob")
ANN_PATH = USER.removeprefix(f"spiffe://{NODE}/")


class Place:
    """A probe that knows who is revoked, as it is written in a keyspace."""

    def __init__(self, node: LoopbackNode) -> None:
        self.node = node
        keys = MemoryKeyspace(node.clock)
        self.registry, found = (
            MemoryStore(area, keys=keys, clock=node.clock, rng=seeded_rng(1)) for area in ("registry", "probe")
        )
        self.revocations = Revocations(found)
        self.gateway = node.process("gateway")
        known = FixedKeys({self.gateway.signer.key_id: self.gateway.signer.public_key})
        self.server = ServiceServer(node.process("probe"), known, revoked=self.revocations)
        self.revocations.changed = self.server.end_revoked
        self.address = ""

    async def open(self) -> None:
        await self.revocations.ready.wait()
        probes = Probes()
        await self.server.place([Served(PROBE_SERVICE, probes)], probes)
        self.address = await self.server.listen(Listener("127.0.0.1:0"))

    def mesh(self, who: str) -> Mesh:
        return self.node.mesh(self.address, caller=who)

    async def revoke(self, path: str, seconds: float = 0.0) -> None:
        begin = self.node.clock.now() + timedelta(seconds=seconds)
        made = Revocation(name=path, valid_from=timestamp(begin))
        await self.registry.commit(Create(REVOCATIONS, path, made))

    async def lift(self, path: str) -> None:
        held = await self.registry.get(REVOCATIONS, path)
        assert held is not None
        await self.registry.commit(Delete(held))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with LoopbackNode(tmp_path) as node, asyncio.TaskGroup() as tasks:
        opened = Place(node)
        following = tasks.create_task(opened.revocations.run())
        await opened.open()
        yield opened
        await opened.server.stop(0)
        following.cancel()


async def read(mesh: Mesh, **more: Any) -> str:
    call = mesh.channel("probe").unary_unary(f"/{SERVICE}/Read", Probe.SerializeToString, Probe.FromString)
    return str((await call(Probe(text="hi"), timeout=60, **more)).text)


async def until_refused(mesh: Mesh) -> Refusal:
    """The watch tells of it within milliseconds; a busy machine may take longer."""
    async with asyncio.timeout(60):
        while True:
            try:
                await read(mesh)
            except Refusal as refusal:
                return refusal
            await asyncio.sleep(0.01)


async def test_open_connections_and_streams_are_of_no_use_any_more(place: Place) -> None:
    """Whoever has somebody's certificate keeps a connection open for as long as it is of use."""
    ann, bob = place.mesh(USER), place.mesh(BOB)
    talks = [
        mesh.channel("probe").stream_stream(f"/{SERVICE}/Talk", Probe.SerializeToString, Probe.FromString)()
        for mesh in (ann, bob)
    ]
    for talk in talks:
        await talk.write(Probe(text="hi"))
        assert (await talk.read()).text == "HI"

    await place.revoke(ANN_PATH)

    with pytest.raises(Unauthenticated, match="CERTIFICATE_REVOKED"):
        await talks[0].read()
    with pytest.raises(Unauthenticated, match="CERTIFICATE_REVOKED"):
        await read(ann)
    assert await read(bob)
    await talks[1].write(Probe(text="still here"))
    assert (await talks[1].read()).text == "STILL HERE"
    talks[1].cancel()


async def test_what_is_issued_later_is_let_in(place: Place) -> None:
    """A user who was invited again must not stay shut out."""
    await place.revoke(ANN_PATH, seconds=-86_400)
    await place.revoke("party/elsewhere")
    assert await read(place.mesh(USER))


async def test_users_of_a_party_that_is_suspended_are_refused_until_it_is_approved(place: Place) -> None:
    """A suspension that somebody with an open connection does not notice is none."""
    ann = place.mesh(USER)
    assert await read(ann)
    await place.revoke("party/acme")
    refusal = await until_refused(ann)
    assert isinstance(refusal, PermissionDenied)
    assert refusal.reason == "CALLER_SUSPENDED"

    await place.lift("party/acme")
    async with asyncio.timeout(60):
        while True:
            try:
                assert await read(ann)
                break
            except Refusal:
                await asyncio.sleep(0.01)


async def test_a_gateway_does_not_bring_in_who_is_revoked(place: Place) -> None:
    """A gateway that has not been told yet must not be the way round."""
    minter = Minter(place.gateway.signer, place.node.clock)
    gateway = place.mesh(service_id(NODE, "gateway"))
    known = place.node.clock.now() - timedelta(days=1)
    since = {USER: known, BOB: known}

    async def brought(who: str) -> str:
        caller = replace(caller_of(who, NODE), since=since[who])
        return await read(gateway, metadata=(minter.metadata(caller, "probe"),))

    assert await brought(USER)
    await place.revoke(ANN_PATH)
    await until_refused(place.mesh(USER))
    with pytest.raises(Unauthenticated, match="CERTIFICATE_REVOKED"):
        await brought(USER)
    assert await brought(BOB)
    since[USER] = place.node.clock.now() + timedelta(seconds=1)
    assert await brought(USER)
