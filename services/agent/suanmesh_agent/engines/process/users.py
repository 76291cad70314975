"""A user of its own for each task, from a range that belongs to the tasks of this host and to nobody else.

A user is leased by a lock on `<folder>/<uid>`, held by the task's shim for its life: the kernel gives it back whatever
ends the shim, and agents of several sites on one host may share the range. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import signal
import time
from pathlib import Path

_USED, _UNUSED = b"+", b"-"
_KILL_ROUNDS, _KILL_PAUSE_S = 100, 0.01
"""What is killed takes a moment to be gone, and may have forked in it."""


def lease_user(folder: Path, first: int, count: int, *, alone: bool = False, before: int = 0) -> tuple[int, int]:
    """A user id that no live task has, and the handle that holds it; `mark_used` before anything runs of it.

    That is the one this process had `before`, where it is free: its lock is there already. Raises OSError where all are
    taken.
    What still runs of the user's earlier task is killed, unless its shim has seen to it that nothing does. Who is
    `alone` in a namespace of processes cannot do that, and leaves such a user to others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    begin = before - first if before else int.from_bytes(os.urandom(4), "little")
    for step in range(count):
        user = first + (begin + step) % count
        lock, new = _open(folder / str(user))
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark = os.pread(lock, 1, 0)
            unused = mark == _UNUSED or (new and not mark)
            if unused or not (alone or kill_all_of(user)):
                mark_unused(lock)
                return user, lock
        os.close(lock)
    raise OSError(f"all {count} users for tasks are taken")


def _open(path: Path) -> tuple[int, bool]:
    """The lock file of a user, and whether it is new: nobody has had the user yet."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    with contextlib.suppress(FileExistsError):
        return os.open(path, flags | os.O_EXCL, 0o600), True
    return os.open(path, flags, 0o600), False


def mark_used(lock: int) -> None:
    """Something may run of the user that `lock` holds, until `mark_unused`."""
    os.pwrite(lock, _USED, 0)


def mark_unused(lock: int) -> None:
    """Nothing runs of the user that `lock` holds: who has it next need not look through all the host's processes."""
    os.pwrite(lock, _UNUSED, 0)


def end_remains(folder: Path, user: int) -> None:
    """Kill what still runs of a user whose shim is gone; of one that another task has by now, that has been done."""
    with contextlib.suppress(OSError):
        lock = os.open(folder / str(user), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for _ in range(_KILL_ROUNDS):
                if not kill_all_of(user):
                    return mark_unused(lock)
                time.sleep(_KILL_PAUSE_S)
        finally:
            os.close(lock)


def end_all_remains(folder: Path) -> None:
    """`end_remains` of every user that is marked as used: shims and agents may all have been killed at once."""
    for lock in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if lock.name.isdecimal() and lock.read_bytes() == _USED:
                end_remains(folder, int(lock.name))


def ids_given_out() -> list[tuple[str, int, int]]:
    """Name, first and last id of every user and group of this host, and of what users may give out themselves."""
    found = [(f"user {entry.pw_name}", entry.pw_uid, entry.pw_uid) for entry in pwd.getpwall()]
    found += [(f"group {entry.gr_name}", entry.gr_gid, entry.gr_gid) for entry in grp.getgrall()]
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        with contextlib.suppress(OSError):
            for name, first, count in (line.split(":") for line in path.read_text().split() if line.count(":") == 2):
                found.append((f"{name} in {path}", int(first), int(first) + int(count) - 1))
    return found


def kill_all_of(user: int) -> bool:
    """Kill every process of a user of the range; whether there was one."""
    found = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _real_user(pid) == user]  # noqa: PTH208
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(found)


def _real_user(pid: int) -> int:
    """Of a process that has ended, -1."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        if "\nState:\tZ" not in status:
            return int(status.partition("\nUid:\t")[2].split("\t", 1)[0])
    return -1
