"""systemd units of a node: a hardened service for each process, and a target that starts them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVICE = """[Unit]
Description={description}
PartOf={target}
After=network-online.target{after}
Wants=network-online.target

[Service]
Type=exec
User={user}
EnvironmentFile={environment}
ExecStart={command}
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
UMask=0077
LimitNOFILE=65536

ReadWritePaths={folder}
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
RemoveIPC=yes

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


def units(node: str, user: str, folder: Path, processes: Sequence[Started]) -> Mapping[str, str]:
    """The units of a node's processes, run as `user`, by file name; all may write in the node's `folder` alone.

    Services come after etcd. Each tries again by itself while what it needs is not there.
    """
    target = f"suanmesh-{node}.target"
    names = {each.name: f"suanmesh-{node}-{each.name.replace('_', '-')}.service" for each in processes}
    made = {target: TARGET.format(description=f"Suanmesh node {node}", services=" ".join(names.values()))}
    for each in processes:
        made[names[each.name]] = SERVICE.format(
            description=f"Suanmesh node {node}: {each.name}",
            target=target,
            after="" if each.name == "etcd" else f" {names['etcd']}",
            user=user,
            environment=_path(each.environment),
            command=" ".join(map(_word, each.command)),
            folder=_word(str(folder)),
        )
    return made


def _path(path: Path) -> str:
    """A file in a setting that takes one alone, in which only `%` means something."""
    return str(path).replace("%", "%%")


def _word(text: str) -> str:
    """One word of a setting: `%` and `$` mean something there, and a space ends it."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if plain != text or any(each.isspace() for each in text) else text
