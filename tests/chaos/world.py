"""The node that is hurt: three etcd members, two instances of most services, three sites, a proxy before each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos.proxies import Front
from chaos.proxying import Proxies
from chaos.schedule import Actors
from suanmesh.accounting.v1 import account_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.registry.v1 import party_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh_chassis.ca import NodeCa, write_identity
from suanmesh_chassis.identity import user_id
from suanmesh_kernel.clock import SystemClock
from suanmesh_local import world
from suanmesh_local.control_plane import metrics_port
from suanmesh_local.etcd import EtcdServer, peer_url
from suanmesh_local.identities import AREAS
from suanmesh_local.node import NODE, Node
from suanmesh_local.ports import PASSTHROUGH, kept_ports
from suanmesh_local.processes import Process
from suanmesh_local.prometheus_files import LISTEN
from suanmesh_sdk import Mesh

SITES = 3
MEMBERS = 3
REPLICATED = tuple(area for area in AREAS if area != "gateway")
"""Areas with a second instance; the gateway has one address."""
PARTIES = {"demo": ("alice", "anton"), "lab": ("bob",), "studio": ("carol",)}
"""Who submits. `studio` has so little money that its jobs wait for each other."""
OPENING_MICROS = {"lab": world.OPENING_MICROS, "studio": 30_000}
DISK_BYTES = {"services/scheduler": 64 << 20, "services/accounting": 64 << 20, "sites/wuhu": 256 << 20}
"""Folders that lie on a disk of their own where the run is root's, and its size."""
OF_DISK = {"services/scheduler": "scheduler", "services/accounting": "accounting", "sites/wuhu": "site-wuhu"}
SETTINGS = {
    "SUANMESH_LEASE_S": "2",
    "SUANMESH_REGISTRY_ALIVE_LEASE_S": "2",
    "SUANMESH_REGISTRY_REPORT_SILENCE_S": "3",
    "SUANMESH_REGISTRY_LOST_AFTER_S": "10",
    "SUANMESH_REGISTRY_MASS_LOST_AFTER_S": "20",
    "SUANMESH_SCHEDULER_ACCEPT_S_MAX": "10",
    "SUANMESH_SCHEDULER_ROUND_LEASE_S": "5",
    "SUANMESH_SCHEDULER_RETENTION_S": "40",
    "SUANMESH_SCHEDULER_SWEEP_S": "7",
    "SUANMESH_NETWORK_ORCHESTRATOR_RELEASED_RETENTION_S": "40",
    "SUANMESH_ACCOUNTING_LATE_USAGE_S": "15",
    "SUANMESH_AGENT_TRANSFER_PATIENCE_S": "60",
    "SUANMESH_AGENT_METER_EVERY_S": "1",
}
"""Bounds short enough that in a few minutes leads change, sites are given up, and what has ended is archived."""


def disks(folder: Path) -> tuple[str, ...]:
    """Folders that can be put on a disk of their own here; none where this process may not mount."""
    probe = folder / "probe"
    probe.mkdir(parents=True, exist_ok=True)
    try:
        with _mounted(probe, 1 << 20):
            return tuple(DISK_BYTES)
    except (OSError, subprocess.CalledProcessError):
        return ()
    finally:
        probe.rmdir()


@contextmanager
def disks_mounted(folder: Path, names: tuple[str, ...]) -> Iterator[None]:
    """The folders on disks of their own, until the end."""
    if not names:
        yield
        return
    place = folder / names[0]
    place.mkdir(parents=True, exist_ok=True)
    with _mounted(place, DISK_BYTES[names[0]]), disks_mounted(folder, names[1:]):
        yield


