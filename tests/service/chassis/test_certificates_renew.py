"""Certificates that are replaced while calls are under way, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suanmesh_chassis import Served
from suanmesh_chassis.ca import NodeCa, server_name, write_identity
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.network import ProcessTls
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_kernel.clock import HandClock, SystemClock
from suanmesh_kernel.refusals import Refusal, Unauthenticated
from suanmesh_sdk import Mesh, Tls, connect
from suanmesh_sdk.resolver import OneAddress

OTHER = USER.replace("ann", "bob")


class Place:
    """A probe with its certificate in files, and a caller with files of their own."""

    def __init__(self, node: LoopbackNode, folder: Path) -> None:
        self.node = node
        self.server, self.user = folder / "server", folder / "user"
        self.clock = HandClock()
        self.probes = Probes()
        self.certify_server(node.ca)
        self.certify_user(node.ca)

    def certify_server(self, ca: NodeCa, trusted: bytes = b"") -> None:
        issued = ca.issue(service_id(NODE, "probe"), [server_name(NODE, "probe")])
        write_identity(self.server, replace(issued, ca=trusted or issued.ca))
        self.clock.advance(2)

    def certify_user(self, ca: NodeCa, who: str = USER, trusted: bytes = b"") -> None:
        issued = ca.issue(who)
        write_identity(self.user, replace(issued, ca=trusted or issued.ca))

    async def serve(self) -> str:
        made = self.node.process("probe")
        process = replace(made, tls=ProcessTls.of(Tls.of_folder(self.server), self.clock))
        return await self.node.serve(process, [Served(PROBE_SERVICE, self.probes)], requests=self.probes)


def read_of(mesh: Mesh) -> Any:
    return mesh.channel("probe").unary_unary(f"/{SERVICE}/Read", Probe.SerializeToString, Probe.FromString)


async def told(mesh: Mesh) -> str:
    """Who the probe says calls."""
    return str((await read_of(mesh)(Probe(text="hi"), timeout=60)).text).partition(" ")[0]


async def until_told(mesh: Mesh, who: str) -> None:
    """Files are looked at once a second: call on until the probe has seen the other certificate."""
    async with asyncio.timeout(60):
        while await told(mesh) != who:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.05)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with LoopbackNode(tmp_path) as node:
        yield Place(node, tmp_path)


def mesh_at(place: Place, address: str) -> Mesh:
    return Mesh(node=NODE, tls=Tls.of_folder(place.user), resolver=OneAddress(address))


async def test_calls_under_way_outlive_the_certificate_they_began_with(place: Place) -> None:
    """A transfer of an hour must not break because its agent has renewed its certificate meanwhile."""
    address = await place.serve()
    async with mesh_at(place, address) as mesh:
        assert await told(mesh) == USER
        talk = mesh.channel("probe").stream_stream(f"/{SERVICE}/Talk", Probe.SerializeToString, Probe.FromString)()
        await talk.write(Probe(text="before"))
        assert (await talk.read()).text == "BEFORE"

        place.certify_user(place.node.ca, OTHER)  # another identity shows which certificate is shown
        place.certify_server(place.node.ca)
        await until_told(mesh, OTHER)

        await talk.write(Probe(text="after"))
        assert (await talk.read()).text == "AFTER"
        talk.cancel()


async def test_an_authority_is_replaced_with_an_overlap(place: Place) -> None:
    """The authority of a node does not last for ever, and nobody can change all certificates at one moment."""
    old, new = place.node.ca, NodeCa.create(NODE, SystemClock())
    both = old.pem + new.pem
    address = await place.serve()
    async with mesh_at(place, address) as mesh:
        assert await told(mesh) == USER
        place.certify_server(old, both)
        place.certify_user(old, OTHER, both)
        await until_told(mesh, OTHER)
        place.certify_server(new, both)
        place.certify_user(new, USER, both)
        await until_told(mesh, USER)
        place.certify_user(new, OTHER, new.pem)
        place.certify_server(new, new.pem)
        await until_told(mesh, OTHER)

        place.certify_user(old)
        with pytest.raises(Refusal) as refused:
            await until_told(mesh, USER)
        assert refused.value.reason in ("HANDSHAKE_FAILED", "NOT_READY")


async def test_a_certificate_that_cannot_be_renewed_is_used_to_its_end(place: Place, tmp_path: Path) -> None:
    """A user whose registry is away works on, and is not told of what is none of their trouble."""
    write_identity(place.user, place.node.ca.issue(USER, days=-1))
    address = await place.serve()
    async with connect(address, tls=Tls.of_folder(place.user), node=NODE) as mesh:
        with pytest.raises(Unauthenticated):
            await told(mesh)
