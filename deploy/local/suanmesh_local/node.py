"""A node that is tried out on this machine: etcd and services, and sites as real processes beside them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import psutil

from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh_kernel.private import private_folder, write_private
from suanmesh_local import founding, world
from suanmesh_local.control_plane import ControlPlane, NotReady, Tell, metrics_port, script
from suanmesh_local.die_with_parent import die_with_parent
from suanmesh_local.facts import USER_OF_OPERATOR, NodeFacts
from suanmesh_local.processes import Process
from suanmesh_local.prometheus_files import LISTEN
from suanmesh_local.settings_files import write_contexts, write_environment
from suanmesh_local.slurm import LocalSlurm
from suanmesh_local.task_python import task_python
from suanmesh_local.tools import ToolMissing, bubblewrap, cache_dir
from suanmesh_sdk import Mesh
from suanmesh_sdk.invites import invite_text

NODE = "demo"
CONSUMING_USER = "alice"
FACTS = NodeFacts(NODE, users=((world.CONSUMER, CONSUMING_USER), USER_OF_OPERATOR))


class Node(ControlPlane):
    """One node with its sites. Use it as an async context manager."""

    def __init__(
        self,
        folder: Path,
        sites: int = 3,
        *,
        replicas: int = 1,
        etcd_members: int = 1,
        tell: Tell = lambda name, state: None,
        overrides: Mapping[str, str] | None = None,
        slurm: LocalSlurm | None = None,
    ) -> None:
        """As of a control plane, with the first `sites` places of the world; the first of them runs `slurm`, if any."""
        self.places = world.places(sites)
        super().__init__(folder, FACTS, replicas=replicas, etcd_members=etcd_members, tell=tell, overrides=overrides)
        self.agents = {place.site: self._agent(place) for place in self.places}
        if slurm is not None:
            first = self.agents[self.places[0].site]
            first.environment |= {
                "SUANMESH_AGENT_ENGINE": "slurm",
                "SUANMESH_AGENT_SLURM_CONF": str(slurm.conf),
                "SUANMESH_AGENT_CPU_MILLI": "0",
                "SUANMESH_AGENT_MEMORY_BYTES": "0",
            }

    def mesh(self, user: str = CONSUMING_USER) -> Mesh:
        """The mesh as a user: `alice` of the consuming party, or `operator`."""
        return super().mesh(user)

    async def start(self) -> None:
        """Start everything in order of dependence. Raises NotReady, ToolMissing, Taken, OSError."""
        await super().start()
        self._write_config()
        async with self.mesh("operator") as operator:
            await founding.found(operator, self.places)
            for place in self.places:
                await self._join(operator, place)
                self.agents[place.site].start()
            for place in self.places:
                await self.site_ready(place.site, operator)
            await founding.let_publish(operator, self.places)

    async def publish(self, site: str, dataset: str, party: str, folder: Path) -> str:
        """Publish a folder as a dataset at a site, as its operator would; answers what the agent says of it.

        Raises NotReady.
        """
        command = [script("agent"), "publish", "--dataset", dataset, "--party", f"parties/{party}", str(folder)]
        environment = os.environ | self.agents[site].environment | {"SUANMESH_LOG_LEVEL": "error"}
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *die_with_parent(command), env=environment, stdout=pipe, stderr=pipe
        )
        try:
            said, trouble = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            words = trouble.decode().strip().rpartition("\n")[2]
            raise NotReady(f"publishing {dataset} at {site} ended with {child.returncode}: {words}")
        return said.decode().strip()

    async def stop(self) -> None:
        """Stop the sites, and then all else in reverse."""
        await asyncio.gather(*(agent.stop() for agent in self.agents.values()))
        await super().stop()

    def all_processes(self) -> list[Process]:
        """Every process of the node."""
        return [*super().all_processes(), *self.agents.values()]

    async def site_ready(self, site: str, mesh: Mesh) -> None:
        """Wait until a site's pools can be placed on. Raises NotReady."""

        async def active() -> bool:
            answer = await mesh.registry.SearchPools(registry.SearchPoolsRequest())
            own = [found for found in answer.pools if found.pool.name.startswith(f"sites/{site}/")]
            return any(f.HasField("state") and f.pool.phase == pool_pb2.Pool.PHASE_ACTIVE for f in own)

        await self.until(active, self.agents[site])
        self.tell(f"site {site}", f"pid {self.agents[site].pid}  127.0.0.1:{self.ports[f'site-{site}']}")

    async def _join(self, operator: Mesh, place: world.Place) -> None:
        """Give a site that has not joined an invite."""
        file = self.folder / "sites" / place.site / "invite"
        if file.exists():
            return
        private_folder(file.parent)
        request = registry.CreateJoinTokenRequest(party=f"parties/{place.provider}")
        token = await operator.registry.CreateJoinToken(request)
        write_private(file, invite_text(self.gateway, self.facts.name, token).encode())

    def _port_names(self) -> list[str]:
        sites = [f"site-{place.site}" for place in self.places]
        return [*super()._port_names(), *sites, *map(metrics_port, sites)]

    def _agent(self, place: world.Place) -> Process:
        home = self.folder / "sites" / place.site
        share = world.shares(
            self.places, psutil.cpu_count() or 1, psutil.virtual_memory().total, shutil.disk_usage(self.folder).free
        )[place.site]
        environment = self._common(home / "tls", home) | {
            "SUANMESH_AGENT_DATA_DIR": str(home),
            "SUANMESH_AGENT_GATEWAY": self.gateway,
            "SUANMESH_AGENT_INVITE_FILE": str(home / "invite"),
            "SUANMESH_AGENT_SITE": place.site,
            "SUANMESH_AGENT_DISPLAY_NAME": place.city,
            "SUANMESH_AGENT_CITY_CODE": place.city_code,
            "SUANMESH_AGENT_LATITUDE_MICRODEGREES": str(round(place.latitude * 1e6)),
            "SUANMESH_AGENT_LONGITUDE_MICRODEGREES": str(round(place.longitude * 1e6)),
            "SUANMESH_AGENT_RESIDENCY": "cn",
            "SUANMESH_AGENT_DATA_LISTEN": f"127.0.0.1:{self.ports[f'site-{place.site}']}",
            LISTEN: f"127.0.0.1:{self.ports[metrics_port(f'site-{place.site}')]}",
            "SUANMESH_AGENT_CPU_MILLI": str(share.cpu_milli),
            "SUANMESH_AGENT_MEMORY_BYTES": str(share.memory_bytes),
            "SUANMESH_AGENT_SCRATCH_BYTES": str(share.scratch_bytes),
            "SUANMESH_AGENT_PRICE_BOOK": f"priceBooks/{place.site}",
            "SUANMESH_AGENT_RUNTIME_PREFIX": str(task_python(cache_dir())),
            "SUANMESH_AGENT_STOP_TASKS": "true",
            "SUANMESH_AGENT_LIVES_WITH": str(os.getpid()),
        }
        try:
            environment["SUANMESH_AGENT_BWRAP"] = str(bubblewrap(cache_dir()).path)
        except ToolMissing:  # all parties of this node are the one person who starts it; `suan doctor` says what lacks
            environment["SUANMESH_AGENT_RUN_STRANGERS_UNSANDBOXED"] = "true"
            environment["SUANMESH_AGENT_RUN_STRANGERS_AS_ROOT"] = "true"
        return Process(
            f"site {place.site}",
            [script("agent")],
            environment | self._overrides,
            self.folder / "logs" / f"site-{place.site}.log",
        )

    def _write_config(self) -> None:
        """The contexts the command line finds, and each site's settings for `suanmesh-agent` by hand."""
        for site, agent in self.agents.items():
            write_environment(self.folder / "sites" / site / "agent.env", agent.environment)
        account = f"accounts/{world.CONSUMER}"
        write_contexts(self.folder, self.facts, self.gateway, self.identities, current=CONSUMING_USER, account=account)
