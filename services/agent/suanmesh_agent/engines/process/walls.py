"""The walls that an agent with root puts around a task: namespaces of its own, and a root that shows it little.

The root is made once for all tasks of a shim, which is the first process of a namespace of processes: what is left of a
task ends with it, whatever ends it. A task has its own copy of the mounts with its folders in it, and its own network,
System V IPC, host name and view of control groups; they go with its last process. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Collection, Iterable
from pathlib import Path

from suanmesh_agent.engines.process import syscalls

INSIDE = "/task"
"""Where a walled task finds its working folder."""
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64")
ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "passwd", "group", "nsswitch.conf")
PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "asound", "driver", "mtrr", "pressure")
PROC_HIDDEN = ("kcore", "keys", "key-users", "kallsyms", "kmsg", "timer_list", "sched_debug", "latency_stats")

_PLACES = (("work", INSIDE), ("tmp", "/tmp"), ("shm", "/dev/shm"))
"""By its folder in scratch where a task finds it."""
_OWN = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWCGROUP
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = (("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("fd", "fd"), ("core", "kcore"))
_ROOT_OPTIONS = "size=1m,mode=755"
_TERMINAL_OPTIONS = "newinstance,ptmxmode=0666,mode=620"
_SHUT = syscalls.MS_NOSUID | syscalls.MS_NODEV
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_INTERFACE_FLAGS = struct.Struct("16sh22x")


def build(root: str, runtimes: Iterable[tuple[str, str]]) -> None:
    """Mount all that no task has for itself at `root`, read-only.

    `runtimes` are the folders of interpreters, each as it is named and where it is to be had. Raises OSError.
    """
    syscalls.mount("tmpfs", root, "tmpfs", _SHUT, _ROOT_OPTIONS)
    for name in ("usr", "etc", "proc", "dev/pts", *(place.lstrip("/") for _, place in _PLACES)):
        Path(root, name).mkdir(parents=True)
    syscalls.bind_tree("/usr", f"{root}/usr", syscalls.READ)
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            Path(root, name).symlink_to(path.readlink())
        elif path.is_dir():
            _show(f"/{name}", f"{root}/{name}")
    for name in ETC:
        if Path("/etc", name).exists():
            _show(f"/etc/{name}", f"{root}/etc/{name}")
    _offer_devices(Path(root, "dev"))
    _offer_processes(f"{root}/proc")
    for name, source in runtimes:
        if not _is_covered(name):
            _show(source, root + name)
    syscalls.mount("", root, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | _SHUT)


def enter(
    root: str, scratch: str, runtimes: Iterable[tuple[str, str]], nodes: Collection[tuple[str, str]] = ()
) -> None:
    """In the task's process, of its control groups already: go behind the walls, for good. Raises OSError.

    `nodes` are device files that this task is given, and their names below /dev.
    """
    syscalls.unshare(_OWN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _INTERFACE_FLAGS.pack(b"lo", _IFF_UP))
    if nodes:
        _offer_more_devices(f"{root}/dev", nodes)
    for part, place in _PLACES:
        syscalls.mount(f"{scratch}/{part}", root + place, flags=syscalls.MS_BIND | syscalls.MS_REC)
    for name, source in runtimes:
        if _is_covered(name):  # by what the task has for itself
            _show(source, root + name)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".", syscalls.MNT_DETACH)


def _is_covered(runtime: str) -> bool:
    return any(Path(runtime).is_relative_to(place) for _, place in _PLACES)


def _show(source: str, target: str, attributes: int = syscalls.READ) -> None:
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).touch()
    syscalls.bind_tree(source, target, attributes)


def _offer_more_devices(folder: str, nodes: Iterable[tuple[str, str]]) -> None:
    """A /dev of the task's own: the one that all tasks share has no place for more."""
    syscalls.mount("tmpfs", folder, "tmpfs", _SHUT, _ROOT_OPTIONS)
    for name in ("pts", "shm"):
        Path(folder, name).mkdir()
    _offer_devices(Path(folder))
    for path, name in nodes:
        _show(path, f"{folder}/{name}", syscalls.MOUNT_ATTR_NOSUID)
    syscalls.mount("", folder, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | _SHUT)


def _offer_devices(folder: Path) -> None:
    for name in _DEVICES:
        _show(f"/dev/{name}", str(folder / name), syscalls.MOUNT_ATTR_NOSUID)
    for name, target in _LINKS:
        (folder / name).symlink_to(f"/proc/{'' if target == 'kcore' else 'self/'}{target}")
    syscalls.mount("devpts", str(folder / "pts"), "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, _TERMINAL_OPTIONS)
    (folder / "ptmx").symlink_to("pts/ptmx")


def _offer_processes(folder: str) -> None:
    """Of processes a task sees its own; what /proc has of the whole machine is to be read at most."""
    syscalls.mount("proc", folder, "proc", _SHUT | syscalls.MS_NOEXEC, "hidepid=2")
    for name in PROC_READ_ONLY:
        if Path("/proc", name).exists():
            syscalls.bind_tree(f"{folder}/{name}", f"{folder}/{name}", syscalls.READ)
    for name in PROC_HIDDEN:
        if Path("/proc", name).exists():
            syscalls.bind_tree("/dev/null", f"{folder}/{name}", syscalls.READ)