class ChaosNode(Node):
    """A node whose every connection runs over a proxy, with a second instance of most services."""

    def __init__(self, folder: Path, disks: tuple[str, ...]) -> None:
        self.proxies = Proxies()
        self.disks = disks
        super().__init__(folder, SITES, etcd_members=MEMBERS, overrides=SETTINGS)
        self.standbys = {f"{area}-2": self._standby(area) for area in REPLICATED}
        ca = NodeCa.load(self.identities.ca_dir, SystemClock())
        for party, users in PARTIES.items():
            for user in users:
                if not (self.identities.of(user) / "cert.pem").exists():
                    write_identity(self.identities.of(user), ca.issue(user_id(NODE, party, user)))

    @property
    def actors(self) -> Actors:
        """Who can be hurt."""
        return Actors(
            services=REPLICATED,
            standbys=tuple(self.standbys),
            gateway="gateway",
            agents=tuple(f"site-{site}" for site in self.agents),
            members=tuple(member.name for member in self.etcd),
            disks=self.disks,
        )

    @property
    def gateway(self) -> str:
        """Where everybody outside finds the gateway: its proxy."""
        return f"127.0.0.1:{self.ports['via-gateway']}"

    def processes(self) -> dict[str, Process]:
        """Every process by its name."""
        members = {member.name: member.process for member in self.etcd}
        agents = {f"site-{site}": agent for site, agent in self.agents.items()}
        return {**members, **self.services, **self.standbys, **agents}

    def pids(self) -> Mapping[str, int]:
        """Process id of each that runs, by its name."""
        return {name: process.pid for name, process in self.processes().items()}

    async def restart(self, name: str) -> None:
        """Start a process that has ended; a member of etcd with its own command line."""
        member = next((each for each in self.etcd if each.name == name), None)
        (member or self.processes()[name]).start()
        await self.proxies.know(self.pids())

    async def start(self) -> None:
        """Start the proxies, everything, and then the second instances and the other parties."""
        await self.proxies.start(self._fronts())
        await super().start()
        for process in self.standbys.values():
            process.start()
        await self.proxies.know(self.pids())
        async with self.mesh("operator") as operator:
            for party, micros in OPENING_MICROS.items():
                await _admit(operator, party, micros, [f"sites/{place.site}" for place in self.places])

    async def stop(self) -> None:
        """Stop everything; what is stopped by a signal goes on first, so that it can end."""
        for process in self.processes().values():
            process.signal(signal.SIGCONT)
        for process in self.standbys.values():
            await process.stop()
        await super().stop()
        await self.proxies.stop()

    def _proxied(self) -> list[str]:
        """Names of the ports that have a proxy before them."""
        peers = [f"{name}-peer" for name in self._members]
        sites = [f"site-{place.site}" for place in self.places]
        return [*self._members, *peers, *AREAS, *(f"{area}-2" for area in REPLICATED), *sites]

    def _own(self) -> list[tuple[str, str]]:
        """Who finds whom at a port that nobody else is told: a service each member of etcd, an agent the gateway."""
        services = [*AREAS, *(f"{area}-2" for area in REPLICATED)]
        agents = [f"site-{place.site}" for place in self.places]
        return [(name, member) for name in services for member in self._members] + [(a, "gateway") for a in agents]

    def _fronts(self) -> list[Front]:
        shared = [Front(n.removesuffix("-peer"), self.ports[f"via-{n}"], self.ports[n]) for n in self._proxied()]
        own = [Front(to, self.ports[f"via-{to}-of-{who}"], self.ports[to], who) for who, to in self._own()]
        return shared + own

    def _ports(self) -> dict[str, int]:
        names = self._proxied()
        own = [f"via-{target}-of-{source}" for source, target in self._own()]
        metrics = map(metrics_port, names)
        return kept_ports(
            self.folder / "ports.json", [*names, *(f"via-{name}" for name in names), *own, PASSTHROUGH, *metrics]
        )

    def _etcd(self) -> list[EtcdServer]:
        via = {name: self.ports[f"via-{name}-peer"] for name in self._members}
        tls = self.identities.etcd_server
        cluster = ",".join(f"{name}={peer_url(port, tls)}" for name, port in via.items())
        return [
            EtcdServer(
                name, self.folder / "etcd" / name, self.ports[name], self.ports[f"{name}-peer"], cluster,
                tls, announced_peer_port=via[name],
            )
            for name in self._members
        ]  # fmt: skip

    def _service(self, area: str) -> Process:
        return self._proxied_service(super()._service(area), area, area)

    def _standby(self, area: str) -> Process:
        """A second instance: the same identity and data, an address and a log of its own."""
        name = f"{area}-2"
        made = super()._service(area)
        made.environment["SUANMESH_LISTEN"] = f"127.0.0.1:{self.ports[name]}"
        made.environment[LISTEN] = f"127.0.0.1:{self.ports[metrics_port(name)]}"
        return self._proxied_service(made, area, name)

    def _proxied_service(self, made: Process, area: str, name: str) -> Process:
        environment = made.environment | {
            "SUANMESH_ETCD_ENDPOINTS": ",".join(
                f"127.0.0.1:{self.ports[f'via-{member}-of-{name}']}" for member in self._members
            ),
            "SUANMESH_ADVERTISE": f"127.0.0.1:{self.ports[f'via-{name}']}",
        }
        return Process(name, made.command, environment, self.folder / "logs" / f"{name}.log")

    def _agent(self, place: world.Place) -> Process:
        made = super()._agent(place)
        environment = made.environment | {
            "SUANMESH_AGENT_GATEWAY": f"127.0.0.1:{self.ports[f'via-gateway-of-site-{place.site}']}",
            "SUANMESH_AGENT_DATA_ENDPOINT": f"127.0.0.1:{self.ports[f'via-site-{place.site}']}",
        }
        return Process(made.name, made.command, environment, made.log)


async def _admit(operator: Mesh, party: str, micros: int, sites: list[str]) -> None:
    """A party with an account, for which the sites may publish."""
    message = party_pb2.Party(kind=party_pb2.Party.KIND_CONSUMER, display_name=party, currency=world.CURRENCY)
    await operator.registry.CreateParty(registry.CreatePartyRequest(party_id=party, party=message))
    account = account_pb2.Account(
        party=f"parties/{party}", currency=world.CURRENCY, kind=account_pb2.Account.KIND_CONSUMER
    )
    await operator.accounting.CreateAccount(accounting.CreateAccountRequest(account_id=party, account=account))
    await operator.accounting.CreditAccount(
        accounting.CreditAccountRequest(name=f"accounts/{party}", amount_micros=micros, request_id=f"opening-{party}")
    )
    await operator.registry.SetPublishers(registry.SetPublishersRequest(name=f"parties/{party}", publishers=sites))


@contextmanager
def _mounted(place: Path, size: int) -> Iterator[None]:
    mount = shutil.which("mount") or "/bin/mount"
    options = f"size={size},mode=0755,uid={os.getuid()},gid={os.getgid()}"
    subprocess.run([mount, "-t", "tmpfs", "-o", options, "chaos", str(place)], check=True, capture_output=True)
    try:
        yield
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run([shutil.which("umount") or "/bin/umount", "-l", str(place)], check=True, capture_output=True)
