"""etcd and the services of one node on this machine, as real processes, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from suanmesh_chassis.ca import LEAF_DAYS, USER_DAYS, server_name
from suanmesh_etcd3 import Client, EtcdError, OutcomeUnknown, Unavailable, confine, members_of, promote
from suanmesh_etcd3 import connect as connect_etcd
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.private import tighten
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.etcd import START_S_MAX, EtcdServer, peer_url
from suanmesh_local.facts import LOOPBACK, NodeFacts, write_facts
from suanmesh_local.format import LOCK, PORTS, TLS, claim_format
from suanmesh_local.identities import (
    AREAS,
    ETCD_ROOT_DIR,
    Identities,
    Lives,
    etcd_root_is_good,
    found_identities,
    keep_etcd_root,
)
from suanmesh_local.lock import Lock
from suanmesh_local.node_marks import claim_etcd
from suanmesh_local.ports import PASSTHROUGH, gateway_ports, kept_ports, noted_ports, spread_ports
from suanmesh_local.processes import Process
from suanmesh_local.prometheus_files import LISTEN, write_prometheus
from suanmesh_sdk import Mesh, Tls, connect
from suanmesh_store.etcd import EtcdKeyspace
from suanmesh_store.store import KeyspaceStore

READY_S_MAX = 60.0
OTHERS_S_MAX = 900.0
"""How long the first machines of a node wait until so many of etcd's members run that they agree, seconds."""
KEEPS_IN_SQL = frozenset(("scheduler", "network_orchestrator", "transport", "accounting"))
LEASE_S = 2.0
"""How long one that died still counts as leader where another waits for it, seconds; etcd knows no shorter lease."""
POLL_S = 0.1
PLACE_TRIES = 20
KNOCK_AGAIN = (
    ("grpc.initial_reconnect_backoff_ms", int(POLL_S * 1000)),
    ("grpc.min_reconnect_backoff_ms", int(POLL_S * 1000)),
    ("grpc.max_reconnect_backoff_ms", int(POLL_S * 1000)),
)
"""gRPC itself waits a second and more after it has found nobody there, and a start is nothing but that."""
OLDER_POLLER = "-event_engine_client,-event_engine_listener"
"""For GRPC_EXPERIMENTS: a call takes a sixth less of both its processes, and a node that does nothing a third less."""
Tell = Callable[[str, str], None]
"""Told the name of a process and what it has come to."""


class NotReady(Exception):
    """A process ended or did not become ready; says on one line why, and where its log is."""


