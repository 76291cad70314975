"""`suan site join`: settings and identity of a site in one folder, and a try of every direction that it needs."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from suanmesh.gateway.v1.gateway_service_pb2 import CheckDataPlaneRequest
from suanmesh.gateway.v1.relay_service_pb2 import AwaitCallsRequest
from suanmesh.registry.v1.join_token_pb2 import Invite
from suanmesh.registry.v1.registry_service_pb2 import ListSitesRequest
from suanmesh_agent import running_as
from suanmesh_agent import site as site_of
from suanmesh_agent import unit as unit_of
from suanmesh_agent.engines.kubernetes.preflight import require_ready
from suanmesh_agent.engines.ray.asking import RaySilent
from suanmesh_agent.engines.ray.refusing import refusal_of
from suanmesh_agent.engines.ray.scheduler import Ray
from suanmesh_agent.engines.slurm import preflight as slurm
from suanmesh_agent.engines.slurm.commands import slurm_of
from suanmesh_agent.enrolment import spend_token
from suanmesh_agent.settings import AgentSettings
from suanmesh_chassis import Listener
from suanmesh_chassis.process import Process
from suanmesh_chassis.service_server import ServiceServer
from suanmesh_chassis.settings import Common, load
from suanmesh_kernel.addresses import RELAY, host_of, is_loopback
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.private import private_folder, write_private
from suanmesh_kernel.refusals import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    Refusal,
    Unavailable,
    Unimplemented,
)
from suanmesh_sdk import Mesh, invites
from suanmesh_sdk.resolver import OneAddress

ENVIRONMENT = "agent.env"
PROGRAM = "suanmesh-agent"
SITES_TRIED_MAX = 100
REACH_S = 5.0
"""How long a gateway may take to be connected to, and another site's data plane to answer."""
QUIET = {"SUANMESH_LOG_LEVEL": "error"}
"""What is tried is told in words."""
HEALTH = "/grpc.health.v1.Health/Check"


def main(
    text: str, name: str, folder: Path, host: str, port: int, offered: Mapping[str, str], *, run_as: str = ""
) -> int:
    """Join as the site `name` with the settings `offered`. Answers the exit status.

    It is reached at `host:port`, or without a host only dials out. Its unit runs as the user `run_as`, if given.
    """
    try:
        name = checked_id(name, field="name")
        return asyncio.run(_joined(text, name, folder.resolve(), host, port, offered, run_as))
    except Refusal as refusal:
        print(f"suan site join: {refusal.reason}: {refusal.message}", file=sys.stderr)
        print(f"  help: suan explain {refusal.reason}", file=sys.stderr)
    except OSError as fault:
        print(f"suan site join: {fault.filename or folder}: {fault.strerror or fault}", file=sys.stderr)
    return 1


def become_agent(folder: Path) -> None:
    """Go on as the agent of the site in `folder`; root as the user whose folder it is. Raises OSError."""
    settings = dict(word.split("=", 1) for word in shlex.split((folder / ENVIRONMENT).read_text()))
    program, home = _program(), {}
    if owner := running_as.other_owner(folder / ENVIRONMENT):
        running_as.become(owner)
        home = {"HOME": owner.pw_dir}
    os.execve(program, [program], os.environ | home | settings)  # noqa: TID251 - the agent reads it


def _program() -> str:
    """The agent that is installed beside this interpreter."""
    return str(Path(sys.executable).parent / PROGRAM)


