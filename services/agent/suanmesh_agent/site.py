"""One site's agent put together: its folder, its ports, its tasks."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import structlog

from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh_agent.data_plane import Logs, Reader, Tickets, data_plane_budget
from suanmesh_agent.delivery import Delivery
from suanmesh_agent.domain.tasks import UserRange
from suanmesh_agent.engines.batched.engine import BatchedEngine
from suanmesh_agent.engines.kubernetes.opening import kubernetes_engine
from suanmesh_agent.engines.process import images
from suanmesh_agent.engines.process.cgroups import Cgroups
from suanmesh_agent.engines.process.confinement import SCRATCH_PARTS
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.engines.process.layout import Confined
from suanmesh_agent.engines.process.sandbox import Sandbox, runtime_folders
from suanmesh_agent.engines.process.users import ids_given_out
from suanmesh_agent.engines.queued import QueuedTasks
from suanmesh_agent.engines.ray.scheduler import Ray, RayAccess
from suanmesh_agent.engines.slurm.commands import slurm_of
from suanmesh_agent.following import Pauses
from suanmesh_agent.health import Health
from suanmesh_agent.inventory import Inventory, take_stock
from suanmesh_agent.journal import Journal
from suanmesh_agent.mesh import (
    AccountingOverMesh,
    DataPathOverMesh,
    RegistryOverMesh,
    SchedulerOverMesh,
    TransportOverMesh,
)
from suanmesh_agent.meter import Meter
from suanmesh_agent.mirror import Mirror, own_pip
from suanmesh_agent.nvidia import nvidia_cards
from suanmesh_agent.offers import OWN_PARTY, Offers
from suanmesh_agent.permission import RunPermission
from suanmesh_agent.placements import Placements
from suanmesh_agent.ports import Engine
from suanmesh_agent.readings import site_readings
from suanmesh_agent.refused import KeptRefused
from suanmesh_agent.relayed_data_plane import RelayedDataPlane
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.reports import LinkProbes, StateReports
from suanmesh_agent.secrets import Secrets, folder_in_memory
from suanmesh_agent.service import AgentService, served
from suanmesh_agent.settings import ENGINES, AgentSettings
from suanmesh_agent.setups import Setups
from suanmesh_agent.signing_keys import KeyRotation, SiteSigner
from suanmesh_agent.staging import Staging
from suanmesh_agent.steps import Steps
from suanmesh_agent.stocktaking import Stocktaking, nodes_at_the_start
from suanmesh_agent.sweeper import Sweeper
from suanmesh_agent.task_run import until_over
from suanmesh_agent.transfers import Transfers
from suanmesh_agent.turns import Turns
from suanmesh_agent.unnamed import UnnamedReplicas
from suanmesh_agent.upload_limits import UploadLimits
from suanmesh_agent.uploads import Uploads
from suanmesh_chassis import Listener
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.kept_certificates import KeptCertificates
from suanmesh_chassis.monitoring import Monitoring
from suanmesh_chassis.process import Process
from suanmesh_chassis.run import shut_folders
from suanmesh_chassis.service_server import ServiceServer, serve_alone
from suanmesh_kernel.addresses import RELAY, told_address
from suanmesh_kernel.clock import Rng, SystemClock
from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_sdk import Mesh
from suanmesh_sdk.kept_gateways import FILE as GATEWAYS
from suanmesh_sdk.kept_gateways import KeptGateways, asking_gateways

log = structlog.get_logger()

SiteEngine = ProcessEngine | QueuedTasks
"""What an agent opens for its site."""
PERMISSION = "permission"
"""File in the agent's folder that says until when tasks may run."""
LEFT_OPEN = frozenset((*SCRATCH_PARTS, "replicas"))
"""Folders in the agent's that are not looked through at each start: what tasks made theirs, and replicas, once."""
_REPLICAS_SHUT = "replicas_shut"


def identity_folder(settings: AgentSettings) -> Path:
    """Where keys and certificates lie."""
    return settings.data_dir / "identity"


def open_journal(settings: AgentSettings) -> Journal:
    """The agent's journal."""
    return Journal(settings.data_dir / "agent.db")


