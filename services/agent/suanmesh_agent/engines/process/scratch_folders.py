"""Scratch that is a folder of the site's disk, where there cannot be a file system for it. Standard library only.

Nothing but looking bounds it, and a look sees what has a name; what a task holds open without one is bounded by the
size a file may have. A walk goes by the working directory of the process, so that neither the depth of a tree nor the
length of its paths matters, and follows no link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator, Iterable

_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def exceeds(folders: Iterable[str], bytes_max: int, files_max: int) -> bool:
    """Whether more lies under `folders` together. The task may change them meanwhile."""
    used = files = 0
    for folder in folders:
        with contextlib.closing(_walk(folder)) as found:
            for _, facts in found:
                files += 1
                used += 0 if stat.S_ISDIR(facts.st_mode) else facts.st_blocks * 512
                if used > bytes_max or files > files_max:
                    return True
    return False


def take_back(folder: str) -> None:
    """Make all in `folder` the agent's own, without setuid, setgid and sticky bits. Nothing may change it meanwhile."""
    owner, group = os.geteuid(), os.getegid()
    for name, facts in _walk(folder):
        if stat.S_ISLNK(facts.st_mode):
            continue
        if facts.st_uid != owner or facts.st_gid != group:
            os.chown(name, owner, group)
        if facts.st_mode & _SPECIAL_BITS:
            os.chmod(name, stat.S_IMODE(facts.st_mode) & ~_SPECIAL_BITS)  # noqa: PTH101 - beside chdir


def _walk(folder: str) -> Generator[tuple[str, os.stat_result], None, None]:
    """`folder` itself and each entry below, by its name in the working directory of that moment."""
    above: list[tuple[list[str], int | None]] = []
    with contextlib.suppress(OSError):
        above.append(_enter(folder))
        yield ".", os.stat(".")  # noqa: PTH116
    while above:
        names, mode = above[-1]
        with contextlib.suppress(OSError):
            if names:
                name = names.pop()
                facts = os.lstat(name)
                yield name, facts
                if stat.S_ISDIR(facts.st_mode):
                    above.append(_enter(name))
                continue
            above.pop()
            if mode is not None:
                os.chmod(".", mode)  # noqa: PTH101
            os.chdir("..")
    os.chdir("/")


def _enter(name: str) -> tuple[list[str], int | None]:
    """Go there: what it holds, and its mode where its owner had shut it, to be set again by who leaves it."""
    try:
        names = os.listdir(name)  # noqa: PTH208 - names, not paths
        os.chdir(name)
    except PermissionError:
        handle = os.open(name, _FOLDER)
        try:
            mode = stat.S_IMODE(os.fstat(handle).st_mode)
            os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IRWXU)  # noqa: PTH101 - the name may change meanwhile
            os.fchdir(handle)
        finally:
            os.close(handle)
        return os.listdir(), mode  # noqa: PTH208
    return names, None