async def _joined(
    text: str, name: str, folder: Path, host: str, port: int, offered: Mapping[str, str], run_as: str
) -> int:
    invite = invites.read_invite(text)
    environment = settings_of(invite, name, folder, host, port) | {
        f"SUANMESH_AGENT_{field.upper()}": value for field, value in offered.items() if value
    }
    if unknown := offered.keys() - {field.name for field in fields(AgentSettings)}:
        raise InvalidArgument("FIELD_INVALID", f"no setting of an agent: {sorted(unknown)[0]}", field="set")
    settings = load(AgentSettings, "SUANMESH_AGENT_", environment)
    needed = (Path(_program()), Path(sys.executable))
    user, problem = running_as.user_of_unit(run_as, folder, needed, walled=running_as.are_walled(settings))
    await _engine_answers(settings)
    ca_pem = await invites.trusted_ca(invite)
    _tell("ok", "to the gateway", f"node {invite.node} answers at {invite.gateway}")
    private_folder(folder)
    async with invites.mesh_of(invite, ca_pem) as mesh:
        site = await spend_token(mesh, invite.token, settings, site_of.identity_folder(settings))
    _tell("ok", "enrolled", f"{site.name} of {site.party}")
    lines = [f"{key}={shlex.quote(value)}" for key, value in sorted(environment.items())]
    write_private(folder / ENVIRONMENT, ("\n".join(lines) + "\n").encode())
    unit = folder / unit_of.file_name(name)
    if user:
        write_private(unit, unit_of.unit(name, user, folder, folder / ENVIRONMENT, _program()).encode())
    common = load(Common, "SUANMESH_", environment | QUIET)
    reached = True
    async for direction in _directions(common, settings):
        _tell("ok" if direction.open else "failed", direction.what, direction.detail)
        reached = reached and direction.open
    if user:
        running_as.give(folder, user)
        _tell("ok", "unit", f"{unit} runs it as {user}")
    else:
        _tell("none", "unit", f"root may do too much: {problem} and join again, or say --run-as root")
    if reached:
        by_systemd = f", or systemctl link {unit} and start {unit.name}" if user else ""
        _tell("next", "start", f"suan site run {folder}{by_systemd}")
    return 0 if reached else 1


async def _engine_answers(settings: AgentSettings) -> None:
    """Before the invite is spent: whether what is to run tasks can be asked. Raises Refusal."""
    if settings.engine == "ray":
        await _ray_answers(settings)
    if settings.engine == "slurm":
        _tell("ok", "to Slurm", await slurm.require_ready(slurm_of(settings)))
    if settings.engine == "kubernetes":
        _tell("ok", "to Kubernetes", await require_ready(settings))


async def _ray_answers(settings: AgentSettings) -> None:
    access = site_of.ray_access(settings)
    ray = Ray(access, settings.site)
    try:
        nodes = await ray.nodes()
    except RaySilent as silent:
        raise refusal_of(silent, access) from silent
    finally:
        ray.close()
    if not nodes:
        raise FailedPrecondition("RAY_NODES_MISSING", f"no node of the Ray at {access.address} takes tasks")
    cores = sum(node.cpu_milli for node in nodes) // 1000
    _tell("ok", "to Ray", f"{len(nodes)} nodes with {cores} processors at {access.address}")
    if access.token_file is None:
        problem = (
            "it wants no token, and listens at all addresses of its nodes: who reaches one runs what they like there"
        )
        _tell("warning", "to Ray", problem)


def settings_of(invite: Invite, name: str, folder: Path, host: str, port: int) -> dict[str, str]:
    """What the agent of a site is told that joins with `invite`, as `SUANMESH_*`."""
    return _inwards(host, port) | {
        "SUANMESH_NODE": invite.node,
        "SUANMESH_TLS_DIR": str(folder / "identity"),
        "SUANMESH_DATA_DIR": str(folder),
        "SUANMESH_OTLP_ENDPOINT": invite.gateway.partition(",")[0],
        "SUANMESH_AGENT_SITE": name,
        "SUANMESH_AGENT_DATA_DIR": str(folder),
        "SUANMESH_AGENT_GATEWAY": invite.gateway,
    }


def _inwards(host: str, port: int) -> dict[str, str]:
    """How its data plane is reached."""
    if not host:
        return {"SUANMESH_AGENT_NO_INBOUND": "true"}
    bare = host_of(f"{host}:1")
    told = f"[{bare}]" if ":" in bare else bare
    everywhere = "[::]" if ":" in bare else "0.0.0.0"
    return {
        "SUANMESH_AGENT_DATA_LISTEN": f"{told if is_loopback(bare) else everywhere}:{port}",
        "SUANMESH_AGENT_DATA_ENDPOINT": f"{told}:{port}",
    }


class Direction(NamedTuple):
    """A way that a site needs, as it was tried from its machine."""

    open: bool
    what: str
    """`to the gateway`, `from the gateway`, `to sites/wuhu` ..."""
    detail: str
    """How it was found; where it fails, what to open."""


async def directions_of(folder: Path) -> list[Direction]:
    """Every direction that the site in `folder` needs, which has joined and may run. Raises Refusal, OSError."""
    environment = dict(word.split("=", 1) for word in shlex.split((folder / ENVIRONMENT).read_text()))
    settings = load(AgentSettings, "SUANMESH_AGENT_", environment)
    return [each async for each in _directions(load(Common, "SUANMESH_", environment | QUIET), settings)]


