"""What the launcher does for a node now and then: certificates, authorities, machines that come and go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from suanmesh_etcd3 import EtcdError
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.lifetimes import retry_after_s
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.control_plane import ControlPlane
from suanmesh_local.etcd import START_S_MAX
from suanmesh_local.machine_list import listed_here
from suanmesh_local.machine_rules import NodeMachine, facts_with
from suanmesh_local.unit_files import write_files
from suanmesh_sdk import Mesh, Tls
from suanmesh_sdk.renewal import Renewal, asking, life_of
from suanmesh_sdk.resolver import gateways

LOOK_S = 5.0
"""How often it is looked on which machines the node is."""
LEAVE_S = 120.0
"""How long a member of etcd waits to be taken out once its machine serves no more."""
POLL_S = 0.2


class Tender:
    """Looks after a node that runs."""

    def __init__(self, node: ControlPlane) -> None:
        self._node = node
        self._clock = SystemClock()
        self._renew_at = 0.0
        self._look_at = 0.0

    async def tend(self) -> bool:
        """Renew etcd's certificate where no service does, start etcd anew where its authorities have changed, and
        follow the node onto other machines; whether this still is one of them.
        """
        node = self._node
        if not node.services:
            await self._renew_etcd()
        for member in node.etcd:
            if member.trusts_others:
                member.stop()
                member.start()
                async with node.etcd_client() as client:
                    await node.until(partial(client.status, member.endpoint), member.process, within_s=START_S_MAX)
                node.tell(member.name, f"pid {member.pid}  {member.endpoint}: started anew for another authority")
        if node.facts.is_spread and self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + LOOK_S
            return await self.follow()
        return True

    async def follow(self) -> bool:
        """Have the files of this machine say on which machines the node is; whether this still is one of them."""
        node, listed = self._node, await self._listed()
        if not listed:
            return True
        if node.facts.host not in {each.host for each in listed}:
            return False
        facts = facts_with(node.facts, listed)
        if facts != node.facts:
            node.adopt(facts)
            write_files(node)
            node.tell("machines", ", ".join(each.host for each in listed))
        return True

    async def leave(self) -> None:
        """End what serves, the gateway last, and then etcd once it was taken out: it ends by itself."""
        node = self._node
        node.renewing.update(process.name for process in node.all_processes())
        await asyncio.gather(*(each.stop() for name, each in node.services.items() if name != "gateway"))
        if "gateway" in node.services:
            await node.services["gateway"].stop()
        until = self._clock.monotonic() + LEAVE_S
        while any(member.pid for member in node.etcd) and self._clock.monotonic() < until:  # noqa: ASYNC110 - a process
            await asyncio.sleep(POLL_S)
        node.tell("node", f"{node.facts.host} is no machine of {node.facts.name} any more; remove {node.folder}")

    async def _listed(self) -> tuple[NodeMachine, ...]:
        if not self._node.facts.is_spread:
            return ()
        with suppress(Refusal, EtcdError, OSError):  # asked again soon
            return await listed_here(self._node.identities, self._node.facts)
        return ()

    async def _renew_etcd(self) -> None:
        """At the registry of the machines that run the services."""
        node = self._node
        tls = Tls.of_folder(node.identities.of("etcd"))
        registries = gateways(",".join(f"{host}:{node.ports['registry']}" for host in node.facts.machines))
        life = life_of(tls.read().certificate)
        if self._clock.monotonic() < self._renew_at or not life.due <= self._clock.now() < life.end:
            return
        self._renew_at = self._clock.monotonic() + retry_after_s(life.begin, life.end)
        async with Mesh(node=node.facts.name, tls=tls, resolver=registries) as mesh:
            with suppress(Refusal, OSError):
                await Renewal(tls, self._clock, asking(mesh.registry)).renew_if_due()
