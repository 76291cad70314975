"""What the standard library lacks of Linux: mounts, namespaces, loop devices. Raises OSError, as `os` does."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import struct
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME = 1, 2, 4, 8, 32, 1024
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = 4096, 16384, 1 << 18, 1 << 19
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 15, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
SECCOMP_MODE_FILTER = 2

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _AT_RECURSIVE, _MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_IDMAP = 1, 0x8000, 4, 0x100000
_MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
READ = _MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
"""Attributes of a mount that is only to be read from."""
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41}.get(os.uname().machine, -1)
_CLONE_NEWUSER = 0x10000000
_MOUNT_ATTR = struct.Struct("=4Q")
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MOUNT_ATTR_SHUT = 1 | 2 | 4 | 8
"""Read-only, nosuid, nodev, noexec."""
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LO_FLAGS_READ_ONLY, _LO_FLAGS_AUTOCLEAR = 1, 4
_LOOP_CONFIG = struct.Struct("=II 5Q 4I 64s64s32s2Q 8Q")
_LOOP_TRIES = 64
_CAPABILITIES_MAX = 64

_CAPABILITIES_HEADER = struct.pack("=Ii", 0x20080522, 0)
"""Version 3, of this process."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Make `source` appear at `target`, neither setuid programs nor devices of it."""
    mount(source, target, flags=MS_BIND)
    mount("", target, flags=MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | (MS_RDONLY if read_only else 0))


def bind_as(source: str, target: str, users: int) -> int:
    """Make `source` appear read-only at `target`, what is root's in it owned by the user that `users` maps root to.

    Answers a handle on that mount, wherever it is moved.
    """
    return _bound(source, target, _MOUNT_ATTR.pack(_MOUNT_ATTR_IDMAP | READ, 0, MS_PRIVATE, users))


def bind_tree(source: str, target: str, attributes: int) -> None:
    """Make `source` and all that is mounted below it appear at `target`, each with `attributes`.

    What is mounted there later does not: it would appear with attributes of its own.
    """
    os.close(_bound(source, target, _MOUNT_ATTR.pack(attributes, 0, MS_PRIVATE, 0), _AT_RECURSIVE))


def _bound(source: str, target: str, attributes: bytes, recursive: int = 0) -> int:
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | recursive
    tree = _checked(_libc.syscall(_OPEN_TREE, _AT_FDCWD, source.encode(), flags))
    try:
        _checked(_libc.syscall(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH | recursive, attributes, len(attributes)))
        place = target.encode()
        _checked(_libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, place, _MOVE_MOUNT_F_EMPTY_PATH))
    except BaseException:
        os.close(tree)
        raise
    return tree


def map_root_to(user: int) -> int:
    """A handle on a user namespace whose root is `user`, for `bind_as`; no process is in it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _libc.unshare(_CLONE_NEWUSER)
        os.write(writer, b".")
        signal.pause()
    try:
        os.read(reader, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{name}").write_text(f"0 {user} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _checked(_libc.umount2(target.encode(), flags))


def unshare(kinds: int) -> None:
    """Give this process namespaces of its own; one of processes is for those that it starts."""
    _checked(_libc.unshare(kinds))


def set_namespace(handle: int, kind: int) -> None:
    """setns(2)."""
    _checked(_libc.setns(handle, kind))


def pivot_root(root: str, old: str) -> None:
    """pivot_root(2)."""
    _checked(_libc.syscall(_PIVOT_ROOT, root.encode(), old.encode()))


def unshare_mounts() -> None:
    """Give this process mounts of its own: what the host unmounts goes here too, what is mounted here stays here."""
    unshare(CLONE_NEWNS)
    mount("", "/", flags=MS_SLAVE | MS_REC)


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    _checked(_libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def give_up_capabilities() -> None:
    """No program that this process and all it starts will run has any; the process itself keeps those it has."""
    with contextlib.suppress(OSError):  # the first number the kernel does not know
        for capability in range(_CAPABILITIES_MAX):
            prctl(PR_CAPBSET_DROP, capability)


def drop_capabilities() -> None:
    """Have none, permitted, effective or inheritable, whatever was left of them by a change of user."""
    _checked(_libc.capset(_CAPABILITIES_HEADER, bytes(24)))


def set_name(name: str) -> None:
    """What the kernel calls this process: at most 15 bytes."""
    _checked(_libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0))


def install_seccomp(program: bytes) -> None:
    """Filter the system calls of this process and all it starts; needs no_new_privs."""
    given = _Program(len(program) // 8, program)
    _checked(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0))


def attach_loop(image: int, *, read_only: bool = False) -> tuple[str, int]:
    """A loop device over the open `image`, and its handle. Once mounted, it goes with the mount and the handle."""
    flags = _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_READ_ONLY if read_only else 0)
    config = _LOOP_CONFIG.pack(image, 4096, *(0,) * 5, 0, 0, 0, flags, b"", b"", b"", *(0,) * 10)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_LOOP_TRIES):
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as fault:
                os.close(device)
                if fault.errno != errno.EBUSY:  # another was quicker
                    raise
            else:
                return path, device
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), "/dev/loop-control")


def detached_mount(device: str, kind: str) -> int:
    """A read-only mount that is nowhere but behind the handle returned, and gone once that is closed."""
    context = _checked(_libc.syscall(_FSOPEN, kind.encode(), _FSOPEN_CLOEXEC))
    try:
        _configured(context, _FSCONFIG_SET_STRING, b"source", device.encode())
        _configured(context, _FSCONFIG_SET_FLAG, b"ro", None)
        _configured(context, _FSCONFIG_CMD_CREATE, None, None)
        return _checked(_libc.syscall(_FSMOUNT, context, _FSMOUNT_CLOEXEC, _MOUNT_ATTR_SHUT))
    finally:
        os.close(context)


def _configured(context: int, command: int, key: bytes | None, value: bytes | None) -> None:
    _checked(_libc.syscall(_FSCONFIG, context, command, key, value, 0))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