@asynccontextmanager
async def _answering(common: Common, settings: AgentSettings) -> AsyncIterator[Process]:
    """The site's data plane for as long as it is tried: it answers health checks, and nothing else.

    Where a site joins anew whose agent runs, that answers; the gateway finds out if somebody else listens there.
    """
    from suanmesh_agent.commands import process_of

    process = process_of(common, settings)
    server = ServiceServer(process)
    try:
        if not settings.no_inbound:
            with suppress(OSError):
                await server.listen(Listener(settings.data_listen))
        yield process
    finally:
        await server.stop(0)
        await process.close()


async def _directions(common: Common, settings: AgentSettings) -> AsyncIterator[Direction]:
    """Try each."""
    known = site_of.known_gateways(settings)
    async with _answering(common, settings) as process:
        for gateway in known.addresses:
            yield await _inwards_from(process, gateway, settings)
        async with site_of.mesh_of(process, settings, known) as mesh:
            sites = (await mesh.registry.ListSites(ListSitesRequest(page_size=SITES_TRIED_MAX))).sites
            for each in sites:
                if each.data_endpoint and each.name != f"sites/{settings.site}":
                    yield await _reaches(mesh, each.name, each.data_endpoint)


async def _inwards_from(process: Process, gateway: str, settings: AgentSettings) -> Direction:
    """Whether a gateway is reached, and calls come from it to this site, for logs and data."""
    try:
        await asyncio.to_thread(_connect, gateway)
        async with process.mesh(OneAddress(gateway), via="gateway") as mesh:
            if settings.no_inbound:
                return await _is_carried(mesh, gateway)
            return await _is_reached(mesh, gateway, settings.data_endpoint)
    except (Unavailable, OSError) as fault:
        why = fault.reason if isinstance(fault, Unavailable) else fault.strerror or fault
        return Direction(False, "to the gateway", f"{gateway} is not reached ({why}): open outgoing TCP to it")


def _connect(gateway: str) -> None:
    """What is shut is told at once: a call would be tried for ten seconds, as if it were about to start."""
    socket.create_connection((host_of(gateway), int(gateway.rpartition(":")[2])), REACH_S).close()


async def _is_reached(mesh: Mesh, gateway: str, endpoint: str) -> Direction:
    """Whether a gateway reaches the data plane that listens here."""
    answer = await mesh.gateway.CheckDataPlane(CheckDataPlaneRequest(endpoint=endpoint))
    if answer.reached:
        return Direction(True, "from the gateway", f"{gateway} reaches this site at {endpoint}")
    problem = f"{gateway} does not reach {endpoint}: open incoming TCP to port {endpoint.rpartition(':')[2]}"
    remedies = "advertise another address, or join with --no-inbound where nothing can be opened"
    return Direction(False, "from the gateway", f"{problem}, {remedies}")


async def _is_carried(mesh: Mesh, gateway: str) -> Direction:
    """Whether a gateway takes a stream from here, over which calls will come. Raises Unavailable."""
    try:
        async for _ in mesh.relay.AwaitCalls(AwaitCallsRequest(), timeout=REACH_S):
            break
    except (Unimplemented, DeadlineExceeded) as refusal:
        return Direction(False, "from the gateway", f"{gateway} carries no calls to this site ({refusal.reason})")
    streams = "calls come over streams that this site opens (--no-inbound)"
    return Direction(True, "from the gateway", f"not tried inwards from {gateway}: {streams}")


async def _reaches(mesh: Mesh, site: str, endpoint: str) -> Direction:
    """Whether another site's data plane answers here, from which data will be fetched."""
    if endpoint == RELAY:
        return Direction(True, f"to {site}", "the gateway carries calls to it")
    try:
        await mesh.agent_channel(endpoint, site=site).unary_unary(HEALTH)(b"", timeout=REACH_S)
    except Refusal as refusal:
        problem = f"{endpoint} is not reached ({refusal.reason}): open outgoing TCP to it"
        return Direction(False, f"to {site}", problem)
    return Direction(True, f"to {site}", f"it answers at {endpoint}")


def _tell(state: str, what: str, detail: str) -> None:
    print(f"{state:<8} {what:<18} {detail}", flush=True)
