"""systemd units of a node: a hardened service for each process, and a target that starts them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suanmesh_kernel import systemd

SERVICE = """[Unit]
Description={description}
PartOf={target}
After=network-online.target{after}
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
EnvironmentFile={environment}
ExecStart={command}
Restart=on-failure
RestartSec=2
TimeoutStopSec=30

ReadWritePaths={folder}
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
ProtectProc=invisible
CapabilityBoundingSet=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
RemoveIPC=yes
"""
ETCD = "etcd"
INSTALL = """
[Install]
WantedBy={target}
"""
TARGET = """[Unit]
Description={description}
Wants={services}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Started:
    """A process as systemd starts it."""

    name: str
    """`registry`, `etcd` ..."""
    command: Sequence[str]
    environment: Path
    """File with its settings."""


def unit_name(node: str, process: str) -> str:
    """What the unit of a node's process is called."""
    return f"suanmesh-{node}-{process.replace('_', '-')}.service"


def units(node: str, user: str, folder: Path, processes: Sequence[Started]) -> Mapping[str, str]:
    """The units of a node's processes, run as `user`, by file name; all may write in the node's `folder` alone.

    Services come after etcd. Each tries again by itself while what it needs is not there, however long that takes.
    """
    target = f"suanmesh-{node}.target"
    names = {each.name: unit_name(node, each.name) for each in processes}
    after = "".join(f" {name}" for of, name in names.items() if of.startswith(ETCD))
    template = SERVICE + systemd.SHUT_IN + INSTALL
    made = {target: TARGET.format(description=f"Suanmesh node {node}", services=" ".join(names.values()))}
    for each in processes:
        made[names[each.name]] = template.format(
            description=f"Suanmesh node {node}: {each.name}",
            target=target,
            after="" if each.name.startswith(ETCD) else after,
            user=user,
            environment=systemd.path(str(each.environment)),
            command=" ".join(map(systemd.word, each.command)),
            folder=systemd.word(str(folder)),
        )
    return made
