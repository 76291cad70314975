"""`suanmesh-agent`: run a site's agent, join a node, publish a folder, stop what runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import click
import structlog

from suanmesh_agent import site as site_of
from suanmesh_agent.delivery import Delivery
from suanmesh_agent.enrolment import enrol, is_enrolled
from suanmesh_agent.mesh import TransportOverMesh
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.settings import AgentSettings
from suanmesh_agent.signing_keys import SiteSigner
from suanmesh_agent.turns import Turns
from suanmesh_chassis.event_loop import run_on_loop
from suanmesh_chassis.identity import agent_id
from suanmesh_chassis.process import Process, open_process
from suanmesh_chassis.run import EXIT_DAMAGED, EXIT_FAILED, EXIT_SETTINGS, shut_folders, stop_signal, told_damage
from suanmesh_chassis.settings import Common, load
from suanmesh_chassis.span_backends import span_backends
from suanmesh_content import FolderError, ManifestError
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.names import checked_id, checked_name
from suanmesh_kernel.private import keep_private, private_folder
from suanmesh_kernel.refusals import InvalidArgument, Refusal, Unauthenticated
from suanmesh_store.soundness import StoreCorrupt, damage_among

log = structlog.get_logger()


@click.group(invoke_without_command=True)
@click.option("--check", is_flag=True, help="Only check the settings.")
@click.pass_context
def agent(context: click.Context, check: bool) -> None:
    """Run the agent of one site; it is told everything by SUANMESH_AGENT_* and SUANMESH_*."""
    keep_private()
    if context.invoked_subcommand is None:
        common, settings = _settings()
        if not check:
            sys.exit(_guarded(_run(common, settings)))


@agent.command()
def join() -> None:
    """Spend the invite; the identity lies in the agent's folder afterwards."""
    common, settings = _settings()
    sys.exit(_guarded(_join(common, settings)))


@agent.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, help="Id of the dataset: lower-case letters, digits and hyphens.")
@click.option("--party", required=True, help="Party that owns it, parties/{party}.")
@click.option("--residency", multiple=True, help="Jurisdiction it must stay within; may be repeated.")
def publish(folder: Path, dataset: str, party: str, residency: tuple[str, ...]) -> None:
    """Make FOLDER a dataset with its first replica at this site, whether the agent runs or not."""
    common, settings = _settings()
    sys.exit(_guarded(_publish(common, settings, folder, dataset, party, residency)))


@agent.command("rotate-key")
def rotate_key() -> None:
    """Sign with a new key from now on, whether the agent runs or not; it does so by itself before its key lapses."""
    common, settings = _settings()
    sys.exit(_guarded(_rotate_key(common, settings)))


@agent.command("stop-tasks")
def stop_tasks() -> None:
    """Stop every task that runs in the agent's folder, also when its agent was killed."""
    _, settings = _settings()
    stopped = asyncio.run(site_of.stop_all(site_of.open_engine(settings)))
    print(f"{stopped} tasks stopped")


async def _run(common: Common, settings: AgentSettings) -> None:
    stop = stop_signal()
    if settings.invite and not is_enrolled(site_of.identity_folder(settings)):
        await _join(common, settings)
    process = process_of(common, settings)
    try:
        await site_of.live(process, settings, system_rng, stop)
    finally:
        await process.close()
    log.info("process ended")


async def _join(common: Common, settings: AgentSettings) -> None:
    site = await enrol(settings, common.node, site_of.identity_folder(settings))
    print(f"{site.name} of {site.party} has joined node {common.node}", file=sys.stderr)


async def _publish(
    common: Common, settings: AgentSettings, folder: Path, dataset: str, party: str, residency: tuple[str, ...]
) -> None:
    checked_id(dataset, field="dataset")
    checked_name(party, "parties", field="party")
    process, journal = process_of(common, settings), site_of.open_journal(settings)
    try:
        async with site_of.mesh_of(process, settings) as mesh:
            replicas = Replicas(settings.data_dir)
            try:
                manifest = await asyncio.to_thread(replicas.take_in, {"": folder})
            except (FolderError, ManifestError) as fault:
                raise InvalidArgument("FOLDER_INVALID", str(fault), domain="agent.suanmesh", field="folder") from fault
            delivery = Delivery(
                f"sites/{settings.site}",
                TransportOverMesh(mesh),
                site_of.open_engine(settings),
                journal,
                replicas,
                Turns(),
            )
            name = await delivery.publish(dataset, party, manifest, residency=residency)
    finally:
        journal.close()
        await process.close()
    print(f"{name} {manifest.digest} {manifest.size_bytes} bytes in {len(manifest.files)} files")


async def _rotate_key(common: Common, settings: AgentSettings) -> None:
    process = process_of(common, settings)
    try:
        async with site_of.mesh_of(process, settings) as mesh:
            print(await site_of.key_rotation(process, settings, mesh, SiteSigner(process.signer)).renew())
    finally:
        await process.close()


def process_of(common: Common, settings: AgentSettings) -> Process:
    """The process of a site that has joined. Raises Unauthenticated (`IDENTITY_MISSING`) where it has not."""
    folder = site_of.identity_folder(settings)
    if not is_enrolled(folder):
        raise Unauthenticated("IDENTITY_MISSING", f"{folder} holds no identity: join first", domain="mesh.suanmesh")
    identity = agent_id(common.node, settings.site)
    placed = replace(common, tls_dir=folder, data_dir=settings.data_dir)
    placed = replace(placed, listen=settings.data_listen, advertise=settings.data_endpoint)
    backends = span_backends(placed, os.environ)  # noqa: TID251 - as below
    process = open_process("agent", identity, placed, settings, SystemClock(), system_rng, backends)
    shut_folders(settings.data_dir, but=site_of.LEFT_OPEN)
    return process


def _settings() -> tuple[Common, AgentSettings]:
    try:
        common = load(Common, "SUANMESH_", os.environ)  # noqa: TID251 - the one reader
        settings = load(AgentSettings, "SUANMESH_AGENT_", os.environ)  # noqa: TID251
        checked_id(settings.site, field="SUANMESH_AGENT_SITE")
    except Refusal as problem:
        print(f"settings: {problem}", file=sys.stderr)
        sys.exit(EXIT_SETTINGS)
    private_folder(settings.data_dir)
    return common, settings


def _guarded(work: Coroutine[None, None, None]) -> int:
    try:
        run_on_loop(work)
    except (Refusal, OSError) as problem:
        print(f"suanmesh-agent: {problem}", file=sys.stderr)
        return EXIT_FAILED
    except (StoreCorrupt, BaseExceptionGroup) as failure:
        if (damage := damage_among(failure)) is None:
            raise
        print(f"suanmesh-agent: {told_damage(damage)}", file=sys.stderr)
        return EXIT_DAMAGED
    return 0
