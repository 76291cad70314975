"""Processes as /proc shows them, and what they use. Standard library only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
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


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory of processes together, each shared page counted once by its parts; whole pages where that is not told.

    What is mapped of files on disk is not theirs, as with control groups: the kernel takes it back when it is short.
    One that has ended meanwhile has none: what it shared is told by the others.
    """
    return sum(map(_proportional_bytes, pids))


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except ProcessLookupError:
        return 0
    except OSError:
        return _resident_bytes(pid)
    told = {field.removesuffix(":"): int(amount) for field, amount, *_ in map(str.split, lines[1:])}
    mapped = told["Pss"] - told["Pss_File"] if "Pss_File" in told else told["Pss"]  # before Linux 5.9 it is one sum
    return 1024 * (mapped + told.get("SwapPss", 0))


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


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
