"""The systemd unit of a site's agent: shut in as far as making the walls of its tasks allows."""

from __future__ import annotations

from pathlib import Path

from suanmesh_kernel import systemd

HEAD = """[Unit]
Description=Suanmesh site {site}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
EnvironmentFile={environment}
ExecStart={program}
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
# What runs outlives the agent; the next one finds it.
KillMode=process

ReadWritePaths={folder}{further}
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallFilter=@system-service @mount
SystemCallFilter=~@clock @module @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
PrivateMounts=yes
"""
OF_USER = """# Walls are made by bubblewrap in namespaces of users, which want the machine's /proc as it is.
PrivateDevices=yes
ProtectControlGroups=yes
ProtectProc=invisible
CapabilityBoundingSet=
"""
OF_ROOT = """# Each task has a user, control groups and a file system of its own, which are root's to make.
Delegate=yes
RuntimeDirectory=suanmesh
RuntimeDirectoryPreserve=yes
DevicePolicy=closed
DeviceAllow=/dev/loop-control rw
DeviceAllow=block-loop rw
ProtectKernelLogs=yes
ProtectKernelTunables=yes
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETPCAP CAP_SETUID
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_ADMIN CAP_SYS_RESOURCE
"""
CONTROL_GROUPS = " /sys/fs/cgroup"
INSTALL = """
[Install]
WantedBy=multi-user.target
"""


def file_name(site: str) -> str:
    """What the unit of a site is called."""
    return f"suanmesh-site-{site}.service"


def unit(site: str, user: str, folder: Path, environment: Path, program: str) -> str:
    """The unit that runs the agent of `site` as `user`, writing in the site's `folder`; root in control groups too."""
    root = user == "root"
    head = HEAD.format(
        site=site,
        user=user,
        environment=systemd.path(str(environment)),
        program=systemd.word(program),
        folder=systemd.word(str(folder)),
        further=CONTROL_GROUPS if root else "",
    )
    return head + (OF_ROOT if root else OF_USER) + systemd.SHUT_IN + INSTALL
