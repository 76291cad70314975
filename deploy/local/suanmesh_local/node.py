"""A node on this machine: etcd, services and sites as real processes, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh_chassis.ca import server_name
from suanmesh_chassis.private import private_folder, tighten, write_private
from suanmesh_etcd3 import Client, OutcomeUnknown, Unavailable, confine
from suanmesh_etcd3 import connect as connect_etcd
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import founding, world
from suanmesh_local.die_with_parent import die_with_parent
from suanmesh_local.etcd import START_S_MAX, EtcdServer, peer_url
from suanmesh_local.format import claim_format
from suanmesh_local.identities import AREAS, ETCD_ROOT_DIR, Identities, found_identities
from suanmesh_local.lock import Lock
from suanmesh_local.ports import kept_ports
from suanmesh_local.processes import Process
from suanmesh_local.tools import ToolMissing, bubblewrap, cache_dir
from suanmesh_sdk import Mesh, Tls, connect
from suanmesh_store.etcd import EtcdKeyspace
from suanmesh_store.store import KeyspaceStore

READY_S_MAX = 60.0
LEASE_S = 2.0
"""How long one that died still counts as leader where another waits for it, seconds; etcd knows no shorter lease."""
POLL_S = 0.1
NODE = "demo"
KNOCK_AGAIN = (
    ("grpc.initial_reconnect_backoff_ms", int(POLL_S * 1000)),
    ("grpc.min_reconnect_backoff_ms", int(POLL_S * 1000)),
    ("grpc.max_reconnect_backoff_ms", int(POLL_S * 1000)),
)
"""gRPC itself waits a second and more after it has found nobody there, and a start is nothing but that."""
OLDER_POLLER = "-event_engine_client,-event_engine_listener"
"""For GRPC_EXPERIMENTS: a call takes a sixth less of both its processes, and a node that does nothing a third less."""
LOCK = "node.lock"
"""In a node's folder: held by the process whose node it is."""

Tell = Callable[[str, str], None]
"""Told the name of a process and what it has come to."""


class NotReady(Exception):
    """A process ended or did not become ready; says on one line why, and where its log is."""