def open_engine(settings: AgentSettings) -> SiteEngine:
    """What is to run tasks, in the best walls this host offers; each is found out by running a task in them.

    Raises InvalidArgument where the user ids for tasks are somebody else's.
    """
    if settings.engine == "kubernetes":
        return kubernetes_engine(settings, settings.data_dir / PERMISSION, SystemClock())
    engine = _open_processes(settings)
    if settings.engine == ENGINES[0]:
        return engine
    engine.close()
    gives_cards = settings.offer_cards and not settings.devices
    if settings.engine == "ray":
        ray = Ray(ray_access(settings), settings.site)
        return BatchedEngine(engine.layout, ray, settings.site, SystemClock(), gives_cards=gives_cards)
    return BatchedEngine(
        engine.layout,
        slurm_of(settings),
        settings.site,
        SystemClock(),
        settle_s=settings.slurm_settle_s,
        gives_cards=gives_cards,
    )


def ray_access(settings: AgentSettings) -> RayAccess:
    """How the agent comes to the site's Ray."""
    return RayAccess(settings.ray_address, settings.ray_python, settings.ray_token_file)


def _open_processes(settings: AgentSettings) -> ProcessEngine:
    offered = settings.offer_cards and not settings.devices and settings.engine == ENGINES[0]
    cards = nvidia_cards() if offered else None
    cgroups: Cgroups | None = Cgroups(settings.site)
    if cgroups is None or not cgroups.usable():
        log.info("tasks run without control groups")
        cgroups = None
    for sandbox, confined in _walls(settings):
        engine = ProcessEngine(
            settings.data_dir / "tasks",
            sandbox=sandbox,
            cgroups=cgroups,
            runtime_path=(settings.runtime_prefix / "bin",),
            confined=confined,
            lives_with=settings.lives_with,
            permission=settings.data_dir / PERMISSION,
            processes=settings.task_processes,
            log_bytes=settings.task_log_bytes,
            cards=cards,
        )
        if not (fault := engine.fault()):
            break
        log.warning("tasks run with less protection", message=fault)
    if not engine.capabilities().walled:
        as_root = engine.capabilities().as_root
        run = settings.run_strangers_as_root if as_root else settings.run_strangers_unsandboxed
        strangers = ("run as root" if as_root else "run") if run else "are refused"
        log.warning("tasks run without a sandbox", message=f"tasks of other parties {strangers}")
    return engine


def _walls(settings: AgentSettings) -> list[tuple[Sandbox | None, Confined | None]]:
    """What to run tasks in, the best first: with root also users of their own, and file systems for their scratch."""
    runtimes = runtime_folders(settings.runtime_prefix)
    if os.geteuid() != 0:
        bwrap = shutil.which(settings.bwrap)
        return [(Sandbox(bwrap, runtimes), None), (None, None)] if bwrap else [(None, None)]
    users = UserRange(settings.task_user_first, settings.task_users)
    if clash := users.clash(ids_given_out()):
        raise InvalidArgument("FIELD_INVALID", f"the user ids for tasks: {clash}", field="task_user_first")
    formatters = [program for program in (images.formatter(),) if program] + [""]
    confined = [Confined(users, runtimes, each, walled) for walled in (True, False) for each in formatters]
    return [*((None, each) for each in confined), (None, None)]


def known_gateways(settings: AgentSettings) -> KeptGateways:
    """What the agent was told, and has learned since."""
    return KeptGateways(settings.gateway, identity_folder(settings) / GATEWAYS)


@asynccontextmanager
async def mesh_of(process: Process, settings: AgentSettings, known: KeptGateways | None = None) -> AsyncIterator[Mesh]:
    """Everything, through the gateway."""
    async with process.mesh((known or known_gateways(settings)).ways, via="gateway") as mesh:
        yield mesh


def key_rotation(process: Process, settings: AgentSettings, mesh: Mesh, signer: SiteSigner) -> KeyRotation:
    """What looks after the key that the site signs with."""
    site = f"sites/{settings.site}"
    registry = RegistryOverMesh(mesh, site)
    return KeyRotation(site, process.identity, identity_folder(settings), signer, registry, process.clock)


