"""Processes as /proc shows them, and what they use. Standard library only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def descendants(root: int) -> list[tuple[int, list[str]]]:
    """Every process below `root` with the fields of its stat line from `state` on."""
    children: dict[int, list[int]] = {}
    stats: dict[int, list[str]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a hot loop
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                stats[int(entry)] = fields
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, ahead = [], [root]
    while ahead:
        for pid in children.get(ahead.pop(), ()):
            found.append((pid, stats[pid]))
            ahead.append(pid)
    return found


def has_children() -> bool:
    """Whether this process has any, ended or not. A subreaper without children has no descendants either."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> list[int]:
    """Of this process, which has one thread. One may be missing while others end: look again until none is left."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid, fields in descendants(os.getpid()) if fields[0] != "Z"]


def memory_bytes(members: list[tuple[int, list[str]]]) -> int:
    """Memory of processes together, each shared page counted once by its parts; whole pages where that is not told."""
    return sum(_proportional_bytes(pid, fields) for pid, fields in members)


def _proportional_bytes(pid: int, fields: list[str]) -> int:
    with contextlib.suppress(OSError, ValueError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Pss:", "SwapPss:")))
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def short_name(pid: int) -> str:
    """Its short name; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def kill(pid: int, number: int) -> None:
    """Send a signal, wherever that is still possible."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def open_pidfd(pid: int) -> int:
    """Readable when `pid` has ended, and at once where it had ended before."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.close(writer)
        return reader