class Node:
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
    ) -> None:
        """Take the folder, for this process alone; `overrides` are added to every process' environment.

        Of each service that is led there are `replicas` processes, which share a folder: `registry`, `registry-2` ...

        Raises Taken where another node runs in it, OtherFormat where another version laid it out, ValueError, OSError.
        """
        self.folder = folder.resolve()
        self.places = world.places(sites)
        self._replicas = replicas
        self._lock = Lock(self.folder / LOCK)
        self._lock.take()
        try:
            claim_format(self.folder)
        except BaseException:
            self._lock.release()
            raise
        tighten(self.folder, but=("work", "replicas"))  # tasks' own, and what each agent looks through itself
        self.tell = tell
        self._overrides = dict(overrides or {})
        self.identities: Identities = found_identities(self.folder / "tls", NODE)
        self._members = ["etcd"] if etcd_members == 1 else [f"etcd-{index}" for index in range(etcd_members)]
        self.ports = self._ports()
        self.etcd = self._etcd()
        self.services = {area: self._service(area) for area in AREAS}
        self.services |= {name: self._replica(area, name) for area, name in self._further()}
        self.agents = {place.site: self._agent(place) for place in self.places}

    @property
    def gateway(self) -> str:
        """`host:port` of the one address users talk to."""
        return f"127.0.0.1:{self.ports['gateway']}"

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of every etcd member."""
        return [member.endpoint for member in self.etcd]

    def mesh(self, user: str = "alice") -> Mesh:
        """The mesh as a user: `alice` of the consuming party, or `operator`."""
        home = self.identities.of(user)
        ca, certificate, key = ((home / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem"))
        return connect(self.gateway, tls=Tls(ca=ca, cert=certificate, key=key), node=NODE)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything in order of dependence. Raises NotReady, ToolMissing, Taken, OSError."""
        self._lock.take()
        for member in self.etcd:
            member.start()
        await self._etcd_ready()
        for member in self.etcd:
            self.tell(member.name, f"pid {member.pid}  {member.endpoint}")
        for service in self.services.values():
            service.start()
        for name in self.services:
            await self.ready(name)
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
        command = [_script("agent"), "publish", "--dataset", dataset, "--party", f"parties/{party}", str(folder)]
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
        """Stop everything in reverse: sites, services, the gateway that takes their last spans, etcd."""
        await asyncio.gather(*(agent.stop() for agent in self.agents.values()))
        await asyncio.gather(*(service.stop() for name, service in self.services.items() if name != "gateway"))
        await self.services["gateway"].stop()
        for member in reversed(self.etcd):
            member.stop()
        self._lock.release()
        self.tell("node", "stopped")

    async def ready(self, name: str) -> None:
        """Wait until an instance of a service says SERVING, be it as standby. Raises NotReady."""
        process, area = self.services[name], name.partition("-")[0]
        home = self.identities.of("operator")
        ca, key, certificate = ((home / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        options = (("grpc.ssl_target_name_override", server_name(NODE, area)), *KNOCK_AGAIN)
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.ports[name]}", credentials, options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            async def serving() -> bool:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await self._until(serving, process)
        self.tell(name, f"pid {process.pid}  127.0.0.1:{self.ports[name]}")

    async def leader_of(self, area: str) -> str:
        """Which of `services` leads an area."""
        async with self._etcd_client() as client:
            store = KeyspaceStore(EtcdKeyspace(client), area, SystemClock(), system_rng)
            address = await store.leader(area)
        return next(name for name in self.services if address == f"127.0.0.1:{self.ports.get(name)}")

    async def etcd_leader(self) -> EtcdServer:
        """Which member leads etcd."""
        async with self._etcd_client() as client:
            for member in self.etcd:
                if (await client.status(member.endpoint)).leads:
                    return member
        raise NotReady("no member of etcd leads")

    async def site_ready(self, site: str, mesh: Mesh) -> None:
        """Wait until a site's pools can be placed on. Raises NotReady."""

        async def active() -> bool:
            answer = await mesh.registry.SearchPools(registry.SearchPoolsRequest())
            own = [found for found in answer.pools if found.pool.name.startswith(f"sites/{site}/")]
            return any(f.HasField("state") and f.pool.phase == pool_pb2.Pool.PHASE_ACTIVE for f in own)

        await self._until(active, self.agents[site])
        self.tell(f"site {site}", f"pid {self.agents[site].pid}  127.0.0.1:{self.ports[f'site-{site}']}")

    async def _until(
        self, holds: Callable[[], Awaitable[object]], *processes: Process, within_s: float = READY_S_MAX
    ) -> None:
        name = processes[0].name
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for process in processes:
                        if process.status is not None:
                            words = process.last_words()
                            raise NotReady(f"{process.name} ended with {process.status}: {words}")
                    with suppress(grpc.aio.AioRpcError, Refusal, Unavailable, OutcomeUnknown):
                        if await holds():
                            return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise NotReady(f"{name} is not ready after {within_s:g} s: {processes[0].last_words()}") from None

    async def _etcd_ready(self) -> None:
        """Wait for etcd, and have it let each service write under its own prefixes only."""
        async with self._etcd_client() as client:

            async def confined() -> bool:
                await confine(client, self.identities.etcd_users())
                return True

            await self._until(confined, *(member.process for member in self.etcd), within_s=START_S_MAX)

    def _etcd_client(self) -> Client:
        return connect_etcd(self.endpoints, tls=self.identities.etcd_client(ETCD_ROOT_DIR), timeout_s=1.0)

    async def _join(self, operator: Mesh, place: world.Place) -> None:
        """Give a site that has not joined a one-time token."""
        token_file = self.folder / "sites" / place.site / "join.token"
        if token_file.exists():
            return
        private_folder(token_file.parent)
        request = registry.CreateJoinTokenRequest(party=f"parties/{place.provider}")
        token = await operator.registry.CreateJoinToken(request)
        write_private(token_file, token.token.encode())

    def _ports(self) -> dict[str, int]:
        """The node's ports: the same as last time where they are free."""
        peers = [f"{name}-peer" for name in self._members]
        names = [*self._members, *peers, "enrol", *AREAS, *(f"site-{place.site}" for place in self.places)]
        return kept_ports(self.folder / "ports.json", [*names, *(name for _, name in self._further())])

    def _etcd(self) -> list[EtcdServer]:
        peers = {name: self.ports[f"{name}-peer"] for name in self._members}
        tls = self.identities.etcd_server
        cluster = ",".join(f"{name}={peer_url(port, tls)}" for name, port in peers.items())
        return [
            EtcdServer(name, self.folder / "etcd" / name, self.ports[name], peers[name], cluster, tls)
            for name in self._members
        ]

    def _common(self, identity: Path, data: Path) -> dict[str, str]:
        return {
            "SUANMESH_NODE": NODE,
            "SUANMESH_TLS_DIR": str(identity),
            "SUANMESH_DATA_DIR": str(data),
            "SUANMESH_OTLP_ENDPOINT": self.gateway,
            "GRPC_EXPERIMENTS": OLDER_POLLER,
        }

    def _service(self, area: str) -> Process:
        identity = self.identities.of(area)
        environment = self._common(identity, self.folder / "services" / area) | {
            "SUANMESH_ETCD_ENDPOINTS": ",".join(self.endpoints),
            "SUANMESH_ETCD_TLS_DIR": str(identity),
            "SUANMESH_LISTEN": f"127.0.0.1:{self.ports[area]}",
        }
        if area == "registry":
            environment["SUANMESH_REGISTRY_CA_DIR"] = str(self.identities.ca_dir)
        if area == "gateway":
            environment["SUANMESH_GATEWAY_ENROL_LISTEN"] = f"127.0.0.1:{self.ports['enrol']}"
        if self._replicas > 1:
            environment["SUANMESH_LEASE_S"] = str(LEASE_S)
        return Process(area, [_script(area)], environment | self._overrides, self.folder / "logs" / f"{area}.log")

    def _further(self) -> list[tuple[str, str]]:
        """Area and name of each instance besides the first."""
        led = [area for area in AREAS if area != "gateway"]
        return [(area, f"{area}-{number}") for number in range(2, self._replicas + 1) for area in led]

    def _replica(self, area: str, name: str) -> Process:
        """One more instance of a service: the same identity and folder, an address and a log of its own."""
        first = self._service(area)
        environment = first.environment | {"SUANMESH_LISTEN": f"127.0.0.1:{self.ports[name]}"}
        return Process(name, first.command, environment, self.folder / "logs" / f"{name}.log")

    def _agent(self, place: world.Place) -> Process:
        home = self.folder / "sites" / place.site
        share = world.shares(
            self.places, psutil.cpu_count() or 1, psutil.virtual_memory().total, shutil.disk_usage(self.folder).free
        )[place.site]
        environment = self._common(home / "tls", home) | {
            "SUANMESH_AGENT_DATA_DIR": str(home),
            "SUANMESH_AGENT_GATEWAY": self.gateway,
            "SUANMESH_AGENT_ENROL": f"127.0.0.1:{self.ports['enrol']}",
            "SUANMESH_AGENT_JOIN_TOKEN_FILE": str(home / "join.token"),
            "SUANMESH_AGENT_SITE": place.site,
            "SUANMESH_AGENT_DISPLAY_NAME": place.city,
            "SUANMESH_AGENT_CITY_CODE": place.city_code,
            "SUANMESH_AGENT_LATITUDE_MICRODEGREES": str(round(place.latitude * 1e6)),
            "SUANMESH_AGENT_LONGITUDE_MICRODEGREES": str(round(place.longitude * 1e6)),
            "SUANMESH_AGENT_RESIDENCY": "cn",
            "SUANMESH_AGENT_DATA_LISTEN": f"127.0.0.1:{self.ports[f'site-{place.site}']}",
            "SUANMESH_AGENT_CPU_MILLI": str(share.cpu_milli),
            "SUANMESH_AGENT_MEMORY_BYTES": str(share.memory_bytes),
            "SUANMESH_AGENT_SCRATCH_BYTES": str(share.scratch_bytes),
            "SUANMESH_AGENT_PRICE_BOOK": f"priceBooks/{place.site}",
            "SUANMESH_AGENT_STOP_TASKS": "true",
            "SUANMESH_AGENT_LIVES_WITH": str(os.getpid()),
        }
        try:
            environment["SUANMESH_AGENT_BWRAP"] = str(bubblewrap(cache_dir()).path)
        except ToolMissing:  # all parties of this node are the one person who starts it; `suan doctor` says what lacks
            environment["SUANMESH_AGENT_RUN_STRANGERS_UNSANDBOXED"] = "true"
        return Process(
            f"site {place.site}",
            [_script("agent")],
            environment | self._overrides,
            self.folder / "logs" / f"site-{place.site}.log",
        )

    def _write_config(self) -> None:
        """The contexts the command line finds, and each site's settings for `suanmesh-agent` by hand."""
        for site, agent in self.agents.items():
            home = self.folder / "sites" / site
            private_folder(home)
            lines = [f"{name}={shlex.quote(value)}" for name, value in sorted(agent.environment.items())]
            write_private(home / "agent.env", ("\n".join(lines) + "\n").encode())
        lines = ['current = "alice"']
        for user in ("alice", "operator"):
            home = self.identities.of(user)
            lines += ["", f"[contexts.{user}]", f'gateway = "{self.gateway}"', f'node = "{NODE}"']
            # A JSON string is a TOML string: a folder may have quotes in its name.
            lines += [f"{kind} = {json.dumps(str(home / f'{kind}.pem'))}" for kind in ("ca", "cert", "key")]
            lines += [f'account = "accounts/{world.CONSUMER}"']
        write_private(self.folder / "config.toml", ("\n".join(lines) + "\n").encode())


def _script(area: str) -> str:
    return str(Path(sys.executable).parent / f"suanmesh-{area.replace('_', '-')}")