async def live(process: Process, settings: AgentSettings, rng: Rng, stop: asyncio.Event) -> None:
    """Be the site's agent until `stop` is set."""
    engine = open_engine(settings)
    try:
        await asyncio.to_thread(engine.end_remains)
        can, cards = engine.capabilities(), tuple(look.card for look in engine.cards())
        found = await asyncio.to_thread(take_stock, settings, process.clock.now(), can, cards=cards)
        if isinstance(engine, QueuedTasks):
            found = replace(found, hosts=await nodes_at_the_start(settings, engine))
        await serve(process, settings, rng, stop, engine, found)
    finally:
        if settings.stop_tasks:
            await stop_all(engine)
        engine.close()


async def serve(
    process: Process, settings: AgentSettings, rng: Rng, stop: asyncio.Event, engine: Engine, found: Inventory
) -> None:
    """Be the agent of a site that has `found` and runs its tasks on `engine`, until `stop` is set."""
    journal = open_journal(settings)
    permission = RunPermission(settings.data_dir / PERMISSION, process.clock)
    strangers = settings.run_strangers_unsandboxed, settings.run_strangers_as_root
    offers = Offers(journal, found, strangers[0], settings.limits, strangers[1])
    known = known_gateways(settings)
    async with mesh_of(process, settings, known) as mesh:
        site, signer = f"sites/{settings.site}", SiteSigner(process.signer)
        replicas = Replicas(settings.data_dir)
        if not journal.fact(_REPLICAS_SHUT):
            await asyncio.to_thread(shut_folders, settings.data_dir / "replicas")
            journal.remember(_REPLICAS_SHUT, "1")
        transport = TransportOverMesh(mesh)
        budget = data_plane_budget()
        reader, logs = Reader(replicas, process.clock, budget), Logs(engine, budget, journal)
        own = UploadLimits(replicas, settings.limits, lambda: journal.fact(OWN_PARTY) or "")
        uploads = Uploads(replicas, transport, journal, Turns(at_once=1), own)
        tickets = Tickets(site, transport, process.clock)
        reading = AgentService(tickets, reader, logs, uploads, service_id(process.common.node, "gateway"))
        refused = KeptRefused(journal)
        server = await serve_alone(process, [served(reading)], refused)
        monitoring = Monitoring(process, server.health)
        endpoint = RELAY if settings.no_inbound else await _listening(server, settings, journal)
        try:
            async with asyncio.TaskGroup() as tasks:
                work = SiteLoops(
                    process, settings, rng, mesh, signer, journal, engine, replicas, uploads, transport, offers,
                    endpoint, permission, known, refused,
                )  # fmt: skip
                kept = [tasks.create_task(each) for each in (*work.parts(), monitoring.run())]
                if settings.no_inbound:
                    relayed = RelayedDataPlane(site, process, known, server)
                    kept.append(tasks.create_task(relayed.run()))
                with monitoring.showing([partial(site_readings, journal)]):
                    await stop.wait()
                for task in kept:
                    task.cancel()
        finally:
            await server.stop(process.common.drain_grace_s)
            permission.close()
            journal.close()


