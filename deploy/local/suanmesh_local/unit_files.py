"""The files of a founded node that start it by other means than the launcher, and let its operator talk to it."""

from __future__ import annotations

import getpass

from suanmesh_kernel.private import private_folder, write_private
from suanmesh_local.control_plane import ControlPlane
from suanmesh_local.prometheus_files import write_prometheus
from suanmesh_local.settings_files import write_contexts, write_environment
from suanmesh_local.units import Started, units

ENVIRONMENT = "env"
UNITS = "units"


def write_files(node: ControlPlane) -> None:
    """What starts the node's processes without this program, and the context of its operator.

    Raises ToolMissing, OSError.
    """
    started = []
    for member in node.etcd:
        member.process.command = member.command()
    for process in node.all_processes():
        environment = node.folder / ENVIRONMENT / f"{process.name}.env"
        write_environment(environment, process.environment)
        started.append(Started(process.name, process.command, environment))
    private_folder(node.folder / UNITS)
    for file, text in units(node.facts.name, getpass.getuser(), node.folder, started).items():
        write_private(node.folder / UNITS / file, text.encode())
    machine = node.facts.host if node.facts.is_spread else ""
    write_prometheus(node.folder, node.facts.name, node.all_processes(), machine)
    if node.facts.runs_services:
        write_contexts(node.folder, node.facts, node.gateway, node.identities)
