"""A node in one process, for tests: its authority, identities, and servers on free ports of the loopback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TypeVar

from suanmesh_chassis.ca import NodeCa, server_name
from suanmesh_chassis.identity import service_id, user_id
from suanmesh_chassis.keyring import Keys
from suanmesh_chassis.network import GrpcNetwork, Network, ProcessTls
from suanmesh_chassis.outgoing import TracedCalls
from suanmesh_chassis.parts import Forwarded, Listener, Parts, Requests, Served, ServiceContext
from suanmesh_chassis.process import Process
from suanmesh_chassis.revocations import Refused, nobody
from suanmesh_chassis.service_server import ServiceServer
from suanmesh_chassis.settings import Common
from suanmesh_chassis.signing import Signer, new_signing_key
from suanmesh_kernel.clock import Clock, SystemClock, system_rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_sdk import Resolver, Tls
from suanmesh_sdk.mesh import Mesh
from suanmesh_sdk.resolver import OneAddress
from suanmesh_telemetry.rpc import CallSpans

S = TypeVar("S")

NODE = "test"
USER = user_id(NODE, "acme", "ann")
OPERATOR = user_id(NODE, "operator", "olga")
ANY_PORT = Listener("127.0.0.1:0")


def lasting_key(signer: Signer) -> KeyWindow:
    """The key of a signer, good at every time a test has."""
    century = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    return KeyWindow(signer.key_id, signer.public_key, *century)


async def parts_of_leader(build: Callable[[ServiceContext[S]], Awaitable[Parts]], context: ServiceContext[S]) -> Parts:
    """What a process has that leads: what any instance has, and what the term adds; its servicer has every method."""
    parts = await build(context)
    if parts.term is None:
        return parts
    term = await parts.term(context)
    components = {**parts.components, **term.components}
    return replace(term, tasks=[*parts.tasks, *term.tasks], components=components)


class LoopbackNode:
    """One node's identities and servers; use it as an async context manager."""

    def __init__(
        self,
        folder: Path,
        clock: Clock | None = None,
        *,
        ca: NodeCa | None = None,
        sample_reads: float = 1.0,
        network: Network | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.ca = ca or NodeCa.create(NODE, self.clock)
        self._common = Common(node=NODE, tls_dir=folder, data_dir=folder, trace_sample_reads=sample_reads)
        self._sample_reads = sample_reads
        self._network = network or GrpcNetwork()
        self._servers: list[ServiceServer] = []
        self._meshes: list[Mesh] = []

    def process(self, area: str, *, identity: str = "", dns_names: Sequence[str] = (), **settings: float) -> Process:
        """A process of the node with a certificate and keys of its own; `settings` are those of `Common`."""
        identity = identity or service_id(NODE, area)
        issued = self.ca.issue(identity, dns_names or [server_name(NODE, area)])
        return Process(
            area=area,
            identity=identity,
            instance=sortable_id(self.clock.now(), system_rng),
            common=replace(self._common, **settings),  # type: ignore[arg-type]
            clock=self.clock,
            tls=ProcessTls.of(Tls(issued.ca, issued.certificate, issued.key), self.clock),
            signer=Signer(new_signing_key(), identity),
            spans=CallSpans(self._sample_reads, Random(1)),
            tracing=None,
            network=self._network,
        )

    async def serve(
        self,
        process: Process,
        parts: Sequence[Served | Forwarded],
        *,
        requests: Requests | None = None,
        keys: Keys | None = None,
        listener: Listener = ANY_PORT,
        refused: Refused | None = None,
    ) -> str:
        """Serve `parts` and return the address; `refused` as of `serve_alone`."""
        server = ServiceServer(process, keys, revoked=refused or nobody)
        if refused is not None:
            refused.changed = server.end_revoked
        self._servers.append(server)
        await server.place(parts, requests)
        return await server.listen(listener)

    def mesh(self, address: str, *, caller: str = USER, resolver: Resolver | None = None, traced: bool = False) -> Mesh:
        """Every area at `address`, called as `caller`; the server's name must be that of the area."""
        issued = self.ca.issue(caller)
        hook = TracedCalls(CallSpans(self._sample_reads, Random(2))) if traced else None
        tls = Tls(ca=issued.ca, cert=issued.certificate, key=issued.key)
        dial = self._network.dial(tls, read_ahead_bytes=None)
        mesh = Mesh(node=NODE, tls=tls, resolver=resolver or OneAddress(address), hook=hook, dial=dial)
        self._meshes.append(mesh)
        return mesh

    async def __aenter__(self) -> LoopbackNode:
        return self

    async def __aexit__(self, *_: object) -> None:
        for mesh in self._meshes:
            await mesh.close()
        await self.stop()

    async def stop(self) -> None:
        """End every server, as suddenly as it can be done in order."""
        for server in self._servers:
            await server.stop(0)