@dataclass(frozen=True, slots=True)
class SiteLoops:
    """What an agent does at the same time."""

    process: Process
    settings: AgentSettings
    rng: Rng
    mesh: Mesh
    signer: SiteSigner
    journal: Journal
    engine: Engine
    replicas: Replicas
    uploads: Uploads
    transport: TransportOverMesh
    offers: Offers
    endpoint: str
    permission: RunPermission
    known: KeptGateways
    refused: KeptRefused

    def parts(self) -> list[Coroutine[None, None, None]]:
        """Each runs for good."""
        site, clock, journal = f"sites/{self.settings.site}", self.process.clock, self.journal
        meter = Meter(site, journal, AccountingOverMesh(self.mesh), self.signer, clock, self.rng)
        turns = Turns()
        transfers = Transfers(
            site,
            transport=self.transport,
            data_path=DataPathOverMesh(self.mesh),
            journal=journal,
            replicas=self.replicas,
            meter=meter,
            clock=clock,
            turns=turns,
            patience_s=self.settings.transfer_patience_s,
        )
        pool = f"{site}/pools/{self.settings.pool}"
        every = self.settings
        setups = self._setups(turns)
        return [
            meter.run(),
            transfers.run(),
            Sweeper(self.replicas, lambda: self.uploads.under_way | transfers.under_way, setups, clock).run(),
            self._carry(site, self._placements(site, meter, turns, setups)),
            Stocktaking(self.settings, self.offers, self.signer, journal, self.mesh, self.engine).run(),
            key_rotation(self.process, self.settings, self.mesh, self.signer).run(),
            KeptCertificates(self.process, self.known.ways, via="gateway").run(),
            self.known.keep_learning(asking_gateways(self.mesh.gateway)),
            StateReports(
                self.mesh,
                pool,
                self.offers.free,
                self.endpoint,
                clock,
                self.permission,
                every_s=every.report_every_s,
                health=Health(self.settings.data_dir, journal, clock, self.engine),
                belong=(journal.belong, self.replicas.belong),
                refuse=self.refused.told,
            ).run(),
            self.permission.run(),
            UnnamedReplicas(site, self.replicas, self.transport, journal).run(),
            LinkProbes(self.mesh, site, clock, every_s=every.probe_every_s).run(),
        ]

    def _setups(self, turns: Turns) -> Setups:
        prefix = self.settings.runtime_prefix
        return Setups(
            self.settings.data_dir / "setups",
            self.engine,
            turns,
            self.process.clock,
            host=(self.offers.found.architecture, *self.offers.found.runtimes, str(prefix)),
            mirror=Mirror(self.settings.package_mirror, prefix / "bin" / "python3", own_pip()),
        )

    def _placements(self, site: str, meter: Meter, turns: Turns, setups: Setups) -> Placements:
        scheduler = SchedulerOverMesh(self.mesh)
        secrets = Secrets(folder_in_memory(self.settings.data_dir), scheduler)
        secrets.sweep({name for name, _, _ in self.journal.placements()})
        steps = Steps(
            offers=self.offers,
            scheduler=scheduler,
            engine=self.engine,
            staging=Staging(self.transport, self.journal, self.replicas),
            secrets=secrets,
            setups=setups,
            delivery=Delivery(site, self.transport, self.engine, self.journal, self.replicas, turns),
            meter=meter,
            meter_every_s=self.settings.meter_every_s,
            permission=self.permission,
            clock=self.process.clock,
        )
        return Placements(
            site,
            scheduler=scheduler,
            journal=self.journal,
            engine=self.engine,
            steps=steps,
            clock=self.process.clock,
        )

    async def _carry(self, site: str, placements: Placements) -> None:
        """Carry placements, once it is known whose site it is: that is asked once, and never changes."""
        pauses = Pauses()
        while not self.journal.fact(OWN_PARTY):
            try:
                found = await self.mesh.registry.GetSite(registry_pb.GetSiteRequest(name=site))
                self.journal.remember(OWN_PARTY, found.party)
            except Refusal as refusal:
                log.info("site not looked up", site=site, reason=refusal.reason)
                await pauses.wait()
        await placements.run()


async def stop_all(engine: SiteEngine) -> int:
    """Stop every task of the folder and wait for its end; how many there were."""
    running = engine.running()
    await engine.cancel(running)
    for _, keys in groupby(sorted(running), key=lambda key: key.placement):
        await until_over(engine, list(keys))
    return len(running)


async def _listening(server: ServiceServer, settings: AgentSettings, journal: Journal) -> str:
    """Have the data plane listen; the address that others are told."""
    address = await server.listen(Listener(_data_listen(settings, journal)))
    journal.remember("data_port", address.rpartition(":")[2])
    log.info("listening", address=address)
    return told_address(address, settings.data_endpoint, field="data_endpoint")


def _data_listen(settings: AgentSettings, journal: Journal) -> str:
    """The address to listen on; a free port that was once taken is taken again, because tickets name it."""
    host, _, port = settings.data_listen.rpartition(":")
    return f"{host}:{journal.fact('data_port') or 0}" if port == "0" else settings.data_listen
