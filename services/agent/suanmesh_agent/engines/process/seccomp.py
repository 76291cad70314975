"""The filter of a task's system calls: what no task needs, and what the kernel's faults are mostly found in.

A classic BPF program in the kernel's own form, `struct sock_filter[]`, as seccomp(2) and bubblewrap take it. Numbers
are from the kernel's asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64). What is denied fails with EPERM.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
from collections.abc import Iterable

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1, _ARGUMENT_2 = 0, 4, 16, 24, 32
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW* that clone(2) takes."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX write into the input of a terminal."""
_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6: they end at the task's own network namespace, as AF_VSOCK does not."""
_NETLINK, _NETLINK_ROUTE = 16, 0
"""Of AF_NETLINK what tells of the task's own network: what the host's devices do is told in every network of root's."""

_EVERYWHERE = (*range(425, 434), 438, 442, 443, 467)
"""io_uring_*, open_tree to fspick, pidfd_getfd, mount_setattr, quotactl_fd, open_tree_attr: one number everywhere."""
_X86_64 = (
    *(165, 166, 155, 161, 272, 308, 304, 303),  # mount umount2 pivot_root chroot unshare setns *_by_handle_at
    *(248, 249, 250, 101, 312),  # add_key request_key keyctl ptrace kcmp
    *(321, 298, 323, 300, 212),  # bpf perf_event_open userfaultfd fanotify_init lookup_dcookie
    *(246, 320, 175, 313, 176, 169),  # kexec_load kexec_file_load init_module finit_module delete_module reboot
    *(179, 163, 167, 168, 103, 153, 180),  # quotactl acct swapon swapoff syslog vhangup nfsservctl
    *(164, 227, 159, 305, 170, 171),  # settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname
    *(154, 172, 173, 134, 136, 139),  # modify_ldt iopl ioperm uselib ustat sysfs
)
_AARCH64 = (
    *(40, 39, 41, 51, 97, 268, 265, 264),
    *(217, 218, 219, 117, 272),
    *(280, 241, 282, 262, 18),
    *(104, 294, 105, 273, 106, 142),
    *(60, 89, 224, 225, 116, 58, 42),
    *(170, 112, 171, 266, 161, 162),
)
_CLONE3 = 435
_MACHINES = {
    # audit architecture, denied numbers, clone, ioctl, socket, socketpair
    "x86_64": (0xC000003E, _X86_64, 56, 16, 41, 53),
    "aarch64": (0xC00000B7, _AARCH64, 220, 29, 198, 199),
}


@functools.cache
def program(machine: str = os.uname().machine) -> bytes:
    """The filter for `machine`; empty where its system calls are not known here."""
    if machine not in _MACHINES:
        return b""
    architecture, denied, clone, ioctl, socket, socketpair = _MACHINES[machine]
    steps = [_step(_LOAD, _ARCHITECTURE), _step(_EQUAL, architecture, 1, 0), _fail(errno.ENOSYS)]
    steps.append(_step(_LOAD, _NUMBER))
    if machine == "x86_64":
        steps += [_step(_AT_LEAST, _X32, 0, 1), _fail(errno.ENOSYS)]
    for number in (*denied, *_EVERYWHERE):
        steps += [_step(_EQUAL, number, 0, 1), _fail(errno.EPERM)]
    steps += [_step(_EQUAL, _CLONE3, 0, 1), _fail(errno.ENOSYS)]  # its flags lie in memory; libraries take clone then
    steps += [_step(_EQUAL, clone, 0, 4), _step(_LOAD, _ARGUMENT_0), _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1)]
    steps += [_fail(errno.EPERM), _step(_RETURN, _ALLOW)]
    steps += [_step(_EQUAL, ioctl, 0, 1 + 2 * len(_TERMINAL_INPUT) + 1), _step(_LOAD, _ARGUMENT_1)]
    for request in _TERMINAL_INPUT:
        steps += [_step(_EQUAL, request, 0, 1), _fail(errno.EPERM)]
    steps.append(_step(_RETURN, _ALLOW))
    netlink = [_step(_EQUAL, _NETLINK, 0, 4), _step(_LOAD, _ARGUMENT_2), *_allow(_NETLINK_ROUTE)]
    netlink.append(_fail(errno.EPROTONOSUPPORT))
    steps += _only_families(socket, _FAMILIES, netlink)
    steps += _only_families(socketpair, _FAMILIES[:1])
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _only_families(call: int, families: tuple[int, ...], but: Iterable[bytes] = ()) -> list[bytes]:
    """`call` makes sockets of `families`, and of what the steps `but` let pass."""
    steps = [_step(_LOAD, _ARGUMENT_0)]
    for family in families:
        steps += _allow(family)
    steps += [*but, _fail(errno.EAFNOSUPPORT)]
    return [_step(_EQUAL, call, 0, len(steps)), *steps]


def _allow(value: int) -> list[bytes]:
    return [_step(_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW)]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _fail(number: int) -> bytes:
    return _step(_RETURN, _FAIL | number)
