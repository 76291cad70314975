"""Services of another node: nobody until they are believed, then what the contract says, and nobody again.

Nothing is started anew: what the processes find beside their certificates is all that changes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor

from suanmesh.type.v1 import semantics_pb2, trust_pb2
from suanmesh_chassis.ca import NodeCa, server_name, write_identity
from suanmesh_chassis.identity import agent_id, service_id, user_id
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.node import NODE, Node
from suanmesh_sdk.values import timestamp
from tests.mesh.calling import METHODS, Answer, RawCaller, semantics_of

pytestmark = pytest.mark.mesh

SUAN = Path(sys.executable).parent / "suan"
THERE = "there"
TAKEN_S_MAX = 60.0
AREAS = ("gateway", "registry", "scheduler", "network_orchestrator", "transport", "accounting")
PEER = service_id(THERE, "scheduler")
STRANGERS = (user_id(THERE, "demo", "alice"), agent_id(THERE, "shanghai"), service_id(NODE, "scheduler"))
"""Shown with certificates of the other node's authority, which speaks for its services alone."""


class Neighbour:
    """Another node, and how its processes call this one."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._node = node
        self._folder = folder
        self._ca = NodeCa.create(THERE, SystemClock())
        self._callers: list[RawCaller] = []

    def described(self) -> Path:
        """What its operator hands over."""
        now, until = SystemClock().now(), timedelta(days=1)
        said = trust_pb2.NodeTrust(name=f"nodes/{THERE}")
        said.authorities.add(
            certificate_der=self._ca.certificate.public_bytes(Encoding.DER),
            valid_from=timestamp(now),
            valid_until=timestamp(now + until),
        )
        path = self._folder / "there.json"
        path.write_text(json_format.MessageToJson(said))
        return path

    async def ask(self, who: str, area: str, method: MethodDescriptor, *, caller: RawCaller | None = None) -> Answer:
        """A call to the instance of an area, over a connection of its own where none is given."""
        home = self._folder / who.replace("/", "-")
        if not home.exists():
            write_identity(home, self._ca.issue(who))
            (home / "own.pem").write_bytes((self._node.identities.of("registry") / "ca.pem").read_bytes())
        if caller is None:
            self._callers.append(caller := RawCaller())
        address = self._node.gateway if area == "gateway" else f"127.0.0.1:{self._node.ports[area]}"
        return await caller.send(caller.channel(home, home / "own.pem", address, server_name(NODE, area)), method, b"")

    async def close(self) -> None:
        for caller in self._callers:
            await caller.close()


@pytest.fixture
async def neighbour(node: Node, tmp_path: Path) -> AsyncIterator[Neighbour]:
    opened = Neighbour(node, tmp_path)
    yield opened
    await opened.close()
    await suan(node, "trust", "remove", THERE)
    await suan(node, "trust", "save", *(str(node.identities.of(area)) for area in AREAS))


async def suan(node: Node, *arguments: str) -> None:
    environment = os.environ | {"SUANMESH_CONFIG": str(node.folder / "config.toml"), "SUANMESH_CONTEXT": "operator"}
    child = await asyncio.create_subprocess_exec(SUAN, *arguments, env=environment, stderr=asyncio.subprocess.PIPE)
    _, said = await child.communicate()
    assert child.returncode == 0, said.decode()


async def until_answered(neighbour: Neighbour, area: str, *codes: str) -> Answer:
    """The first answer with one of these codes, each time over a new connection."""
    method = next(method for _, method in METHODS if method.name == "GetTrustBundle")
    async with asyncio.timeout(TAKEN_S_MAX):
        while (answer := await neighbour.ask(PEER, area, method)).code not in codes:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.1)
    return answer


async def test_the_matrix_of_another_node_s_services(node: Node, neighbour: Neighbour) -> None:
    """Who is believed must be told from who is not while both come through the same door, and nobody restarts it."""
    homes = [str(node.identities.of(area)) for area in AREAS]
    assert (await until_answered(neighbour, "gateway", "UNAVAILABLE")).reasons <= {""}, "not through the handshake"
    await suan(node, "trust", "set", str(neighbour.described()))
    await suan(node, "trust", "save", *homes)
    for area in AREAS:
        await until_answered(neighbour, area, "OK", "UNIMPLEMENTED")

    wrong = [
        f"{who} {door} {method.name}: {answer.code} {answer.reasons}"
        for who in (PEER, *STRANGERS)
        for area, method in METHODS
        for door in {"gateway", area} & set(AREAS)
        if semantics_of(method).public or door == area
        if not _right(who, method, answer := await neighbour.ask(who, door, method, caller=RawCaller()))
    ]
    assert not wrong, "\n".join(wrong)

    kept = RawCaller()
    method = next(method for _, method in METHODS if method.name == "GetTrustBundle")
    assert (await neighbour.ask(PEER, "registry", method, caller=kept)).code == "OK"
    await suan(node, "trust", "remove", THERE)
    await suan(node, "trust", "save", *homes)
    for area in AREAS:
        await until_answered(neighbour, area, "UNAVAILABLE")
    over = await neighbour.ask(PEER, "registry", method, caller=kept)
    await kept.close()
    assert (over.code, over.reasons) == ("UNAUTHENTICATED", {"IDENTITY_MISSING"}), (
        "a connection that stands is no way in"
    )


def _right(who: str, method: MethodDescriptor, answer: Answer) -> bool:
    """Whether a caller was answered as the contract says; one that is nobody here is so everywhere."""
    if who != PEER:
        return (answer.code, answer.reasons) == ("UNAUTHENTICATED", {"IDENTITY_MISSING"})
    denied = (answer.code, answer.reasons) == ("PERMISSION_DENIED", {"ROLE_DENIED"})
    declared = {semantics_pb2.ROLE_PEER, semantics_pb2.ROLE_ANYONE} & set(semantics_of(method).roles)
    return denied is not bool(declared)
