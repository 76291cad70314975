"""The data plane of a site that only dials out: calls to it come over streams that the agent opens to the gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from suanmesh.gateway.v1 import relay_service_pb2 as pb
from suanmesh_agent.following import follow
from suanmesh_chassis.process import Process
from suanmesh_chassis.service_server import ServiceServer
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Mesh
from suanmesh_sdk.kept_gateways import KeptGateways
from suanmesh_sdk.resolver import OneAddress

log = structlog.get_logger()

CALLS_OF_CONNECTION_MAX = 24
"""A gateway lets a connection have a few more; what is beyond them would wait."""


class RelayedDataPlane:
    """One stream to each gateway tells of calls; each call has a stream of its own to the gateway that told of it."""

    def __init__(self, site: str, process: Process, known: KeptGateways, server: ServiceServer) -> None:
        """`server` serves calls as it does those of a listener; the gateways are dialled, and dialled again."""
        self._site = site
        self._process = process
        self._known = known
        self._server = server

    async def run(self) -> None:
        """Serve for good, those gateways too that come later."""
        served: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = set(self._known.addresses)
                for address in served.keys() - now:
                    served.pop(address).cancel()
                for address in now - served.keys():
                    served[address] = tasks.create_task(self._of_one(address))
                await self._known.changed()

    async def _of_one(self, address: str) -> None:
        """Serve the calls that one gateway tells of."""
        async with aclosing(_Connections(self._process, address)) as connections, asyncio.TaskGroup() as tasks:

            async def take(told: pb.AwaitCallsResponse) -> None:
                if told.call:
                    tasks.create_task(self._serve(connections, told.call, address))
                else:
                    log.info("relay connected", address=address)

            await follow("AwaitCalls", connections.calls, take)

    async def _serve(self, connections: _Connections, call: str, address: str) -> None:
        async with connections.for_call() as mesh:
            stream: Any = mesh.relay.ServeCall()
            try:
                await self._server.serve_relayed(stream, call, site=self._site, peer=address)
            except Refusal as refusal:
                log.info("relayed call broke", reason=refusal.reason, message=refusal.message)
            finally:
                stream.cancel()


@dataclass(slots=True)
class _Connection:
    mesh: Mesh
    calls: int = 0


class _Connections:
    """Those to one gateway, as many as its calls need."""

    def __init__(self, process: Process, address: str) -> None:
        self._process = process
        self._address = address
        self._open = [self._dialled()]

    async def calls(self) -> AsyncIterator[pb.AwaitCallsResponse]:
        """Calls to take, until the stream breaks; it is on the first, which is always there."""
        async for told in self._open[0].mesh.relay.AwaitCalls(pb.AwaitCallsRequest()):
            yield told

    @asynccontextmanager
    async def for_call(self) -> AsyncIterator[Mesh]:
        """One with room for a call more."""
        found = next((each for each in self._open if each.calls < CALLS_OF_CONNECTION_MAX), None)
        if found is None:
            found = self._dialled()
            self._open.append(found)
        found.calls += 1
        try:
            yield found.mesh
        finally:
            found.calls -= 1

    async def aclose(self) -> None:
        """Close them all."""
        for each in self._open:
            await each.mesh.close()

    def _dialled(self) -> _Connection:
        return _Connection(self._process.mesh(OneAddress(self._address), via="gateway"))
