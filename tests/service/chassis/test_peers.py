"""Services of other nodes at every method of every area: served where the contract says so, turned away elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.descriptor import ServiceDescriptor

from suanmesh.type.v1 import semantics_pb2, trust_pb2
from suanmesh_chassis import Call, Served
from suanmesh_chassis.ca import NodeCa, server_name, write_identity
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.process import Process
from suanmesh_chassis.testing import NODE, LoopbackNode
from suanmesh_chassis.trust import Trust
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import AlreadyExists
from suanmesh_sdk.values import timestamp
from tests.mesh.calling import METHODS, SERVICES, Answer, RawCaller, semantics_of

REACHED = "PARTY_EXISTS"
AREA = "registry"


def reached_by_all(service: ServiceDescriptor) -> object:
    """A servicer that says of every call that it was let through."""

    async def answer(self: object, request: object, call: Call) -> None:
        raise AlreadyExists(REACHED, "reached")

    async def stream(self: object, request: object, call: Call) -> AsyncIterator[None]:
        raise AlreadyExists(REACHED, "reached")
        yield

    made = {method.name: stream if method.server_streaming else answer for method in service.methods}
    return type("Reached", (), made)()


class Place:
    """Every area at one address, and who calls it."""

    def __init__(self, node: LoopbackNode, folder: Path, there: NodeCa) -> None:
        self._node = node
        self._folder = folder
        self._there = there
        self._address = ""
        self.caller = RawCaller()

    async def open(self, process: Process) -> None:
        parts = [Served(service, reached_by_all(service)) for _, service in SERVICES]
        self._address = await self._node.serve(process, parts)

    async def ask(self, ca: NodeCa, identity: str, area: str, method: Any) -> Answer:
        home = self._folder / identity.replace("/", "-")
        if not home.exists():
            write_identity(home, ca.issue(identity))
        (home / "own.pem").write_bytes(self._node.ca.pem)
        channel = self.caller.channel(home, home / "own.pem", self._address, server_name(NODE, AREA))
        return await self.caller.send(channel, method, b"")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Place, NodeCa]]:
    clock = SystemClock()
    there = NodeCa.create("there", clock)
    entry = trust_pb2.NodeTrust(name="nodes/there")
    entry.authorities.add(
        certificate_der=there.certificate.public_bytes(Encoding.DER),
        valid_from=timestamp(clock.now()),
        valid_until=timestamp(clock.now() + timedelta(days=1)),
    )
    async with LoopbackNode(tmp_path) as node:
        trust = Trust(NODE, node.ca.pem, [entry])
        made = node.process(AREA)
        opened = Place(node, tmp_path, there)
        await opened.open(replace(made, trust=lambda: trust, tls=replace(made.tls, peers=trust.roots_of_peers)))
        yield opened, there
        await opened.caller.close()


async def test_a_peer_may_call_what_is_declared_and_nothing_else(place: tuple[Place, NodeCa]) -> None:
    """A method that nobody thought about must not be open to every service of every node that is believed."""
    opened, there = place
    wrong, served = [], []
    for area, method in METHODS:
        answer = await opened.ask(there, service_id("there", "scheduler"), area, method)
        declared = {semantics_pb2.ROLE_PEER, semantics_pb2.ROLE_ANYONE} & set(semantics_of(method).roles)
        denied = (answer.code, answer.reasons) == ("PERMISSION_DENIED", {"ROLE_DENIED"})
        if declared:
            served.append(method.name)
        if denied is bool(declared) or answer.code in ("UNAVAILABLE", "INTERNAL", "UNKNOWN"):
            wrong.append(f"{area} {method.name}: {answer.code} {answer.reasons}")
    assert not wrong
    assert "GetTrustBundle" in served


async def test_an_authority_of_another_node_makes_nobody_of_this_one(place: tuple[Place, NodeCa]) -> None:
    """Its certificates pass the handshake, since peers come through the same door; they must not pass for ours."""
    opened, there = place
    for area, method in METHODS:
        answer = await opened.ask(there, service_id(NODE, "scheduler"), area, method)
        assert (answer.code, answer.reasons) == ("UNAUTHENTICATED", {"IDENTITY_MISSING"}), method.name
