"""What the site has, told to the mesh: at the start, and again when nodes of its scheduler have come or gone."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from dataclasses import asdict, replace
from typing import Any

import structlog

from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh_agent.engines.queued import QueuedTasks, SchedulerSilent
from suanmesh_agent.following import Pauses
from suanmesh_agent.inventory import HostFacts, descriptor, hosts_of
from suanmesh_agent.journal import Journal
from suanmesh_agent.offers import Offers
from suanmesh_agent.ports import Engine
from suanmesh_agent.settings import AgentSettings
from suanmesh_agent.signing_keys import SiteSigner
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Mesh

log = structlog.get_logger()

KNOWN_HOSTS = "hosts.json"
"""File in the agent's folder with the nodes that the site's scheduler last told of."""
_DESCRIPTOR_TYPE = pool_pb2.PoolDescriptor.DESCRIPTOR.full_name

Hosts = tuple[tuple[str, Capacity], ...]


class Stocktaking:
    """Registers the pool of the site, and goes on as long as there are nodes to be looked at."""

    def __init__(
        self, settings: AgentSettings, offers: Offers, signer: SiteSigner, journal: Journal, mesh: Mesh, engine: Engine
    ) -> None:
        self._settings = settings
        self._offers = offers
        self._signer = signer
        self._journal = journal
        self._mesh = mesh
        self._engine = engine

    async def run(self) -> None:
        """Say what there is; of one host that is done once."""
        await self._register()
        while isinstance(self._engine, QueuedTasks):
            await asyncio.sleep(self._settings.inventory_every_s)
            hosts = await look_at_nodes(self._settings, self._engine)
            if hosts and hosts != self._offers.found.hosts:
                log.info("nodes have changed", message=f"{len(hosts)} are offered")
                self._offers.found = replace(self._offers.found, hosts=hosts)
                await self._register()

    async def _register(self) -> None:
        """Say it until it is taken. A refusal that stays is a setting to be mended: it is logged."""
        described, pauses = b"", Pauses()
        pool = f"sites/{self._settings.site}/pools/{self._settings.pool}"
        while True:
            try:
                described = described or self._descriptor().SerializeToString(deterministic=True)
                signed = self._signer.sign(_DESCRIPTOR_TYPE, described)
                await self._mesh.registry.RegisterPools(registry_pb.RegisterPoolsRequest(descriptors=[signed]))
            except Refusal as refusal:
                log.warning("pool not registered", pool=pool, reason=refusal.reason, message=refusal.message)
            except sqlite3.OperationalError as fault:  # such as a full disk, which ending the process would not empty
                log.warning("pool not registered", pool=pool, reason="JOURNAL_FAULT", message=str(fault))
            else:
                log.info("pool registered", pool=pool)
                return
            await pauses.wait()

    def _descriptor(self) -> pool_pb2.PoolDescriptor:
        """The next generation of it: what was measured anew is worth telling, so each start is a new one."""
        generation = int(self._journal.fact("generation") or "0") + 1
        self._journal.remember("generation", str(generation))
        return descriptor(self._settings, self._offers.found, generation)


async def nodes_at_the_start(settings: AgentSettings, engine: QueuedTasks) -> Hosts:
    """The nodes known from before, which a scheduler that is down does not take away; else those it tells of."""
    known = settings.data_dir / KNOWN_HOSTS
    if known.exists():
        return _offered(settings, _kept(json.loads(known.read_text())))
    pauses = Pauses()
    while not (hosts := await look_at_nodes(settings, engine)):
        log.warning("no node of the scheduler can be used yet")
        await pauses.wait()
    return hosts


async def look_at_nodes(settings: AgentSettings, engine: QueuedTasks) -> Hosts:
    """The nodes that can be used now; none where the scheduler does not say."""
    try:
        nodes = await engine.nodes()
    except SchedulerSilent as silent:
        log.warning("nodes not looked at", message=str(silent))
        return ()
    found = [HostFacts(node.name, node.cpu_milli, node.memory_bytes, node.devices) for node in nodes]
    if found:
        draft = settings.data_dir / f".{KNOWN_HOSTS}"
        draft.write_text(json.dumps([asdict(each) for each in found]))
        draft.replace(settings.data_dir / KNOWN_HOSTS)
    return _offered(settings, found)


def _kept(facts: list[dict[str, Any]]) -> list[HostFacts]:
    return [HostFacts(**each | {"devices": tuple(Device(**device) for device in each["devices"])}) for each in facts]


def _offered(settings: AgentSettings, found: list[HostFacts]) -> Hosts:
    return hosts_of(settings, found, shutil.disk_usage(settings.data_dir).free // _DISK_STEP * _DISK_STEP)


_DISK_STEP = 1 << 32
"""What the disk has free changes all the time: that alone is no news."""