class ControlPlane:
    """A node without sites: its folder, authority, etcd and services. Use it as an async context manager."""

    def __init__(
        self,
        folder: Path,
        facts: NodeFacts,
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
        self.facts = facts
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
        self.renewing: set[str] = set()
        """Names of processes that end because they are to begin anew."""
        self._overrides = dict(overrides or {})
        self.identities: Identities = found_identities(self.folder / TLS, facts, _lives(self._overrides))
        self._members = (facts if facts.is_spread else replace(facts, etcd=(LOOPBACK,) * etcd_members)).members
        self.ports = self._ports()
        self.etcd = self._etcd()
        areas = AREAS if facts.runs_services else ()
        self.services = {area: self._service(area) for area in areas}
        self.services |= {name: self._replica(area, name) for area, name in self._further()}

    @property
    def gateway(self) -> str:
        """`host:port` of the address users and sites talk to; of several machines all, with commas between."""
        return ",".join(f"{host}:{self.ports['gateway']}" for host in self.facts.machines or (self.facts.host,))

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of every etcd member, of this machine or others."""
        return [f"{host}:{self.ports[name]}" for name, host in self._members.items()]

    def mesh(self, user: str) -> Mesh:
        """The mesh as a user whose key is here, such as `operator`."""
        return connect(self._here("gateway"), tls=Tls.of_folder(self.identities.of(user)), node=self.facts.name)

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
        machine = self.facts.host if self.facts.is_spread else ""
        write_prometheus(self.folder, self.facts.name, self.all_processes(), machine)
        await self.start_etcd()
        for service in self.services.values():
            service.start()
        for name in self.services:
            await self.ready(name)

    async def start_etcd(self) -> None:
        """Start etcd alone, and have it let each service write under its own prefixes only. Raises as `start` does.

        Raises StoreRefused where etcd is another node's.
        """
        for member in self.etcd:
            await self._require_place(member)
            member.start()
        await self.vote()
        if self.facts.founds or etcd_root_is_good(
            self.identities
        ):  # elsewhere it was done before, or is done by others
            await self.confine()
        for member in self.etcd:
            self.tell(member.name, f"pid {member.pid}  {member.endpoint}")

    async def _require_place(self, member: EtcdServer) -> None:
        """Raise NotReady where another node's etcd has it, to which services would go; a killed one's ends shortly."""
        for _ in range(PLACE_TRIES):
            if not member.place_is_taken:
                return
            await asyncio.sleep(POLL_S)
        raise NotReady(f"somebody listens at {member.endpoint} already: a node that was not stopped?")

    async def vote(self) -> None:
        """Have the member of a machine that came later vote, once it has caught up. Raises NotReady."""
        if self.facts.came_later and self.etcd and etcd_root_is_good(self.identities):
            await self.until(self._votes, *(member.process for member in self.etcd))

    async def _votes(self) -> bool:
        """Whether the members of this machine have a vote, which those that came later get once they have caught up."""
        async with self.etcd_client() as client:
            members = await members_of(client)
            own = [each for each in members if each.learns and set(each.addresses) & {m.endpoint for m in self.etcd}]
            begun = sum(bool(set(each.addresses) & {m.endpoint for m in self.etcd}) for each in members)
            return begun == len(self.etcd) and all([await promote(client, each.member_id) for each in own])

    async def confine(self) -> None:
        """Have etcd, which was started, let each service write under its own prefixes only. Raises NotReady."""
        async with self.etcd_client() as client:

            async def confined() -> bool:
                try:
                    await confine(client, self.identities.etcd_users())
                except EtcdError:  # another machine may do the same just now
                    if not self.facts.is_spread:
                        raise
                    return False
                return True

            within_s = OTHERS_S_MAX if self.facts.is_spread else START_S_MAX
            await self.until(confined, *(member.process for member in self.etcd), within_s=within_s)
            await claim_etcd(client, self.folder, self.facts.name)

    def move(self, facts: NodeFacts) -> None:
        """Have etcd and the services, once they are started anew, listen for other machines. Raises OSError."""
        self.adopt(facts)
        self.etcd = self._etcd()

    def adopt(self, facts: NodeFacts) -> None:
        """Be on other machines than before; what runs learns of them when it is started anew. Raises OSError."""
        self.facts = facts
        write_facts(self.folder, facts)
        self._members = facts.members
        self.ports = self._ports()
        for area, service in self.services.items():
            service.environment = self._service(area).environment

    async def stop(self) -> None:
        """Stop everything in reverse: services, the gateway that takes their last spans, etcd."""
        await asyncio.gather(*(service.stop() for name, service in self.services.items() if name != "gateway"))
        if "gateway" in self.services:
            await self.services["gateway"].stop()
        for member in reversed(self.etcd):
            member.stop()
        self._lock.release()
        self.tell("node", "stopped")

    def all_processes(self) -> list[Process]:
        """Every process of the node."""
        return [*self.services.values(), *(member.process for member in self.etcd)]

    async def ready(self, name: str) -> None:
        """Wait until an instance of a service says SERVING, be it as standby. Raises NotReady."""
        process, area = self.services[name], name.partition("-")[0]
        home = self.identities.of("operator")
        ca, key, certificate = ((home / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        options = (("grpc.ssl_target_name_override", server_name(self.facts.name, area)), *KNOCK_AGAIN)
        async with grpc.aio.secure_channel(self._here(name), credentials, options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            async def serving() -> bool:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await self.until(serving, process)
        self.tell(name, f"pid {process.pid}  {self._here(name)}")

    async def renew(self, name: str) -> None:
        """Stop an instance of a service and start it as it is installed now; done once it serves. Raises NotReady."""
        process = self.services[name]
        self.renewing.add(name)
        try:
            await process.stop()
            process.start()
            await self.ready(name)
        finally:
            self.renewing.discard(name)

    async def leader_of(self, area: str) -> str:
        """Which of `services` leads an area; empty where one of another machine does."""
        async with self.etcd_client() as client:
            store = KeyspaceStore(EtcdKeyspace(client), area, SystemClock(), system_rng)
            address = await store.leader(area)
        hosts = (LOOPBACK, self.facts.host)
        return next((n for n in self.services if address in [f"{h}:{self.ports[n]}" for h in hosts]), "")

    async def etcd_leader(self) -> EtcdServer:
        """Which member leads etcd."""
        async with self.etcd_client() as client:
            for member in self.etcd:
                if (await client.status(member.endpoint)).leads:
                    return member
        raise NotReady("no member of etcd leads")

    async def until(
        self, holds: Callable[[], Awaitable[object]], *processes: Process, within_s: float = READY_S_MAX
    ) -> None:
        """Wait until something holds, for as long as all processes run. Raises NotReady."""
        name = processes[0].name if processes else "etcd"
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
            words = processes[0].last_words() if processes else "no other machine has it"
            raise NotReady(f"{name} is not ready after {within_s:g} s: {words}") from None

    def etcd_client(self) -> Client:
        """etcd's root."""
        keep_etcd_root(self.identities, _lives(self._overrides))
        return connect_etcd(self.endpoints, tls=self.identities.etcd_client(ETCD_ROOT_DIR), timeout_s=1.0)

    def _port_names(self) -> list[str]:
        peers = [f"{name}-peer" for name in self._members]
        services = [*AREAS, *(name for _, name in self._further())]
        return [*self._members, *peers, *services, PASSTHROUGH, *map(metrics_port, services)]

    def _ports(self) -> dict[str, int]:
        """The node's ports: the same as last time, for as long as they are free where nobody else knows them."""
        file, names = self.folder / PORTS, self._port_names()
        if self.facts.is_spread:
            return spread_ports(self.facts.gateway_port, [*self._members])
        if not self.facts.ports_stay:
            return kept_ports(file, names)
        noted = noted_ports(file)
        ports = noted if noted.keys() >= set(names) else kept_ports(file, names)
        return ports | gateway_ports(self.facts.gateway_port)

    def _here(self, name: str) -> str:
        """`host:port` at which a process of this machine reaches a service."""
        return f"{self.facts.host if self.facts.listens_on_loopback else LOOPBACK}:{self.ports[name]}"

    def _etcd(self) -> list[EtcdServer]:
        peers = {name: self.ports[f"{name}-peer"] for name in self._members}
        tls = self.identities.etcd_server
        cluster = ",".join(f"{name}={peer_url(peers[name], tls, host)}" for name, host in self._members.items())
        return [
            EtcdServer(
                name,
                self.folder / "etcd" / name,
                self.ports[name],
                peers[name],
                cluster,
                tls,
                host=host,
                comes_later=self.facts.came_later,
            )
            for name, host in self._members.items()
            if not self.facts.is_spread or host == self.facts.host
        ]

    def _common(self, identity: Path, data: Path) -> dict[str, str]:
        return {
            "SUANMESH_NODE": self.facts.name,
            "SUANMESH_TLS_DIR": str(identity),
            "SUANMESH_DATA_DIR": str(data),
            "SUANMESH_OTLP_ENDPOINT": self._here("gateway"),
            "GRPC_EXPERIMENTS": OLDER_POLLER,
        }

    def _service(self, area: str) -> Process:
        identity = self.identities.of(area)
        environment = self._common(identity, self.folder / "services" / area) | {
            "SUANMESH_ETCD_ENDPOINTS": ",".join(self.endpoints),
            "SUANMESH_ETCD_TLS_DIR": str(identity),
            "SUANMESH_LISTEN": f"{LOOPBACK}:{self.ports[area]}",
            LISTEN: f"{LOOPBACK}:{self.ports[metrics_port(area)]}",
        }
        if self.facts.is_spread or area == "gateway":
            environment["SUANMESH_LISTEN"] = f"{self.facts.gateway_listens}:{self.ports[area]}"
            environment["SUANMESH_ADVERTISE"] = f"{self.facts.host}:{self.ports[area]}"
        if area == "gateway":
            through = f"{self.facts.gateway_listens}:{self.ports[PASSTHROUGH]}"
            environment["SUANMESH_GATEWAY_PASSTHROUGH_LISTEN"] = through
            environment["SUANMESH_GATEWAY_PASSTHROUGH_ADVERTISE"] = self.facts.host
        if self.facts.sql and area in KEEPS_IN_SQL:
            environment[f"SUANMESH_{area.upper()}_DATABASE"] = self.facts.sql
        if self.facts.is_spread and area == "scheduler":
            environment["SUANMESH_SCHEDULER_SEALING_KEYS"] = str(self.identities.sealing_keys)
        if area == "registry":
            environment["SUANMESH_REGISTRY_CA_DIR"] = str(self.identities.ca_dir)
            environment["SUANMESH_RENEWS"] = str(self.identities.of("etcd"))
        if self._replicas > 1 or self.facts.is_spread:
            environment["SUANMESH_LEASE_S"] = str(LEASE_S)
        return Process(area, [script(area)], environment | self._overrides, self.folder / "logs" / f"{area}.log")

    def _further(self) -> list[tuple[str, str]]:
        """Area and name of each instance besides the first."""
        led = [area for area in AREAS if area != "gateway"]
        return [(area, f"{area}-{number}") for number in range(2, self._replicas + 1) for area in led]

    def _replica(self, area: str, name: str) -> Process:
        """One more instance of a service: the same identity and folder, an address and a log of its own."""
        first = self._service(area)
        environment = first.environment | {
            "SUANMESH_LISTEN": f"{LOOPBACK}:{self.ports[name]}",
            LISTEN: f"{LOOPBACK}:{self.ports[metrics_port(name)]}",
        }
        return Process(name, first.command, environment, self.folder / "logs" / f"{name}.log")


def metrics_port(name: str) -> str:
    """Under which name the port is noted where a process is scraped."""
    return f"{name}-metrics"


def _lives(overrides: Mapping[str, str]) -> Lives:
    """As the registry is told, which issues those that come after."""
    days, user_days = (overrides.get(f"SUANMESH_REGISTRY_{each}CERTIFICATE_DAYS") for each in ("", "USER_"))
    return Lives(float(days or LEAF_DAYS), float(user_days or USER_DAYS))


def script(area: str) -> str:
    """The program of a service, or of an agent, beside this one's interpreter."""
    return str(Path(sys.executable).parent / f"suanmesh-{area.replace('_', '-')}")
