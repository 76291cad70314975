"""Where sites' data planes are, as the registry says, and whether it is theirs."""

from __future__ import annotations

import asyncio
import socket

from suanmesh.registry.v1.registry_service_pb2 import GetSiteRequest
from suanmesh_kernel.addresses import RELAY, host_of
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import FailedPrecondition, Refusal, Unavailable
from suanmesh_sdk import Mesh

PLACE_S = 5.0
"""How long it is remembered where a site's data plane is."""
CHECKED_S = 60.0
"""How long it is believed that an address is a site's own."""
SITES_MAX = 10_000
REACH_S = 5.0
"""How long a site's data plane may take to answer."""
HEALTH = "/grpc.health.v1.Health/Check"
"""Answered by every server of ours, whatever else it serves; its request may be empty."""


class DataPlanes:
    """Of all sites of the node."""

    def __init__(self, mesh: Mesh, clock: Clock) -> None:
        self._mesh = mesh
        self._clock = clock
        self._places: dict[str, tuple[str, float]] = {}
        self._checked: dict[str, tuple[str, str, float]] = {}

    async def place_of(self, site: str) -> str:
        """`host:port`, or `RELAY`. Raises FailedPrecondition (`SITE_NOT_REACHABLE`) and what the registry refuses."""
        address, until = self._places.get(site, ("", 0.0))
        if until < self._clock.monotonic():
            found = await self._mesh.registry.GetSite(GetSiteRequest(name=site))
            address = found.data_endpoint
            if len(self._places) >= SITES_MAX:
                self._places.clear()
            self._places[site] = address, self._clock.monotonic() + PLACE_S
        if not address:
            message = f"{site} has no data plane"
            raise FailedPrecondition("SITE_NOT_REACHABLE", message, site=site)
        return address

    async def checked_address(self, site: str) -> tuple[str, int]:
        """IP address and port at which the site's own agent answered, lately, with its certificate.

        A site says itself where it is: whatever else it names is not connected to. Raises as `place_of` does,
        FailedPrecondition (`SITE_NOT_REACHABLE`) for a site that only dials out too, and Unavailable.
        """
        place = await self.place_of(site)
        if place == RELAY:
            raise FailedPrecondition("SITE_NOT_REACHABLE", f"{site} only dials out", site=site)
        known, address, until = self._checked.get(site, ("", "", 0.0))
        if known != place or until < self._clock.monotonic():
            address = await self._resolved(site, place)
            if not await self.answers(site, address):
                raise Unavailable("SITE_NOT_CONNECTED", f"{site} does not answer at {place}", site=site)
            if len(self._checked) >= SITES_MAX:
                self._checked.clear()
            self._checked[site] = place, address, self._clock.monotonic() + CHECKED_S
        return host_of(address), int(address.rpartition(":")[2])

    async def answers(self, site: str, address: str) -> bool:
        """Whether the agent of `site` answers at an address, which is dialled for nothing but its own certificate."""
        async with self._mesh.apart() as mesh:  # what is asked for is kept nowhere, and breaks nobody's connection
            try:
                await mesh.agent_channel(address, site=site).unary_unary(HEALTH)(b"", timeout=REACH_S)
            except Refusal:
                return False
        return True

    async def _resolved(self, site: str, place: str) -> str:
        """Its first IP address: a name may lead elsewhere the next time it is looked up."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host_of(place), place.rpartition(":")[2], type=socket.SOCK_STREAM)
        except OSError as fault:
            problem = f"{site}: {place} cannot be looked up: {fault.strerror}"
            raise Unavailable("SITE_NOT_CONNECTED", problem, site=site) from fault
        host, port = str(found[0][4][0]), place.rpartition(":")[2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
